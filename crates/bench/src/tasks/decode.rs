//! Writing with a GPT: `PxNxLxHxCxV`, N tokens behind a prompt of P, the likeliest each time, prompt included in the time. It
//! has no backward pass.
//!
//! The tokens are held to the model without a cache: one pass over prompt and answer has to find each token the likeliest
//! at its place, or as likely as that but for rounding.

use std::fmt;
use std::sync::Arc;

use warpsmith_autograd::{Meta, Op, no_grad};
use warpsmith_tensor::{DType, Device, Rng, Shape, Tensor};

use super::gpt::{Beside, GptSizes, distance};
use super::{Case, Pass, Workload, meta};
use crate::contender::Contender;
use crate::engine::DecodeEngine;
use crate::memory::{Footprint, numbers};
use crate::oracle::{Slack, Verdict, Wrong};
use crate::tensors::whole_numbers;
use crate::{Error, Result};

/// N tokens behind a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decode {
    /// P.
    pub prompt: usize,
    /// N.
    pub new: usize,
    /// The model; its context is P + N.
    pub gpt: GptSizes,
}

const EXPECTED: &str = "PxNxLxHxCxV";

pub(super) fn parse(text: &str) -> Result<Arc<dyn Workload>> {
    Ok(Arc::new(Decode::read(text)?))
}

impl fmt::Display for Decode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GptSizes { layers, heads, width, classes, .. } = self.gpt;
        write!(f, "{}x{}x{layers}x{heads}x{width}x{classes}", self.prompt, self.new)
    }
}

impl Decode {
    /// The sizes that [`Decode`] prints.
    pub(crate) fn read(text: &str) -> Result<Self> {
        let ([prompt, new], gpt) = GptSizes::parse(text, EXPECTED, usize::saturating_add)?;
        Ok(Self { prompt, new, gpt })
    }

    /// Tokens that go through the model: the last one that is written does not.
    fn read_tokens(&self) -> f64 {
        self.prompt as f64 + self.new as f64 - 1.0
    }

    /// Keys that all tokens which are read see together.
    fn keys(&self) -> f64 {
        let read = self.read_tokens();
        0.5 * read * (read + 1.0)
    }

    fn flops(&self) -> f64 {
        let (read, gpt) = (self.read_tokens(), &self.gpt);
        // Of the prompt only the last position needs logits.
        let unneeded = 2.0 * numbers(&[self.prompt - 1, gpt.width, gpt.classes]);
        read * gpt.flops_of_token(self.keys() / read) - unneeded
    }

    /// The logits (T, V) at every place of one sequence, in the dtype of the parameters.
    fn logits(&self, values: &[Tensor], ids: &[i64]) -> Result<Vec<f64>> {
        let model = self.gpt.model(DType::F32, values)?;
        let ids = Tensor::from_slice(ids, &[1, ids.len()], &Device::Cpu)?;
        Ok(no_grad(|| model.forward(&ids))?.to_f64_vec()?)
    }
}

