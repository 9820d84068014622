//! out = softmax(q·kᵀ·scale + mask)·v: attention as one op, its memory linear in T.
//!
//! Shapes: q `(B, Tq, H, D)`, k and v `(B, Tk, Hkv, D)` → out `(B, Tq, H, D)`. Query head h reads key head
//! h / (H/Hkv): one per head is multi-head, one per group grouped-query, one for all multi-query attention.
//! Tq ≠ Tk under [`Mask::Full`] is cross attention. A hidden second output is lse `(B, H, Tq)`, the logarithm of each
//! row's softmax denominator.
//!
//! Derivative, with s = q·kᵀ·scale, p = e^(s - lse), dp = dout·vᵀ and δ = Σ dout·out per query row:
//! dv = pᵀ·dout, ds = p·(dp - δ), dq = ds·k·scale, dk = dsᵀ·q·scale. Dropout multiplies p in the output and in dv, and
//! dp, by 0 or 1/(1-p); the same numbers are drawn again from the same stream, none are kept.
//!
//! Masks are causal at the end: with Tq queries after Tk - Tq cached keys, query i sees keys j ≤ i + Tk - Tq. A row that
//! sees no key gives 0 and takes no part in any gradient. What a masked key holds does not matter, be it NaN. In a key
//! that is seen, NaN and ∞ act as in softmax and product written out.
//!
//! Numerics: scores are never stored. Blocks of 64 keys, counted from key 0, are taken in order with a running maximum
//! and sum; a score that lies 87 or more below the maximum so far has probability 0; each sum is one chain of fused
//! multiply-adds. So a query row has the same bits whichever other queries and later keys are in the call (a whole
//! prefill, one in chunks, one token at a time) and however many threads run.
//!
//! Source: Vaswani et al., *Attention Is All You Need*, 2017, arXiv 1706.03762, §3.2.1; Dao, *FlashAttention-2*, 2023,
//! arXiv 2307.08691, §3.1; Ainslie et al., *GQA*, 2023, arXiv 2305.13245.

mod backward;
mod decoding;
mod device;
mod forward;
mod geometry;
mod panel;
mod reference;
mod tile;

use warpsmith_autograd::{
    Array, Backward, Cost, Differentiability, Input, Meta, Op, Sample, Saves, Spec, apply_single,
};
use warpsmith_tensor::{DType, Error, Result, Seed, Tensor};

use crate::elementwise::require_floats;
pub use decoding::DecodingAttention;
use geometry::{Sizes, key_lengths};

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mask {
    /// All of them.
    #[default]
    Full,
    /// Query i sees keys j ≤ i + Tk - Tq: the last query sees all keys.
    Causal,
    /// As [`Mask::Causal`], and of those only the last so many (its own key is one of them).
    SlidingWindow(usize),
    /// The last so many of the keys that key_lengths lets count, for one query that is the last of them: a step of decoding
    /// whose cache has room left. It has no gradient.
    Trailing(usize),
}

/// Dropout of probabilities: number ((b·H + h)·Tq + i)·Tk + j of the stream decides about that of (b, h, i, j).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The share that becomes 0, in [0, 1); the others are divided by 1 - p.
    pub p: f32,
    /// The generator's seed.
    pub seed: Seed,
    /// A stream of its own for this call: `Rng::stream`.
    pub stream: u64,
}

