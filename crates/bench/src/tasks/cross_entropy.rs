//! The mean negative log-likelihood of targets: `RxV`, R rows of logits over V classes.

use std::fmt;
use std::sync::Arc;

use warpsmith_autograd::{Meta, Op};
use warpsmith_ops::cross_entropy::{CrossEntropy as Forward, CrossEntropyBackward};
use warpsmith_tensor::{DType, Device, Rng, Shape, Tensor};

use super::{Pass, Workload, meta, sizes};
use crate::Result;
use crate::oracle::{Term, Window, row_parts};
use crate::tensors::{normal, saved, whole_numbers};

/// R rows of V logits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrossEntropy {
    /// R.
    pub rows: usize,
    /// V.
    pub classes: usize,
}

pub(super) fn parse(text: &str) -> Result<Arc<dyn Workload>> {
    let [rows, classes] = sizes(text, "RxV")?;
    Ok(Arc::new(CrossEntropy { rows, classes }))
}

impl fmt::Display for CrossEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows, self.classes)
    }
}

impl Workload for CrossEntropy {
    fn task(&self) -> &'static str {
        "cross-entropy"
    }

    fn letters(&self) -> Vec<(&'static str, usize)> {
        vec![("R", self.rows), ("V", self.classes)]
    }

    fn names(&self, pass: Pass) -> (&'static [&'static str], &'static [&'static str]) {
        match pass {
            Pass::Forward => (&["logits", "targets"], &["loss"]),
            Pass::Backward => (&["logits", "targets", "max", "log_sum", "dloss"], &["dlogits"]),
        }
    }

    fn op(&self, pass: Pass) -> Result<Arc<dyn Op>> {
        Ok(match pass {
            Pass::Forward => Arc::new(Forward::MEAN),
            Pass::Backward => Arc::new(CrossEntropyBackward { forward: Forward::MEAN }),
        })
    }

    fn inputs(&self, pass: Pass, dtype: DType, rng: &Rng, device: &Device) -> Result<Vec<Tensor>> {
        let logits = normal(&[self.rows, self.classes], dtype, rng, device)?;
        let inputs = vec![logits, whole_numbers(self.rows, self.classes, rng, device)?];
        if pass == Pass::Forward {
            return Ok(inputs);
        }
        let all = saved(&Forward::MEAN, &inputs)?;
        let grad = Tensor::full(Shape::scalar(), 1.0, DType::F32, device)?.to_dtype(dtype)?;
        Ok([inputs, all[1..].to_vec(), vec![grad]].concat())
    }

    fn metas(&self, pass: Pass, dtype: DType) -> Result<Vec<Meta>> {
        let inputs = vec![meta(&[self.rows, self.classes], dtype)?, meta(&[self.rows], DType::I64)?];
        if pass == Pass::Forward {
            return Ok(inputs);
        }
        let all = Forward::MEAN.shape(&inputs)?;
        Ok([inputs, all[1..].to_vec(), vec![meta(&[], dtype)?]].concat())
    }

    fn windows(&self, pass: Pass) -> Vec<Window> {
        let (r, v, share) = (self.rows, self.classes, 1.0 / self.rows as f64);
        match pass {
            // A mean is the sum of the sums of chunks, which need not be in memory all at once.
            Pass::Forward => {
                let chunk = ((1 << 18) / v).max(1);
                let term = |from: usize| {
                    let rows = from..(from + chunk).min(r);
                    Term::new(Forward::SUM, vec![vec![rows.clone(), 0..v], vec![rows]]).times(share)
                };
                let terms = (0..r).step_by(chunk).map(term).collect();
                vec![Window { terms, outputs: vec![Some(Vec::new())] }]
            }
            Pass::Backward => {
                let parts = row_parts(r, v).into_iter().map(|rows| {
                    let x = vec![rows.clone(), 0..v];
                    let of_row = vec![rows];
                    let inputs = vec![x.clone(), of_row.clone(), of_row.clone(), of_row, Vec::new()];
                    let op = CrossEntropyBackward { forward: Forward::SUM };
                    Window { terms: vec![Term::new(op, inputs).times(share)], outputs: vec![Some(x)] }
                });
                parts.collect()
            }
        }
    }

    fn awkward(&self) -> Vec<Arc<dyn Workload>> {
        [[3, 70], [5, 129], [37, 33], [1, 2]]
            .into_iter()
            .map(|[rows, classes]| -> Arc<dyn Workload> { Arc::new(Self { rows, classes }) })
            .collect()
    }
}
