//! C = f(A·B + bias) + residual + C, batched, in f32, f16 and bf16. See `matmul.cu`, `matmul_f32.cu`, `matmul_reduce.cu`.

pub(crate) mod args;
mod plan;
pub(crate) mod reduce;
pub(crate) mod strided;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::entry::{half_entries, half_modules};
use crate::{Float, Launch};
use args::MatmulArgs;
pub use plan::{Plan, Tile};

half_modules!("matmul");

half_entries! {
    NN: MatmulArgs = "matmul_nn_small" | "matmul_nn" | "matmul_nn_wide";
    NT: MatmulArgs = "matmul_nt_small" | "matmul_nt" | "matmul_nt_wide";
    TN: MatmulArgs = "matmul_tn_small" | "matmul_tn" | "matmul_tn_wide";
    TT: MatmulArgs = "matmul_tt_small" | "matmul_tt";
}

/// Batch dims, innermost first.
pub const BATCH_DIMS: usize = 3;

/// One operand: element (row, col) of batch index (i, j, k) lies `row·rows + col·cols + i·batch[0] + …` elements after
/// the pointer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Matrix {
    /// Its first element.
    pub pointer: u64,
    /// Elements from one row to the next.
    pub row: i64,
    /// Elements from one column to the next.
    pub col: i64,
    /// Elements from one batch index to the next; 0 repeats.
    pub batch: [i64; BATCH_DIMS],
}

/// The function after a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Activation {
    /// None.
    #[default]
    Identity = 0,
    /// The tanh form of GELU.
    GeluTanh = 1,
    /// x·Φ(x).
    Gelu = 2,
    /// max(x, 0).
    Relu = 5,
    /// x·σ(x).
    Silu = 6,
    /// The product times what lies at `slope`: the backward pass of an activation.
    Times = 7,
}

/// A product. Optional pointers are 0 if there is nothing. Bias and residual have the dtype `beside`, the slope that of C;
/// but for the bias, they lie as C does.
#[derive(Clone, Copy, Debug)]
pub struct Matmul {
    /// The dtype of A and B.
    pub dtype: Float,
    /// The dtype of C: that of A and B, or f32.
    pub out: Float,
    /// The dtype of bias and residual: that of A and B, or f32.
    pub beside: Float,
    /// Rows of C.
    pub m: u32,
    /// Columns of C.
    pub n: u32,
    /// What is summed over; with 0 the product is 0.
    pub k: u32,
    /// How many products, innermost first.
    pub batch: [u32; BATCH_DIMS],
    /// (M, K)
    pub a: Matrix,
    /// (K, N)
    pub b: Matrix,
    /// (M, N), gapless rows.
    pub c: u64,
    /// Elements from one row of C to the next.
    pub c_row: i64,
    /// Elements from one C to the next.
    pub c_batch: i64,
    /// (N,), added to each row.
    pub bias: u64,
    /// Read by [`Activation::Times`]; otherwise where f'(product + bias) goes if f is a GELU.
    pub slope: u64,
    /// Added after the activation; may be C if it has C's dtype.
    pub residual: u64,
    /// The function.
    pub activation: Activation,
    /// Whether what C held is added, too.
    pub accumulate: bool,
}

impl Activation {
    /// Whether a product can keep f' beside f.
    pub fn has_slope(self) -> bool {
        matches!(self, Self::GeluTanh | Self::Gelu)
    }
}

impl Matmul {
    /// One product C (M, N) = A (M, K)·B (K, N) of gapless rows, all of one dtype, and nothing done to it; C lies at `c`.
    pub fn plain(dtype: Float, [m, n, k]: [u32; 3], a: Matrix, b: Matrix, c: u64) -> Self {
        Self {
            dtype,
            out: dtype,
            beside: dtype,
            m,
            n,
            k,
            batch: [1; BATCH_DIMS],
            a,
            b,
            c,
            c_row: n.into(),
            c_batch: i64::from(m) * i64::from(n),
            bias: 0,
            slope: 0,
            residual: 0,
            activation: Activation::Identity,
            accumulate: false,
        }
    }

    /// Whether A and B lie with their columns gapless rather than their rows.
    fn transposed(&self) -> Result<[bool; 2], UnsupportedStrides> {
        Ok([transposed(&self.a, self.m, self.k, "A")?, transposed(&self.b, self.k, self.n, "B")?])
    }
}

/// An operand of 16-bit floats has stride 1 along neither axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedStrides {
    /// "A" or "B".
    pub operand: &'static str,
    /// Its strides along rows and columns.
    pub strides: [i64; 2],
}

impl fmt::Display for UnsupportedStrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operand, strides } = self;
        write!(
            f,
            "matmul of 16-bit floats needs stride 1 along an axis of {operand}, not {strides:?}: copy it first"
        )
    }
}

impl std::error::Error for UnsupportedStrides {}

/// The launches of a product, in order: one, or two where K is split, which needs `workspace` of
/// [`Plan::workspace_bytes`].
///
/// # Errors
/// If strides do not fit.
pub fn matmul(product: &Matmul, workspace: u64) -> Result<Vec<Launch>, UnsupportedStrides> {
    planned(product, &Plan::of(product), workspace)
}

/// As [`matmul`], with a plan of the caller's.
///
/// # Errors
/// If strides do not fit.
pub fn planned(product: &Matmul, plan: &Plan, workspace: u64) -> Result<Vec<Launch>, UnsupportedStrides> {
    let mut args = MatmulArgs::new(product, plan);
    args.partial = workspace;
    let first = if product.dtype == Float::F32 {
        strided::launch(&args, plan.blocks())
    } else {
        let lies = product.transposed()?;
        let table = match lies {
            [false, false] => &NN[..],
            [false, true] => &NT,
            [true, false] => &TN,
            [true, true] => &TT,
        };
        args.align(product, lies);
        let entry = &table[usize::from(product.dtype == Float::Bf16) + 2 * plan.tile as usize];
        let mut launch = entry.launch([plan.blocks(), 1, 1], plan.tile.threads(), &args);
        launch.shared_bytes = plan.tile.shared_bytes();
        launch
    };
    let second = (plan.splits > 1).then(|| reduce::launch(product, &args));
    Ok([Some(first), second].into_iter().flatten().collect())
}

/// Whether an operand lies with its columns gapless rather than its rows.
fn transposed(x: &Matrix, rows: u32, cols: u32, operand: &'static str) -> Result<bool, UnsupportedStrides> {
    match (x.row == 1 || rows <= 1, x.col == 1 || cols <= 1) {
        (_, true) => Ok(false),
        (true, false) => Ok(true),
        (false, false) => Err(UnsupportedStrides { operand, strides: [x.row, x.col] }),
    }
}