/// Attention of (q, k, v) or (q, k, v, key_lengths).
#[derive(Clone, Copy, Debug, Default)]
pub struct Attention {
    /// What scores are multiplied by; 1/√D if `None`.
    pub scale: Option<f64>,
    /// Which keys a query sees.
    pub mask: Mask,
    /// Dropout of probabilities.
    pub dropout: Option<Dropout>,
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        let [q, k, v, lengths @ ..] = x else {
            return Err(Error::internal(self.name(), "takes q, k, v and perhaps key_lengths"));
        };
        require_floats(self.name(), &x[..3])?;
        let sizes = Sizes::new(self.name(), &q.shape, &k.shape, &v.shape)?;
        self.check(self.name(), &sizes, lengths.first())?;
        Ok(vec![*q, Meta::new(sizes.row_shape()?, statistic(q.dtype))])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        self.forward_reference(&Sizes::new(self.name(), &x[0].shape, &x[1].shape, &x[2].shape)?, x, y)
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let sizes = Sizes::new(self.name(), x[0].shape(), x[1].shape(), x[2].shape())?;
        let lengths = x.get(3).map(Tensor::to_vec::<i64>).transpose()?;
        let lengths = key_lengths(self.name(), &sizes, lengths.map(Vec::into_iter))?;
        forward::forward(self, &sizes, [&x[0], &x[1], &x[2]], &lengths, y)
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let sizes = Sizes::new(self.name(), x[0].shape(), x[1].shape(), x[2].shape())?;
        device::forward(self, &sizes, [&x[0], &x[1], &x[2]], x.get(3), y)
    }

    fn saves(&self) -> Saves {
        Saves { inputs: &[0, 1, 2, 3], outputs: &[0, 1] }
    }

    fn hidden_outputs(&self) -> usize {
        1
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let count = back.input_count();
        let mut inputs = vec![back.take_grad(0)?];
        (0..3).try_for_each(|i| back.input(i).map(|t| inputs.push(t)))?;
        (0..2).try_for_each(|i| back.output(i).map(|t| inputs.push(t)))?;
        (3..count).try_for_each(|i| back.input(i).map(|t| inputs.push(t)))?;
        let grads = warpsmith_autograd::apply_owned(AttentionBackward(*self), inputs)?;
        let mut grads: Vec<Option<Tensor>> = grads.into_iter().map(Some).collect();
        grads.resize(count, None);
        Ok(grads)
    }

    fn cost(&self) -> Cost {
        Cost::new("s*D*(Rq + 2*Rk)", "s*D*Rq + l*Rq", "P*(4*D + 5)")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        self.letters(&x[0], &x[1])
    }

    /// To first order: rounding moves a score by its number of roundings times Σ|q·k|·scale, a probability by as much
    /// of itself, and the output by that times Σ p·|v|.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        reference::forward_scale(self, x, y)
    }

    /// A score and its exponential, once in the numerator and once in the denominator; one sum over keys in each; one
    /// rescaling per block of keys.
    fn roundings(&self, x: &[Meta]) -> f64 {
        let (keys, width) = (x[1].dims()[1], x[0].shape.last());
        (2 * (width + 10) + 2 * keys + 6 * keys.div_ceil(panel::KEYS)) as f64
    }

    /// Tiles are of 16 keys at least.
    fn device_roundings(&self, x: &[Meta]) -> f64 {
        device::roundings(&x[0], self.roundings(x) + 6.0 * x[1].dims()[1].div_ceil(16) as f64)
    }
}

impl Attention {
    /// The letters of the cost: rows of q and k over all batch rows and heads, and pairs that the mask lets through
    /// (key lengths are data, so they do not count).
    fn letters(&self, q: &Meta, k: &Meta) -> Vec<(&'static str, usize)> {
        let (&[batch, queries, heads, width], &[_, keys, kv_heads, _]) = (q.dims(), k.dims()) else {
            return Vec::new();
        };
        let sizes = Sizes { batch, queries, keys, heads, kv_heads, width };
        // More than a number holds stays the largest: no formula of it is a number then.
        let visible = (0..queries).map(|i| self.visible(&sizes, i, keys).len());
        let pairs = visible.fold(0, usize::saturating_add);
        vec![
            ("D", width),
            ("Rq", batch * queries * heads),
            ("Rk", batch * keys * kv_heads),
            ("P", (batch * heads).saturating_mul(pairs)),
            ("l", statistic(q.dtype).size()),
        ]
    }
}

