//! This engine as a contender: the op of the case, applied as every program applies it.

mod decode;
mod step;

use warpsmith_autograd::{Meta, Op, apply_owned, no_grad};
use warpsmith_tensor::{DType, Device, Shape, Tensor};

use crate::Result;
use crate::contender::{Call, Contender};
use crate::tasks::Case;
use crate::tensors::{overwrite, poison};

pub use decode::DecodeEngine;
pub use step::StepEngine;

/// This engine, on whatever device the inputs lie.
#[derive(Clone, Copy, Debug, Default)]
pub struct Engine;

impl Contender for Engine {
    fn name(&self) -> String {
        "warpsmith".into()
    }

    fn prepare(&mut self, case: &Case, inputs: &[Tensor]) -> Result<Box<dyn Call>> {
        let op = case.work.op(case.pass)?;
        let own = inputs.iter().map(Tensor::copy).collect::<warpsmith_tensor::Result<Vec<_>>>()?;
        let metas = case.outputs(inputs)?;
        let pattern = case.work.in_place();
        // How many inputs and outputs one repetition of the pattern has.
        let steps = (own.len() / metas.len().div_ceil(pattern.len().max(1)).max(1), pattern.len());
        let place = |i: usize| {
            let (output, input) = pattern[i % pattern.len()];
            (i / pattern.len() * steps.1 + output, i / pattern.len() * steps.0 + input)
        };
        let in_place = if pattern.is_empty() { Vec::new() } else { (0..metas.len()).map(place).collect() };
        let blank = Tensor::zeros(Shape::scalar(), DType::F32, &Device::Cpu)?;
        Ok(Box::new(EngineCall { op, inputs: own, outputs: Vec::new(), metas, in_place, blank }))
    }
}

struct EngineCall {
    op: std::sync::Arc<dyn Op>,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    metas: Vec<Meta>,
    /// (output, input) of every input that is written over.
    in_place: Vec<(usize, usize)>,
    /// Stands where an input was given away.
    blank: Tensor,
}

impl Call for EngineCall {
    fn load(&mut self, inputs: &[Tensor]) -> Result<()> {
        self.outputs.clear();
        self.reload(inputs)
    }

    /// The outputs are taken anew by each run: what is poisoned is the memory that they are taken from.
    fn poison(&mut self) -> Result<()> {
        self.outputs.clear();
        let device = self.inputs[0].device();
        let held = self.metas.iter().map(|meta| poison(meta, &device)).collect::<Result<Vec<_>>>()?;
        drop(held);
        Ok(())
    }

    fn reload(&mut self, inputs: &[Tensor]) -> Result<()> {
        self.inputs.iter_mut().zip(inputs).try_for_each(|(own, new)| overwrite(own, new))
    }

    fn poison_in_place(&mut self) -> Result<()> {
        let device = self.inputs[0].device();
        let pairs = self.outputs.iter_mut().zip(&self.metas);
        pairs.into_iter().try_for_each(|(output, meta)| overwrite(output, &poison(meta, &device)?))
    }

    fn run(&mut self) -> Result<()> {
        self.outputs.clear();
        if self.in_place.is_empty() {
            self.outputs = no_grad(|| apply_owned(self.op.clone(), self.inputs.clone()))?;
            return Ok(());
        }
        // What is written over is given away, or the op would find it shared and copy it.
        let mut given = self.inputs.clone();
        for (_, input) in &self.in_place {
            self.inputs[*input] = self.blank.clone();
        }
        let outputs = no_grad(|| apply_owned(self.op.clone(), std::mem::take(&mut given)))?;
        for ((_, input), output) in self.in_place.iter().zip(outputs) {
            self.inputs[*input] = output;
        }
        Ok(())
    }

    fn may_be_recorded(&self) -> bool {
        self.in_place.is_empty()
    }

    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        if self.in_place.is_empty() {
            return Ok(self.outputs.clone());
        }
        Ok(self.in_place.iter().map(|(_, input)| self.inputs[*input].clone()).collect())
    }
}
