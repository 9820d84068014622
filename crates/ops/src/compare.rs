//! a = b, a ≠ b, a < b, a ≤ b, a > b, a ≥ b, as truth values, with broadcasting.
//!
//! Derivative: none, the result is constant almost everywhere. Shapes: `(…)`, `(…)` → their broadcast, bool. Any dtype,
//! both the same. Numerics: exact; NaN differs from everything and is neither below nor above.

use bytemuck::Pod;
use warpsmith_autograd::{Array, Cost, Differentiability, Input, Meta, Op, Sample, Spec, apply_single};
use warpsmith_kernels::{compare as kernel, dims};
use warpsmith_tensor::{DType, Element, Error, Result, Tensor};

use crate::elementwise::{BROADCASTS, binary_reference, binary_symbols, broadcast_shape};
use crate::zip::{Operand, zip};

/// What is asked of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// a = b.
    Equal,
    /// a ≠ b.
    NotEqual,
    /// a < b.
    Less,
    /// a ≤ b.
    LessEqual,
    /// a > b.
    Greater,
    /// a ≥ b.
    GreaterEqual,
}

/// Compares element by element.
#[derive(Clone, Copy, Debug)]
pub struct Compare {
    /// What is asked.
    pub relation: Relation,
}

impl Op for Compare {
    fn name(&self) -> &'static str {
        match self.relation {
            Relation::Equal => "eq",
            Relation::NotEqual => "ne",
            Relation::Less => "lt",
            Relation::LessEqual => "le",
            Relation::Greater => "gt",
            Relation::GreaterEqual => "ge",
        }
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        if x[0].dtype != x[1].dtype {
            return Err(Error::dtype(self.name(), "the inputs differ in dtype")
                .operands(x.iter().map(|m| (m.shape, m.dtype)))
                .hint("convert with to_dtype"));
        }
        Ok(vec![Meta::new(broadcast_shape(self.name(), x)?, DType::Bool)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        binary_reference(x, y, |a, b| f64::from(holds(self.relation, &a, &b)));
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let mut out = Tensor::empty(y[0].shape, DType::Bool, &x[0].device())?;
        match x[0].dtype() {
            DType::F32 => self.run::<f32>(&x, &mut out)?,
            DType::I64 => self.run::<i64>(&x, &mut out)?,
            // Short integers and truth values are rare here: one loop for all of them.
            _ => {
                let wide = x.iter().map(|t| t.to_dtype(DType::I64)).collect::<Result<Vec<_>>>()?;
                self.run::<i64>(&wide, &mut out)?;
            }
        }
        Ok(vec![out])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (dtype, device) = (x[0].dtype().on_device(self.name())?, x[0].device());
        let mut out = Tensor::empty(y[0].shape, DType::Bool, &device)?;
        let (p, q) = (x[0].operand(&y[0].shape)?, x[1].operand(&y[0].shape)?);
        let operands = kernel::Operands { dims: dims(y[0].dims()), y: out.operand_mut()?, p, q };
        let relation = match self.relation {
            Relation::Equal => kernel::Relation::Equal,
            Relation::NotEqual => kernel::Relation::NotEqual,
            Relation::Less => kernel::Relation::Less,
            Relation::LessEqual => kernel::Relation::LessEqual,
            Relation::Greater => kernel::Relation::Greater,
            Relation::GreaterEqual => kernel::Relation::GreaterEqual,
        };
        device.launch(&kernel::compare(relation, dtype, &operands))?;
        Ok(vec![out])
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::ByDefinitionNot
    }

    fn cost(&self) -> Cost {
        Cost::new("(N+M)*s", "R", "R")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        binary_symbols(self.name(), x)
    }
}

fn holds<T: PartialOrd>(relation: Relation, a: &T, b: &T) -> bool {
    match relation {
        Relation::Equal => a == b,
        Relation::NotEqual => a != b,
        Relation::Less => a < b,
        Relation::LessEqual => a <= b,
        Relation::Greater => a > b,
        Relation::GreaterEqual => a >= b,
    }
}

impl Compare {
    /// One loop per relation, so that no loop asks which.
    fn run<T: Element<Repr = T> + Pod + PartialOrd>(&self, x: &[Tensor], out: &mut Tensor) -> Result<()> {
        let shape = *out.shape();
        let (a, b) = (Operand::new::<T>(&x[0], &shape)?, Operand::new::<T>(&x[1], &shape)?);
        let y = out.data_mut::<bool>()?;
        match self.relation {
            Relation::Equal => zip(
                y,
                &a,
                &b,
                1,
                #[inline(always)]
                |a, b| u8::from(a == b),
            ),
            Relation::NotEqual => zip(
                y,
                &a,
                &b,
                1,
                #[inline(always)]
                |a, b| u8::from(a != b),
            ),
            Relation::Less => less(y, &a, &b),
            Relation::Greater => less(y, &b, &a),
            Relation::LessEqual => less_equal(y, &a, &b),
            Relation::GreaterEqual => less_equal(y, &b, &a),
        }
        Ok(())
    }
}

fn less<T: Pod + PartialOrd + Sync>(y: &mut [u8], a: &Operand<'_, T>, b: &Operand<'_, T>) {
    zip(
        y,
        a,
        b,
        1,
        #[inline(always)]
        |a, b| u8::from(a < b),
    );
}

fn less_equal<T: Pod + PartialOrd + Sync>(y: &mut [u8], a: &Operand<'_, T>, b: &Operand<'_, T>) {
    zip(
        y,
        a,
        b,
        1,
        #[inline(always)]
        |a, b| u8::from(a <= b),
    );
}

methods! {
    /// Where this equals `other`, as truth values.
    ///
    /// # Errors
    /// If the shapes do not broadcast or the dtypes differ; so for all comparisons.
    fn eq(&self, other: &Tensor) -> Result<Tensor> {
        apply_single(Compare { relation: Relation::Equal }, &[self, other])
    }

    /// Where this differs from `other`.
    fn ne(&self, other: &Tensor) -> Result<Tensor> {
        apply_single(Compare { relation: Relation::NotEqual }, &[self, other])
    }

    /// Where this is less than `other`.
    fn lt(&self, other: &Tensor) -> Result<Tensor> {
        apply_single(Compare { relation: Relation::Less }, &[self, other])
    }

    /// Where this is at most `other`.
    fn le(&self, other: &Tensor) -> Result<Tensor> {
        apply_single(Compare { relation: Relation::LessEqual }, &[self, other])
    }

    /// Where this is greater than `other`.
    fn gt(&self, other: &Tensor) -> Result<Tensor> {
        apply_single(Compare { relation: Relation::Greater }, &[self, other])
    }

    /// Where this is at least `other`.
    fn ge(&self, other: &Tensor) -> Result<Tensor> {
        apply_single(Compare { relation: Relation::GreaterEqual }, &[self, other])
    }
}

fn samples(relation: Relation) -> Vec<Sample> {
    let floats = BROADCASTS.map(|(a, b)| Sample::new(Compare { relation }, [Input::any(a), Input::any(b)]));
    let index = |dims| Input::index(dims, 3);
    let whole = Sample::new(Compare { relation }, [index(&[3, 35]), index(&[35])]);
    let truth = Sample::new(Compare { relation }, [Input::mask(&[33]), Input::mask(&[33])]);
    floats.into_iter().chain([whole, truth]).collect()
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec { name: "eq", summary: "a = b", samples: || samples(Relation::Equal) },
        Spec { name: "ne", summary: "a ≠ b", samples: || samples(Relation::NotEqual) },
        Spec { name: "lt", summary: "a < b", samples: || samples(Relation::Less) },
        Spec { name: "le", summary: "a ≤ b", samples: || samples(Relation::LessEqual) },
        Spec { name: "gt", summary: "a > b", samples: || samples(Relation::Greater) },
        Spec { name: "ge", summary: "a ≥ b", samples: || samples(Relation::GreaterEqual) },
    ]
}