/// The dtype of the log-sum-exp: f32, but f64 on the f64 path.
fn statistic(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// The gradient of [`Attention`]: (dq, dk, dv) from (dout, q, k, v, out, lse) or (…, lse, key_lengths).
#[derive(Clone, Copy, Debug)]
pub struct AttentionBackward(
    /// The op whose gradient it is.
    pub Attention,
);

impl Op for AttentionBackward {
    fn name(&self) -> &'static str {
        "attention_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        let [dout, q, k, v, out, lse, lengths @ ..] = x else {
            return Err(Error::internal(
                self.name(),
                "takes dout, q, k, v, out, lse and perhaps key_lengths",
            ));
        };
        require_floats(self.name(), &x[..5])?;
        let sizes = Sizes::new(self.name(), &q.shape, &k.shape, &v.shape)?;
        self.0.check(self.name(), &sizes, lengths.first())?;
        if dout != q || out != q || *lse != Meta::new(sizes.row_shape()?, statistic(q.dtype)) {
            let operands = x[..6].iter().map(|m| (m.shape, m.dtype));
            return Err(
                Error::shape(self.name(), &[], "dout and out are as q, lse is (B, H, Tq)").operands(operands)
            );
        }
        Ok(vec![*q, *k, *v])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        self.0.backward_reference(&Sizes::new(self.name(), &x[1].shape, &x[2].shape, &x[3].shape)?, x, y)
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let sizes = Sizes::new(self.name(), x[1].shape(), x[2].shape(), x[3].shape())?;
        let lengths = x.get(6).map(Tensor::to_vec::<i64>).transpose()?;
        let lengths = key_lengths(self.name(), &sizes, lengths.map(Vec::into_iter))?;
        backward::backward(&self.0, &sizes, std::array::from_fn(|i| &x[i]), &lengths, y)
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let sizes = Sizes::new(self.name(), x[1].shape(), x[2].shape(), x[3].shape())?;
        device::backward(&self.0, &sizes, std::array::from_fn(|i| &x[i]), x.get(6), y)
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("s*D*(3*Rq + 2*Rk) + l*Rq", "s*D*(Rq + 2*Rk)", "P*(10*D + 5) + 2*D*Rq")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        self.0.letters(&x[1], &x[2])
    }

    /// As that of [`Attention`], with every difference taken as a sum.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        reference::backward_scale(&self.0, x, y)
    }

    /// A score and its exponential, dp and δ, and the sum over keys (dq) or over the queries of a group (dk, dv).
    fn roundings(&self, x: &[Meta]) -> f64 {
        let (q, k) = (x[1].dims(), x[2].dims());
        (3 * q[3] + 20 + k[1].max(q[1] * q[2] / k[2])) as f64
    }

    fn device_roundings(&self, x: &[Meta]) -> f64 {
        device::roundings(&x[1], self.roundings(x))
    }
}

/// What [`Methods::attention`] can be told; the default is plain self or cross attention.
#[derive(Clone, Debug, Default)]
pub struct AttentionOptions {
    /// What scores are multiplied by; 1/√D if `None`.
    pub scale: Option<f64>,
    /// Which keys a query sees.
    pub mask: Mask,
    /// How many keys of each batch row exist, `(B,)` i64; later ones are padding. All of them if `None`.
    pub key_lengths: Option<Tensor>,
    /// Dropout of probabilities.
    pub dropout: Option<Dropout>,
}

methods! {
    /// softmax(q·kᵀ·scale + mask)·v with `self` as q: `(B, Tq, H, D)`; k, v: `(B, Tk, Hkv, D)`; H a multiple of Hkv.
    ///
    /// Views are read where they lie as long as each row of D numbers is gapless, such as slices of one packed
    /// `(B, T, 3C)` projection.
    ///
    /// # Errors
    /// If shapes or dtypes do not fit, a key length is not in 0..=Tk, the window is 0 or the dropout not in [0, 1).
    fn attention(&self, key: &Tensor, value: &Tensor, options: &AttentionOptions) -> Result<Tensor> {
        let op = Attention { scale: options.scale, mask: options.mask, dropout: options.dropout };
        let inputs: Vec<&Tensor> = [self, key, value].into_iter().chain(&options.key_lengths).collect();
        match options.mask {
            Mask::Trailing(_) => apply_single(DecodingAttention(op), &inputs),
            _ => apply_single(op, &inputs),
        }
    }
}