impl Workload for Decode {
    fn task(&self) -> &'static str {
        "decode"
    }

    fn letters(&self) -> Vec<(&'static str, usize)> {
        let GptSizes { layers, heads, width, classes, .. } = self.gpt;
        vec![("P", self.prompt), ("N", self.new), ("L", layers), ("H", heads), ("C", width), ("V", classes)]
    }

    fn names(&self, _pass: Pass) -> (&'static [&'static str], &'static [&'static str]) {
        (&["prompt", "parameters"], &["tokens"])
    }

    fn op(&self, _pass: Pass) -> Result<Arc<dyn Op>> {
        Err(Error::Unsupported("writing is many ops, and has no backward pass".into()))
    }

    fn has(&self, pass: Pass) -> bool {
        pass == Pass::Forward
    }

    fn inputs(&self, _pass: Pass, _dtype: DType, rng: &Rng, device: &Device) -> Result<Vec<Tensor>> {
        let prompt = whole_numbers(self.prompt, self.gpt.classes, rng, device)?;
        Ok([vec![prompt], self.gpt.draw(rng, device)?].concat())
    }

    fn metas(&self, _pass: Pass, _dtype: DType) -> Result<Vec<Meta>> {
        Ok([vec![meta(&[self.prompt], DType::I64)?], self.gpt.metas()?].concat())
    }

    /// A contender's model, and the keys and values of all that it reads.
    fn footprint(&self, _pass: Pass, _dtype: DType) -> Result<Footprint> {
        let cache = 2.0 * numbers(&[self.gpt.layers, self.gpt.context, self.gpt.width]);
        let between = DType::F32.size() as f64 * cache;
        let oracle = self.gpt.oracle_bytes(self.flops());
        let prompt = self.prompt as f64 * DType::I64.size() as f64;
        Ok(Footprint { inputs: prompt + self.gpt.bytes(), between, oracle, ..Footprint::default() })
    }

    fn outputs(&self, _pass: Pass, _inputs: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![Meta { shape: Shape::new(&[self.new])?, dtype: DType::I64 }])
    }

    /// The parameters once for each token, and the keys and values that each sees.
    fn cost(&self, pass: Pass, _inputs: &[Meta]) -> Result<(u64, u64)> {
        if pass == Pass::Backward {
            self.op(pass)?;
        }
        let positions = self.gpt.context * self.gpt.width;
        let weights = 4 * (self.new * (self.gpt.parameters() - positions)) as u64;
        let cache = 2.0 * 4.0 * self.keys() * (self.gpt.layers * self.gpt.width) as f64;
        Ok((weights + cache as u64, self.flops() as u64))
    }

    fn tokens(&self) -> Option<u64> {
        Some(self.new as u64)
    }

    fn judge(&self, case: &Case, inputs: &[Tensor], outputs: &[Tensor], _slack: Slack) -> Result<Verdict> {
        let (prompt, tokens): (Vec<i64>, Vec<i64>) = (inputs[0].to_vec()?, outputs[0].to_vec()?);
        let v = self.gpt.classes;
        let as_numbers = |tokens: &[i64]| tokens.iter().map(|t| *t as f64).collect::<Vec<_>>();
        if let Some(at) = tokens.iter().position(|t| !(0..v as i64).contains(t)) {
            return Ok(Verdict::Wrong(Box::new(Wrong {
                output: 0,
                place: vec![at],
                got: tokens[at] as f64,
                expected: 0.0,
                allowed: (v - 1) as f64,
                count: (1, tokens.len()),
                around: [as_numbers(&tokens), Vec::new()],
                looks_like: Some("no token of the model"),
            })));
        }
        let oracle = GptSizes::oracle_dtype(self.flops());
        let beside = Beside::new(&self.gpt, &inputs[1..], case.dtype, oracle, 1.0)?;
        let ids = [&prompt[..], &tokens[..tokens.len() - 1]].concat();
        let (logits, moved) = (self.logits(&beside.values, &ids)?, self.logits(&beside.moved, &ids)?);
        let (mut worst, mut likeliest, mut beyond) = (0.0f64, Vec::new(), Vec::new());
        for (i, &token) in tokens.iter().enumerate() {
            let at = (self.prompt - 1 + i) * v..(self.prompt + i) * v;
            let (row, other) = (&logits[at.clone()], &moved[at]);
            let best = (0..v).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0);
            // Both logits may be off.
            let allowed = 2.0 * beside.allowed * distance(row, other) / (v as f64).sqrt();
            let below = row[best] - row[token as usize];
            let share = if below == 0.0 { 0.0 } else { below / allowed };
            worst = worst.max(share);
            likeliest.push(best as i64);
            if share.is_nan() || share > 1.0 {
                beyond.push((i, row[token as usize], row[best], allowed));
            }
        }
        let Some(&(at, got, expected, allowed)) = beyond.first() else {
            return Ok(Verdict::Right { worst, compared: tokens.len() });
        };
        Ok(Verdict::Wrong(Box::new(Wrong {
            output: 0,
            place: vec![at],
            got,
            expected,
            allowed,
            count: (beyond.len(), tokens.len()),
            around: [as_numbers(&tokens), as_numbers(&likeliest)],
            looks_like: Some("not the likeliest token (the two numbers are logits, the lists are tokens)"),
        })))
    }

    fn wants_proof_on_small(&self) -> bool {
        GptSizes::oracle_dtype(self.flops()) != DType::F64
    }

    fn engine(&self) -> Box<dyn Contender> {
        Box::new(DecodeEngine)
    }

    fn awkward(&self) -> Vec<Arc<dyn Workload>> {
        let shape = |prompt, new, layers, heads, width, classes| -> Arc<dyn Workload> {
            let gpt = GptSizes { context: prompt + new, layers, heads, width, classes };
            Arc::new(Self { prompt, new, gpt })
        };
        vec![shape(1, 1, 1, 1, 8, 5), shape(7, 5, 2, 2, 16, 37), shape(1, 9, 1, 3, 24, 65)]
    }
}
