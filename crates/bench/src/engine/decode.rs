//! This engine's writing: `generate`, as every program calls it.

use warpsmith_model::{Gpt, Sampling};
use warpsmith_tensor::{DType, Device, Tensor};

use crate::contender::{Call, Contender};
use crate::tasks::{Case, Decode};
use crate::{Error, Result};

/// Greedy decoding with a cache as a contender.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecodeEngine;

impl Contender for DecodeEngine {
    fn name(&self) -> String {
        "warpsmith".into()
    }

    fn prepare(&mut self, case: &Case, inputs: &[Tensor]) -> Result<Box<dyn Call>> {
        if case.dtype == DType::F16 {
            return Err(Error::Unsupported("decoding computes in f32 or, its products, in bf16".into()));
        }
        let sizes = Decode::read(&case.work.to_string())?;
        let model = sizes.gpt.model(case.dtype, &inputs[1..])?;
        let sampling = Sampling::greedy().max_new_tokens(sizes.new);
        let mut call =
            DecodeCall { model, sizes, dtype: case.dtype, sampling, prompt: Vec::new(), written: Vec::new() };
        call.read_prompt(inputs)?;
        Ok(Box::new(call))
    }
}

struct DecodeCall {
    model: Gpt,
    sizes: Decode,
    dtype: DType,
    sampling: Sampling,
    prompt: Vec<u32>,
    written: Vec<i64>,
}

impl DecodeCall {
    fn read_prompt(&mut self, inputs: &[Tensor]) -> Result<()> {
        let ids: Vec<i64> = inputs[0].to_vec()?;
        self.prompt = ids.into_iter().map(|id| id as u32).collect();
        Ok(())
    }
}

impl Call for DecodeCall {
    fn load(&mut self, inputs: &[Tensor]) -> Result<()> {
        self.model = self.sizes.gpt.model(self.dtype, &inputs[1..])?;
        self.read_prompt(inputs)
    }

    fn poison(&mut self) -> Result<()> {
        self.written = vec![-1; self.sizes.new];
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        let written = self.model.generate_ids(&self.prompt, &self.sampling, None)?;
        self.written = written.into_iter().map(i64::from).collect();
        Ok(())
    }

    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        Ok(vec![Tensor::from_slice(&self.written, &[self.written.len()], &Device::Cpu)?])
    }

    /// It asks for each token before it writes the next, and records its steps itself.
    fn may_be_recorded(&self) -> bool {
        false
    }
}
