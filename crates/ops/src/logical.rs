//! ¬a, a ∧ b, a ∨ b on truth values, the last two with broadcasting.
//!
//! Derivative: none. Shapes: `(…)` → `(…)`; `(…)`, `(…)` → their broadcast. Bool alone.

use warpsmith_autograd::{Array, Cost, Differentiability, Input, Meta, Op, Sample, Spec, apply_single};
use warpsmith_kernels::{compare as kernel, dims};
use warpsmith_tensor::{DType, Error, Result, Tensor};

use crate::elementwise::{BROADCASTS, binary_reference, broadcast_shape, unary_reference};
use crate::zip::{Operand, zip};

/// Which function of truth values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connective {
    /// ¬a.
    Not,
    /// a ∧ b.
    And,
    /// a ∨ b.
    Or,
}

/// A function of truth values.
#[derive(Clone, Copy, Debug)]
pub struct Logical {
    /// Which one.
    pub connective: Connective,
}

impl Op for Logical {
    fn name(&self) -> &'static str {
        match self.connective {
            Connective::Not => "logical_not",
            Connective::And => "logical_and",
            Connective::Or => "logical_or",
        }
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        x.iter().try_for_each(|m| require_mask(self.name(), m))?;
        Ok(vec![Meta::new(broadcast_shape(self.name(), x)?, DType::Bool)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        match self.connective {
            Connective::Not => unary_reference(x, y, |a| 1.0 - a),
            Connective::And => binary_reference(x, y, f64::min),
            Connective::Or => binary_reference(x, y, f64::max),
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let mut out = Tensor::empty(y[0].shape, DType::Bool, &x[0].device())?;
        // Of one operand the function is that of the operand with itself.
        let (a, b) = (&x[0], x.last().unwrap_or(&x[0]));
        let (a, b) = (Operand::new::<bool>(a, &y[0].shape)?, Operand::new::<bool>(b, &y[0].shape)?);
        let to = out.data_mut::<bool>()?;
        // A byte other than 0 is true, whichever it is.
        match self.connective {
            Connective::Not => zip(
                to,
                &a,
                &b,
                1,
                #[inline(always)]
                |a, _| u8::from(a == 0),
            ),
            Connective::And => zip(
                to,
                &a,
                &b,
                1,
                #[inline(always)]
                |a, b| u8::from(a != 0 && b != 0),
            ),
            Connective::Or => zip(
                to,
                &a,
                &b,
                1,
                #[inline(always)]
                |a, b| u8::from(a | b != 0),
            ),
        }
        Ok(vec![out])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let device = x[0].device();
        let mut out = Tensor::empty(y[0].shape, DType::Bool, &device)?;
        // Of one operand the function is that of the operand with itself.
        let (p, q) = (x[0].operand(&y[0].shape)?, x.last().unwrap_or(&x[0]).operand(&y[0].shape)?);
        let operands = kernel::Operands { dims: dims(y[0].dims()), y: out.operand_mut()?, p, q };
        let connective = match self.connective {
            Connective::Not => kernel::Connective::Not,
            Connective::And => kernel::Connective::And,
            Connective::Or => kernel::Connective::Or,
        };
        device.launch(&kernel::logical(connective, &operands))?;
        Ok(vec![out])
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::ByDefinitionNot
    }

    fn cost(&self) -> Cost {
        Cost::new("M", "R", "R")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let result = broadcast_shape(self.name(), x).map_or(0, |shape| shape.numel());
        vec![("M", x.iter().map(|m| m.shape.numel()).sum()), ("R", result)]
    }
}

/// An error unless `mask` holds truth values.
pub(crate) fn require_mask(op: &'static str, mask: &Meta) -> Result<()> {
    if mask.dtype == DType::Bool {
        return Ok(());
    }
    Err(Error::dtype(op, format!("a mask is bool, not {}", mask.dtype))
        .operands([(mask.shape, mask.dtype)])
        .hint("compare it with something, or convert with to_dtype"))
}

methods! {
    /// Where this is false.
    ///
    /// # Errors
    /// If it does not hold truth values.
    fn logical_not(&self) -> Result<Tensor> {
        apply_single(Logical { connective: Connective::Not }, &[self])
    }

    /// Where both are true.
    ///
    /// # Errors
    /// If the shapes do not broadcast, or one does not hold truth values.
    fn logical_and(&self, other: &Tensor) -> Result<Tensor> {
        apply_single(Logical { connective: Connective::And }, &[self, other])
    }

    /// Where at least one is true.
    ///
    /// # Errors
    /// If the shapes do not broadcast, or one does not hold truth values.
    fn logical_or(&self, other: &Tensor) -> Result<Tensor> {
        apply_single(Logical { connective: Connective::Or }, &[self, other])
    }
}

fn binary(connective: Connective) -> Vec<Sample> {
    BROADCASTS.map(|(a, b)| Sample::new(Logical { connective }, [Input::mask(a), Input::mask(b)])).into()
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    let not = || {
        let shapes: [&[usize]; 4] = [&[3, 5, 35], &[1], &[2, 0], &[]];
        let op = Logical { connective: Connective::Not };
        shapes.map(|dims| Sample::new(op, [Input::mask(dims)])).into()
    };
    vec![
        Spec { name: "logical_not", summary: "¬a", samples: not },
        Spec { name: "logical_and", summary: "a ∧ b", samples: || binary(Connective::And) },
        Spec { name: "logical_or", summary: "a ∨ b", samples: || binary(Connective::Or) },
    ]
}
