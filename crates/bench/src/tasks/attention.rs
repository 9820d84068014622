//! softmax(q·kᵀ/√D)·v, causal unless said otherwise: `BxTxHxD`, `BxTxH/HkvxD` for shared keys, `full:` before it for no mask.

use std::fmt;
use std::sync::Arc;

use warpsmith_autograd::{Meta, Op};
use warpsmith_ops::attention::{Attention as Forward, AttentionBackward, Mask};
use warpsmith_tensor::{DType, Device, Rng, Tensor};

use super::{Pass, Workload, meta, sizes};
use crate::memory::numbers;
use crate::oracle::{Region, Term, Window};
use crate::tensors::{normal, saved};
use crate::{Error, Result};

/// Self-attention of B sequences of T tokens with H heads of width D, of which groups share one of Hkv keys and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attention {
    /// B.
    pub batch: usize,
    /// T, of queries and keys.
    pub time: usize,
    /// H.
    pub heads: usize,
    /// Hkv, a divisor of H.
    pub kv_heads: usize,
    /// D.
    pub width: usize,
    /// Whether a query sees only keys up to its own place.
    pub causal: bool,
}

const EXPECTED: &str = "BxTxHxD or BxTxH/HkvxD with Hkv a divisor of H, after `full:` if no mask is wanted";

pub(super) fn parse(text: &str) -> Result<Arc<dyn Workload>> {
    let (causal, rest) = text.strip_prefix("full:").map_or((true, text), |rest| (false, rest));
    let (shape, kv) = match rest.split_once('/') {
        None => (rest.to_owned(), None),
        Some((before, behind)) => {
            let (kv, width) = behind.split_once('x').unwrap_or((behind, ""));
            (format!("{before}x{width}"), Some(kv.parse::<usize>().unwrap_or(0)))
        }
    };
    let [batch, time, heads, width] = sizes(&shape, EXPECTED)?;
    let kv_heads = kv.unwrap_or(heads);
    if kv_heads == 0 || heads % kv_heads != 0 {
        return Err(Error::Usage(format!("{text:?} is no shape: expected {EXPECTED}")));
    }
    Ok(Arc::new(Attention { batch, time, heads, kv_heads, width, causal }))
}

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, time, heads, kv_heads, width, causal } = self;
        let mask = if *causal { "" } else { "full:" };
        let kv = if kv_heads == heads { String::new() } else { format!("/{kv_heads}") };
        write!(f, "{mask}{batch}x{time}x{heads}{kv}x{width}")
    }
}

/// Above so many multiply-adds of q·kᵀ the oracle looks at parts.
const WHOLE: f64 = 4_194_304.0;
/// Rows of one part.
const ROWS: usize = 24;

impl Attention {
    fn forward(&self) -> Forward {
        Forward { mask: if self.causal { Mask::Causal } else { Mask::Full }, ..Forward::default() }
    }

    /// One group of heads of one batch row, and queries `from..to` with all the keys that they see: the causal mask of the
    /// cut-out is that of the whole, since it is causal at the end.
    fn rows(&self, b: usize, kv: usize, from: usize, to: usize, pass: Pass) -> Window {
        let group = self.heads / self.kv_heads;
        let (heads, keys) = (kv * group..(kv + 1) * group, if self.causal { to } else { self.time });
        let q: Region = vec![b..b + 1, from..to, heads.clone(), 0..self.width];
        let k: Region = vec![b..b + 1, 0..keys, kv..kv + 1, 0..self.width];
        let lse: Region = vec![b..b + 1, heads, from..to];
        match pass {
            Pass::Forward => Window {
                terms: vec![Term::new(self.forward(), vec![q.clone(), k.clone(), k])],
                outputs: vec![Some(q)],
            },
            Pass::Backward => {
                let inputs = vec![q.clone(), q.clone(), k.clone(), k, q.clone(), lse];
                Window {
                    terms: vec![Term::new(AttentionBackward(self.forward()), inputs)],
                    outputs: vec![Some(q), None, None],
                }
            }
        }
    }

