//! Where a relation of two tensors holds, and functions of truth values. See `compare.cu`.

use bytemuck::{Pod, Zeroable};

use crate::dtype::Dtype;
use crate::entry::{entries, module};
use crate::space::{Dims, Operand, Space, Space3, THREADS};
use crate::{Entry, Launch};

module!("compare");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct CompareArgs {
    y: u64,
    p: u64,
    q: u64,
    space: Space3,
}

entries! {
    EQUAL: CompareArgs = "equal_fwd_f32"
        | "equal_fwd_f16"
        | "equal_fwd_bf16"
        | "equal_fwd_i64"
        | "equal_fwd_u32"
        | "equal_fwd_u8";
    NOT_EQUAL: CompareArgs = "not_equal_fwd_f32"
        | "not_equal_fwd_f16"
        | "not_equal_fwd_bf16"
        | "not_equal_fwd_i64"
        | "not_equal_fwd_u32"
        | "not_equal_fwd_u8";
    LESS: CompareArgs = "less_fwd_f32"
        | "less_fwd_f16"
        | "less_fwd_bf16"
        | "less_fwd_i64"
        | "less_fwd_u32"
        | "less_fwd_u8";
    LESS_EQUAL: CompareArgs = "less_equal_fwd_f32"
        | "less_equal_fwd_f16"
        | "less_equal_fwd_bf16"
        | "less_equal_fwd_i64"
        | "less_equal_fwd_u32"
        | "less_equal_fwd_u8";
    LOGICAL: CompareArgs = "logical_not_fwd_u8" | "logical_and_fwd_u8" | "logical_or_fwd_u8";
}

/// What is asked of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// p = q.
    Equal,
    /// p ≠ q.
    NotEqual,
    /// p < q.
    Less,
    /// p ≤ q.
    LessEqual,
    /// p > q.
    Greater,
    /// p ≥ q.
    GreaterEqual,
}

/// A function of truth values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connective {
    /// ¬p; q is not looked at but must be there: give p again.
    Not,
    /// p ∧ q.
    And,
    /// p ∨ q.
    Or,
}

/// The operands of a comparison or connective.
#[derive(Clone, Copy, Debug)]
pub struct Operands {
    /// The shape of y.
    pub dims: Dims,
    /// The output, one byte per place, 0 or 1.
    pub y: Operand,
    /// The left operand.
    pub p: Operand,
    /// The right operand.
    pub q: Operand,
}

impl Operands {
    fn launch(&self, entry: &'static Entry, width: usize) -> Launch {
        let space = Space::new(self.dims, [&self.y, &self.p, &self.q]);
        let [y, p, q] = [&self.y, &self.p, &self.q].map(|o| o.pointer);
        entry.launch(space.grid(width), THREADS, &CompareArgs { y, p, q, space: space.into() })
    }
}

/// The launch of a comparison of operands of this dtype.
pub fn compare(relation: Relation, dtype: Dtype, operands: &Operands) -> Launch {
    let exchanged = Operands { p: operands.q, q: operands.p, ..*operands };
    let (table, operands) = match relation {
        Relation::Equal => (&EQUAL, operands),
        Relation::NotEqual => (&NOT_EQUAL, operands),
        Relation::Less => (&LESS, operands),
        Relation::LessEqual => (&LESS_EQUAL, operands),
        Relation::Greater => (&LESS, &exchanged),
        Relation::GreaterEqual => (&LESS_EQUAL, &exchanged),
    };
    // Truth values are compared as the bytes 0 and 1.
    let dtype = if dtype == Dtype::Bool { Dtype::U8 } else { dtype };
    operands.launch(&table[dtype as usize], 16 / dtype.size())
}

/// The launch of a function of truth values.
pub fn logical(connective: Connective, operands: &Operands) -> Launch {
    operands.launch(&LOGICAL[connective as usize], 16)
}
