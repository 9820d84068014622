//! One step of AdamW on many parameters: `NxE`, N parameters of E numbers each. It has a forward pass only.

use std::fmt;
use std::sync::Arc;

use warpsmith_autograd::{Meta, Op};
use warpsmith_ops::adamw::AdamW as Update;
use warpsmith_tensor::{DType, Device, Rng, Tensor};

use super::{Pass, Workload, meta, sizes};
use crate::memory::{Footprint, SMALLEST};
use crate::oracle::{Term, Window, row_parts};
use crate::tensors::{between, normal};
use crate::{Error, Result};

/// N parameters of E numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdamW {
    /// N.
    pub tensors: usize,
    /// E.
    pub elements: usize,
}

pub(super) fn parse(text: &str) -> Result<Arc<dyn Workload>> {
    let [tensors, elements] = sizes(text, "NxE")?;
    Ok(Arc::new(AdamW { tensors, elements }))
}

impl fmt::Display for AdamW {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.tensors, self.elements)
    }
}

/// A late step, so that the corrections of the means are small.
const UPDATE: Update = Update { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, step: 1000 };

/// p, m and v of one parameter are written over its inputs 0, 2 and 3.
const IN_PLACE: [(usize, usize); 3] = [(0, 0), (1, 2), (2, 3)];

impl Workload for AdamW {
    fn task(&self) -> &'static str {
        "adamw"
    }

    fn letters(&self) -> Vec<(&'static str, usize)> {
        vec![("N", self.tensors), ("E", self.elements)]
    }

    fn attributes(&self) -> Vec<(&'static str, f64)> {
        let Update { lr, beta1, beta2, eps, weight_decay, step } = UPDATE;
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        vec![
            ("lr", lr),
            ("beta1", beta1),
            ("beta2", beta2),
            ("eps", eps),
            ("weight_decay", weight_decay),
            ("correction1", correction(beta1)),
            ("correction2", correction(beta2)),
        ]
    }

    fn names(&self, _pass: Pass) -> (&'static [&'static str], &'static [&'static str]) {
        (&["p", "g", "m", "v"], &["p", "m", "v"])
    }

    fn op(&self, pass: Pass) -> Result<Arc<dyn Op>> {
        match pass {
            Pass::Forward => Ok(Arc::new(UPDATE)),
            Pass::Backward => Err(Error::Unsupported("an update has no backward pass".into())),
        }
    }

    fn inputs(&self, _pass: Pass, dtype: DType, rng: &Rng, device: &Device) -> Result<Vec<Tensor>> {
        let mut inputs = Vec::new();
        for _ in 0..self.tensors {
            let dims = [self.elements];
            for _ in 0..3 {
                inputs.push(normal(&dims, dtype, rng, device)?);
            }
            inputs.push(between(&dims, 0.01, 1.0, dtype, rng, device)?);
        }
        Ok(inputs)
    }

    fn metas(&self, _pass: Pass, dtype: DType) -> Result<Vec<Meta>> {
        Ok(vec![meta(&[self.elements], dtype)?; 4 * self.tensors])
    }

    /// The tensors may be too many to be named, and the outputs lie where the inputs were.
    fn footprint(&self, _pass: Pass, dtype: DType) -> Result<Footprint> {
        let one = (self.elements as f64 * dtype.size() as f64).max(SMALLEST);
        Ok(Footprint { inputs: 4.0 * self.tensors as f64 * one, ..Footprint::default() })
    }

    /// The pattern of one parameter, which repeats: output 3i + j over input 4i + k.
    fn in_place(&self) -> &'static [(usize, usize)] {
        &IN_PLACE
    }

    fn windows(&self, _pass: Pass) -> Vec<Window> {
        let mut windows = Vec::new();
        let picked = std::collections::BTreeSet::from([0, self.tensors / 2, self.tensors - 1]);
        for tensor in picked {
            for part in row_parts(self.elements, 1) {
                let mut outputs = vec![None; 3 * self.tensors];
                outputs[3 * tensor..][..3].fill(Some(vec![part.clone()]));
                let inputs = vec![vec![part]; 4];
                windows
                    .push(Window { terms: vec![Term::new(UPDATE, inputs).of_inputs(4 * tensor)], outputs });
            }
        }
        windows
    }

    fn awkward(&self) -> Vec<Arc<dyn Workload>> {
        [[1, 257], [1, 1031], [1, 1]]
            .into_iter()
            .map(|[tensors, elements]| -> Arc<dyn Workload> { Arc::new(Self { tensors, elements }) })
            .collect()
    }
}