    /// dk and dv of the keys `from..to`: the queries beside them under the mask, and those behind, which see them all. Each
    /// part gives the right sum by itself, because the rows' statistics are inputs.
    fn columns(&self, b: usize, kv: usize, from: usize, to: usize) -> Window {
        let group = self.heads / self.kv_heads;
        let heads = kv * group..(kv + 1) * group;
        let k: Region = vec![b..b + 1, from..to, kv..kv + 1, 0..self.width];
        let term = |queries: std::ops::Range<usize>, mask| {
            let q: Region = vec![b..b + 1, queries.clone(), heads.clone(), 0..self.width];
            let lse: Region = vec![b..b + 1, heads.clone(), queries];
            let op = AttentionBackward(Forward { mask, ..Forward::default() });
            Term::new(op, vec![q.clone(), q.clone(), k.clone(), k.clone(), q, lse])
        };
        let mut terms = Vec::new();
        if self.causal {
            terms.push(term(from..to, Mask::Causal));
            terms.extend((to < self.time).then(|| term(to..self.time, Mask::Full)));
        } else {
            terms.push(term(0..self.time, Mask::Full));
        }
        Window { terms, outputs: vec![None, Some(k.clone()), Some(k)] }
    }
}

impl Workload for Attention {
    fn task(&self) -> &'static str {
        "attention"
    }

    fn letters(&self) -> Vec<(&'static str, usize)> {
        let Self { batch, time, heads, kv_heads, width, causal } = *self;
        vec![
            ("B", batch),
            ("T", time),
            ("H", heads),
            ("Hkv", kv_heads),
            ("D", width),
            ("causal", usize::from(causal)),
        ]
    }

    fn attributes(&self) -> Vec<(&'static str, f64)> {
        vec![("scale", 1.0 / (self.width as f64).sqrt())]
    }

    fn names(&self, pass: Pass) -> (&'static [&'static str], &'static [&'static str]) {
        match pass {
            Pass::Forward => (&["q", "k", "v"], &["out"]),
            Pass::Backward => (&["dout", "q", "k", "v", "out", "lse"], &["dq", "dk", "dv"]),
        }
    }

    fn op(&self, pass: Pass) -> Result<Arc<dyn Op>> {
        Ok(match pass {
            Pass::Forward => Arc::new(self.forward()),
            Pass::Backward => Arc::new(AttentionBackward(self.forward())),
        })
    }

    fn inputs(&self, pass: Pass, dtype: DType, rng: &Rng, device: &Device) -> Result<Vec<Tensor>> {
        let make = |heads| normal(&[self.batch, self.time, heads, self.width], dtype, rng, device);
        let qkv = vec![make(self.heads)?, make(self.kv_heads)?, make(self.kv_heads)?];
        if pass == Pass::Forward {
            return Ok(qkv);
        }
        let out = saved(&self.forward(), &qkv)?;
        Ok([vec![make(self.heads)?], qkv, out].concat())
    }

    fn metas(&self, pass: Pass, dtype: DType) -> Result<Vec<Meta>> {
        let of = |heads| meta(&[self.batch, self.time, heads, self.width], dtype);
        let (q, k) = (of(self.heads)?, of(self.kv_heads)?);
        let qkv = vec![q, k, k];
        if pass == Pass::Forward {
            return Ok(qkv);
        }
        let out = self.forward().shape(&qkv)?;
        Ok([vec![q], qkv, out].concat())
    }

    fn windows(&self, pass: Pass) -> Vec<Window> {
        let (t, last) = (self.time, (self.batch - 1, self.kv_heads - 1));
        if numbers(&[self.batch, self.heads, t, t, self.width]) <= WHOLE {
            let op = match pass {
                Pass::Forward => Term::whole(self.forward(), 3),
                Pass::Backward => Term::whole(AttentionBackward(self.forward()), 6),
            };
            return vec![Window::whole(op, if pass == Pass::Forward { 1 } else { 3 })];
        }
        // The first rows, the last ones, and some around the middle that begin at no round number.
        let middle = (t / 2 + 7).min(t.saturating_sub(ROWS));
        let places = [(0, 0, 0), (last.0, last.1, middle), (last.0, last.1, t.saturating_sub(ROWS))];
        let end = |from: usize| (from + ROWS).min(t);
        let mut windows: Vec<Window> =
            places.map(|(b, kv, from)| self.rows(b, kv, from, end(from), pass)).into();
        if pass == Pass::Backward {
            windows.extend(places.map(|(b, kv, from)| self.columns(b, kv, from, end(from))));
        }
        windows
    }

    /// Forward the probabilities; backward those, ds and the saved output.
    fn rounds_inside(&self, pass: Pass) -> f64 {
        if pass == Pass::Forward { 2.0 } else { 4.0 }
    }

    fn awkward(&self) -> Vec<Arc<dyn Workload>> {
        let group = self.heads / self.kv_heads;
        let shape = |batch, time, kv_heads| -> Arc<dyn Workload> {
            Arc::new(Self { batch, time, heads: kv_heads * group, kv_heads, ..*self })
        };
        vec![shape(2, 37, 2), shape(1, 65, 1), shape(1, 130, 1), shape(1, 1, 1)]
    }
}
