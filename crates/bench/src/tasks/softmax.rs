//! Softmax along rows: `RxC`, R rows of C numbers.

use std::fmt;
use std::sync::Arc;

use warpsmith_autograd::{Meta, Op};
use warpsmith_ops::softmax::{Softmax as Forward, SoftmaxBackward};
use warpsmith_tensor::{DType, Device, Rng, Tensor};

use super::{Pass, Workload, meta, sizes};
use crate::Result;
use crate::oracle::{Term, Window, row_parts};
use crate::tensors::{normal, saved};

/// R rows of C numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// R.
    pub rows: usize,
    /// C.
    pub columns: usize,
}

pub(super) fn parse(text: &str) -> Result<Arc<dyn Workload>> {
    let [rows, columns] = sizes(text, "RxC")?;
    Ok(Arc::new(Softmax { rows, columns }))
}

impl fmt::Display for Softmax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows, self.columns)
    }
}

impl Workload for Softmax {
    fn task(&self) -> &'static str {
        "softmax"
    }

    fn letters(&self) -> Vec<(&'static str, usize)> {
        vec![("R", self.rows), ("C", self.columns)]
    }

    fn names(&self, pass: Pass) -> (&'static [&'static str], &'static [&'static str]) {
        match pass {
            Pass::Forward => (&["x"], &["y"]),
            Pass::Backward => (&["g", "y"], &["dx"]),
        }
    }

    fn op(&self, pass: Pass) -> Result<Arc<dyn Op>> {
        Ok(if pass == Pass::Forward { Arc::new(Forward) } else { Arc::new(SoftmaxBackward) })
    }

    fn inputs(&self, pass: Pass, dtype: DType, rng: &Rng, device: &Device) -> Result<Vec<Tensor>> {
        let make = || normal(&[self.rows, self.columns], dtype, rng, device);
        let x = vec![make()?];
        if pass == Pass::Forward { Ok(x) } else { Ok([vec![make()?], saved(&Forward, &x)?].concat()) }
    }

    fn metas(&self, pass: Pass, dtype: DType) -> Result<Vec<Meta>> {
        let one = meta(&[self.rows, self.columns], dtype)?;
        Ok(vec![one; if pass == Pass::Forward { 1 } else { 2 }])
    }

    fn windows(&self, pass: Pass) -> Vec<Window> {
        let inputs = if pass == Pass::Forward { 1 } else { 2 };
        let parts = row_parts(self.rows, self.columns).into_iter().map(|rows| {
            let region = vec![rows, 0..self.columns];
            let term = match pass {
                Pass::Forward => Term::new(Forward, vec![region.clone(); inputs]),
                Pass::Backward => Term::new(SoftmaxBackward, vec![region.clone(); inputs]),
            };
            Window { terms: vec![term], outputs: vec![Some(region)] }
        });
        parts.collect()
    }

    fn awkward(&self) -> Vec<Arc<dyn Workload>> {
        [[3, 70], [5, 129], [37, 33], [2, 1031], [1, 1]]
            .into_iter()
            .map(|[rows, columns]| -> Arc<dyn Workload> { Arc::new(Self { rows, columns }) })
            .collect()
    }
}
