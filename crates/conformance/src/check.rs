//! The questions that are asked of every op.

use warpsmith_autograd::Differentiability;
use warpsmith_tensor::{DType, Device};

use crate::sweep::{Item, Place};
use crate::{Tally, determinism, dtypes, forward, gradient, guard};

/// A question that is asked of every op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Are the outputs what the oracle says, for every kind of numbers and every layout of the inputs?
    Values,
    /// Is the gradient that of the formula in f64?
    Gradients,
    /// Has the same call the same bits twice, outputs and gradients?
    Repeat,
    /// Has a row alone the bits of that row in its batch?
    Rows,
    /// Is every element of an output written, whatever the memory held before, and nothing beside it?
    Guards,
}

impl Check {
    /// All questions, in the order in which they are best asked.
    pub const ALL: [Self; 5] = [Self::Values, Self::Gradients, Self::Repeat, Self::Rows, Self::Guards];

    /// One word for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Values => "values",
            Self::Gradients => "gradients",
            Self::Repeat => "repeat",
            Self::Rows => "rows",
            Self::Guards => "guards",
        }
    }

    /// Whether it can be asked on this device: guards are laid by the addresses of a GPU's memory.
    pub fn applies(self, device: &Device) -> bool {
        self != Self::Guards || !device.is_cpu()
    }

    /// The dtypes that the floats of the calls have.
    pub(crate) fn dtypes(self) -> &'static [DType] {
        match self {
            Self::Values => &[DType::F32, DType::BF16, DType::F16],
            Self::Gradients | Self::Repeat | Self::Guards | Self::Rows => &[DType::F32, DType::BF16],
        }
    }

    pub(crate) fn ask(self, item: &Item, place: &Place, tally: &mut Tally) -> Answer {
        let sample = &item.sample;
        let kinds = match dtypes(sample, item.float).map_err(text)? {
            Some(kinds) => kinds,
            // An op may refuse 16-bit floats, but never f32.
            None if item.float.is_half() => return Ok(()),
            None => return Err("takes no f32".into()),
        };
        let metas = crate::metas(sample, &kinds).map_err(text)?;
        let outputs = sample.op.shape(&metas).map_err(text)?;
        // f64 is computed on the CPU alone.
        if !place.device.is_cpu() && outputs.iter().any(|m| m.dtype == DType::F64) {
            return Ok(());
        }
        match self {
            Self::Values => forward::ask(item, place, &kinds, &metas, &outputs, tally),
            Self::Gradients if sample.op.differentiability() != Differentiability::Differentiable => Ok(()),
            Self::Gradients => gradient::ask(item, place, &kinds, tally),
            Self::Repeat => determinism::ask_twice(item, place, &kinds, tally),
            Self::Rows => determinism::ask_rows(item, place, &kinds, tally),
            Self::Guards => guard::ask(item, place, &kinds, &outputs, tally),
        }
    }
}

/// What asking gives, or the sentence that a report keeps.
pub(crate) type Answer<T = ()> = std::result::Result<T, String>;

/// An error as what a report keeps.
pub(crate) fn text(error: warpsmith_tensor::Error) -> String {
    error.to_string()
}