/// (q, k, v) shapes of the samples, with masks and perhaps key lengths: odd sizes, one block and several, every way that
/// heads are shared, nothing at all.
fn calls() -> Vec<(Attention, [usize; 6], Option<Vec<i64>>)> {
    let full = Attention::default();
    let causal = Attention { mask: Mask::Causal, ..full };
    let window = |keys| Attention { mask: Mask::SlidingWindow(keys), ..full };
    let dropout = |p| Attention { dropout: Some(Dropout { p, seed: Seed(7), stream: 3 }), ..causal };
    // [B, Tq, Tk, H, Hkv, D]
    vec![
        (causal, [2, 37, 37, 4, 4, 20], None),
        (full, [1, 9, 70, 2, 2, 5], None),
        (causal, [1, 70, 70, 4, 2, 16], None),
        (causal, [1, 5, 133, 3, 1, 8], None),
        (causal, [1, 1, 65, 2, 1, 80], None),
        (causal, [2, 6, 3, 2, 2, 4], None),
        (window(7), [1, 80, 80, 2, 1, 6], None),
        (full, [3, 4, 66, 2, 2, 3], Some(vec![66, 65, 0])),
        (causal, [2, 7, 9, 2, 1, 4], Some(vec![5, 9])),
        (Attention { scale: Some(0.3), ..full }, [1, 2, 3, 1, 1, 96], None),
        (dropout(0.25), [2, 13, 13, 2, 1, 8], None),
        (full, [1, 1, 1, 1, 1, 1], None),
        (full, [1, 0, 3, 2, 1, 4], None),
        (full, [1, 3, 0, 2, 1, 4], None),
        (full, [0, 3, 3, 2, 1, 4], None),
    ]
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "attention",
            summary: "softmax(q·kᵀ·scale + mask)·v, tiled",
            samples: || {
                calls()
                    .into_iter()
                    .map(|(op, [b, tq, tk, h, hkv, d], lengths)| {
                        let input = |t, heads| Input::between(&[b, t, heads, d], -2.0, 2.0);
                        let lengths = lengths.map(|v| Input::integers(&[b], v));
                        Sample::new(
                            op,
                            [input(tq, h), input(tk, hkv), input(tk, hkv)].into_iter().chain(lengths),
                        )
                    })
                    .collect()
            },
        },
        Spec {
            name: "attention_decoding",
            summary: "attention of one query over the last keys of a cache with room left",
            samples: || {
                let sample = |window, [b, tk, h, hkv, d]: [usize; 5], lengths| {
                    let input = |t, heads| Input::between(&[b, t, heads, d], -2.0, 2.0);
                    let op = Attention { mask: Mask::Trailing(window), ..Attention::default() };
                    let inputs =
                        [input(1, h), input(tk, hkv), input(tk, hkv), Input::integers(&[b], lengths)];
                    Sample::new(DecodingAttention(op), inputs)
                };
                vec![sample(3, [4, 9, 2, 1, 4], vec![9, 5, 2, 0]), sample(70, [1, 300, 1, 1, 8], vec![290])]
            },
        },
        Spec {
            name: "attention_backward",
            summary: "the gradient of attention",
            samples: || {
                calls()
                    .into_iter()
                    .map(|(op, [b, tq, tk, h, hkv, d], lengths)| {
                        let input = |t, heads, most: f64| Input::between(&[b, t, heads, d], -most, most);
                        let (g, v) = (input(tq, h, 2.0), input(tk, hkv, 2.0));
                        // Scores that stay near lse, and lse near the logarithm of a number of keys, so that probabilities
                        // are of the usual size: e^(score - lse) of a real call is at most 1, and f16 ends at e^11.
                        let (q, k) = (input(tq, h, 0.5), input(tk, hkv, 0.5));
                        let lse = Input::between(&[b, h, tq], 2.0, 4.0).wide();
                        let inputs = [g.clone(), q, k, v, g, lse];
                        let lengths = lengths.map(|v| Input::integers(&[b], v));
                        Sample::new(AttentionBackward(op), inputs.into_iter().chain(lengths))
                    })
                    .collect()
            },
        },
    ]
}
