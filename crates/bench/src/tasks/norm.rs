//! Normalisation of rows: `layer:RxC` (the default) or `rms:RxC`.

use std::fmt;
use std::sync::Arc;

use warpsmith_autograd::{Meta, Op};
use warpsmith_ops::layer_norm::{LayerNorm, LayerNormBackward};
use warpsmith_ops::rms_norm::{RmsNorm, RmsNormBackward};
use warpsmith_tensor::{DType, Device, Rng, Tensor};

use super::{Pass, Workload, meta, sizes};
use crate::oracle::{Region, Term, Window, row_parts};
use crate::tensors::{normal, saved};
use crate::{Error, Result};

const EPS: f64 = 1e-5;

/// R rows of C numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Norm {
    /// Root mean square alone; else mean and variance, with a bias.
    pub rms: bool,
    /// R.
    pub rows: usize,
    /// C.
    pub columns: usize,
}

pub(super) fn parse(text: &str) -> Result<Arc<dyn Workload>> {
    let (kind, shape) = text.split_once(':').unwrap_or(("layer", text));
    if kind != "layer" && kind != "rms" {
        return Err(Error::Usage(format!("{text:?} is no shape: expected layer:RxC or rms:RxC")));
    }
    let [rows, columns] = sizes(shape, "layer:RxC or rms:RxC")?;
    Ok(Arc::new(Norm { rms: kind == "rms", rows, columns }))
}

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}x{}", if self.rms { "rms" } else { "layer" }, self.rows, self.columns)
    }
}

impl Norm {
    fn term(&self, pass: Pass, inputs: Vec<Region>) -> Term {
        match (self.rms, pass) {
            (false, Pass::Forward) => Term::new(LayerNorm::new(EPS), inputs),
            (true, Pass::Forward) => Term::new(RmsNorm::new(EPS), inputs),
            (false, Pass::Backward) => Term::new(LayerNormBackward, inputs),
            (true, Pass::Backward) => Term::new(RmsNormBackward, inputs),
        }
    }

    /// Weight (and bias).
    fn weights(&self) -> usize {
        if self.rms { 1 } else { 2 }
    }
}

impl Workload for Norm {
    fn task(&self) -> &'static str {
        "norm"
    }

    fn letters(&self) -> Vec<(&'static str, usize)> {
        vec![("R", self.rows), ("C", self.columns)]
    }

    fn attributes(&self) -> Vec<(&'static str, f64)> {
        vec![("eps", EPS)]
    }

    fn names(&self, pass: Pass) -> (&'static [&'static str], &'static [&'static str]) {
        match (self.rms, pass) {
            (false, Pass::Forward) => (&["x", "weight", "bias"], &["y"]),
            (true, Pass::Forward) => (&["x", "weight"], &["y"]),
            (false, Pass::Backward) => (&["g", "x", "weight", "mean", "rstd"], &["dx", "dweight", "dbias"]),
            (true, Pass::Backward) => (&["g", "x", "weight", "rstd"], &["dx", "dweight"]),
        }
    }

    fn op(&self, pass: Pass) -> Result<Arc<dyn Op>> {
        Ok(match (self.rms, pass) {
            (false, Pass::Forward) => Arc::new(LayerNorm::new(EPS)),
            (true, Pass::Forward) => Arc::new(RmsNorm::new(EPS)),
            (false, Pass::Backward) => Arc::new(LayerNormBackward),
            (true, Pass::Backward) => Arc::new(RmsNormBackward),
        })
    }

    fn inputs(&self, pass: Pass, dtype: DType, rng: &Rng, device: &Device) -> Result<Vec<Tensor>> {
        let make = || normal(&[self.rows, self.columns], dtype, rng, device);
        let mut inputs = vec![make()?];
        for _ in 0..self.weights() {
            inputs.push(normal(&[self.columns], dtype, rng, device)?);
        }
        if pass == Pass::Forward {
            return Ok(inputs);
        }
        let all = saved(&*self.op(Pass::Forward)?, &inputs)?;
        Ok([vec![make()?], inputs[..2].to_vec(), all[1..].to_vec()].concat())
    }

    fn metas(&self, pass: Pass, dtype: DType) -> Result<Vec<Meta>> {
        let x = meta(&[self.rows, self.columns], dtype)?;
        let weight = meta(&[self.columns], dtype)?;
        let inputs = [vec![x], vec![weight; self.weights()]].concat();
        if pass == Pass::Forward {
            return Ok(inputs);
        }
        let all = self.op(Pass::Forward)?.shape(&inputs)?;
        Ok([vec![x, x, weight], all[1..].to_vec()].concat())
    }

    fn windows(&self, pass: Pass) -> Vec<Window> {
        let (r, c) = (self.rows, self.columns);
        let mut windows = Vec::new();
        for rows in row_parts(r, c) {
            let x: Region = vec![rows.clone(), 0..c];
            let inputs = match pass {
                Pass::Forward => [vec![x.clone()], vec![vec![0..c]; self.weights()]].concat(),
                Pass::Backward => {
                    [vec![x.clone(), x.clone(), vec![0..c]], vec![vec![rows]; self.weights()]].concat()
                }
            };
            let sums = if pass == Pass::Forward { 0 } else { self.weights() };
            let outputs = [vec![Some(x)], vec![None; sums]].concat();
            windows.push(Window { terms: vec![self.term(pass, inputs)], outputs });
        }
        if pass == Pass::Backward {
            // The gradients of weight and bias sum over all rows, column by column: the statistics of the rows are inputs.
            for columns in [0..c.min(8), c.saturating_sub(8)..c] {
                let x: Region = vec![0..r, columns.clone()];
                let weight: Region = vec![columns];
                let inputs = [vec![x.clone(), x, weight.clone()], vec![vec![0..r]; self.weights()]].concat();
                let outputs = [vec![None], vec![Some(weight); self.weights()]].concat();
                windows.push(Window { terms: vec![self.term(pass, inputs)], outputs });
            }
        }
        windows
    }

    fn awkward(&self) -> Vec<Arc<dyn Workload>> {
        [[3, 70], [5, 129], [37, 33], [1, 1]]
            .into_iter()
            .map(|[rows, columns]| -> Arc<dyn Workload> { Arc::new(Self { rows, columns, rms: self.rms }) })
            .collect()
    }
}
