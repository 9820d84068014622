//! Sizes, the mask as one interval of keys per query, and the dropout mask: what the oracle and both kernels share.

use std::ops::Range;

use warpsmith_autograd::Meta;
use warpsmith_tensor::rng::{bits, bits_of_64, unit};
use warpsmith_tensor::{DType, Error, Result, Shape};

use super::panel::KEYS;
use super::{Attention, Dropout, Mask};

/// The sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub batch: usize,
    pub queries: usize,
    pub keys: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub width: usize,
}

impl Sizes {
    /// From the shapes of q, k and v, or the error that says why they do not fit.
    pub fn new(op: &'static str, q: &Shape, k: &Shape, v: &Shape) -> Result<Self> {
        let error = |message: &str| {
            Error::shape(op, &[*q, *k, *v], message)
                .hint("q is (B, Tq, H, D), k and v are (B, Tk, Hkv, D), H a multiple of Hkv")
        };
        let (&[batch, queries, heads, width], &[kv_batch, keys, kv_heads, kv_width]) = (q.dims(), k.dims())
        else {
            return Err(error("q, k and v have four axes each"));
        };
        if k != v {
            return Err(error("k and v differ in shape"));
        }
        if kv_batch != batch {
            return Err(error("q and k differ in batch size"));
        }
        if kv_width != width || width == 0 {
            return Err(error("q and k need one head width, and it cannot be 0"));
        }
        if kv_heads == 0 || heads % kv_heads != 0 {
            return Err(error("the heads of q must be a multiple of the heads of k"));
        }
        Ok(Self { batch, queries, keys, heads, kv_heads, width })
    }

    /// How many heads of q share one head of k and v.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// (B, H, Tq): one number per query row.
    pub fn row_shape(&self) -> Result<Shape> {
        Shape::new(&[self.batch, self.heads, self.queries])
    }
}

impl Attention {
    /// The keys that query `i` sees: all masks here leave one interval.
    #[inline]
    pub(super) fn visible(&self, sizes: &Sizes, i: usize, length: usize) -> Range<usize> {
        let causal = (i + 1 + sizes.keys).saturating_sub(sizes.queries).min(sizes.keys);
        let (start, end) = match self.mask {
            Mask::Full => (0, sizes.keys),
            Mask::Causal => (0, causal),
            Mask::SlidingWindow(window) => (causal.saturating_sub(window), causal),
            Mask::Trailing(window) => (length.saturating_sub(window), length),
        };
        let end = end.min(length);
        start.min(end)..end
    }

    /// The factor of a score.
    pub(super) fn factor(&self, width: usize) -> f64 {
        self.scale.unwrap_or(1.0 / (width as f64).sqrt())
    }

    /// The factor that makes a score an exponent of 2: e^(factor·s) = 2^(this·s).
    pub(super) fn log2_factor(&self, width: usize) -> f32 {
        (self.factor(width) * std::f64::consts::LOG2_E) as f32
    }

    /// Checks the attributes and the optional key lengths; `x` holds q, k, v and perhaps the lengths.
    pub(super) fn check(&self, op: &'static str, sizes: &Sizes, lengths: Option<&Meta>) -> Result<()> {
        if matches!(self.mask, Mask::SlidingWindow(0) | Mask::Trailing(0)) {
            return Err(
                Error::value(op, "a sliding window of 0 keys").hint("1 lets a query see its own key alone")
            );
        }
        if matches!(self.mask, Mask::Trailing(_)) && (sizes.queries != 1 || self.dropout.is_some()) {
            let message =
                format!("a trailing window is for one query and no dropout, not for {}", sizes.queries);
            return Err(Error::value(op, message).hint("use a sliding window"));
        }
        if let Some(Dropout { p, .. }) = self.dropout
            && !(0.0..1.0).contains(&p)
        {
            return Err(Error::value(op, format!("dropout {p} is not in [0, 1)")));
        }
        match lengths {
            Some(meta) if meta.dtype != DType::I64 => {
                Err(Error::dtype(op, format!("key_lengths are i64, not {}", meta.dtype)))
            }
            Some(meta) if meta.dims() != [sizes.batch] => {
                let message = format!("key_lengths need one number per batch row, so ({},)", sizes.batch);
                Err(Error::shape(op, &[meta.shape], message))
            }
            _ => Ok(()),
        }
    }
}

/// How many keys of each batch row exist; all of them if nothing was said.
pub(super) fn key_lengths(
    op: &'static str,
    sizes: &Sizes,
    given: Option<impl Iterator<Item = i64>>,
) -> Result<Vec<usize>> {
    let Some(given) = given else { return Ok(vec![sizes.keys; sizes.batch]) };
    let check = |(row, length): (usize, i64)| match usize::try_from(length) {
        Ok(length) if length <= sizes.keys => Ok(length),
        _ => {
            let message = format!("key_lengths[{row}] is {length}, but there are {} keys", sizes.keys);
            Err(Error::index(op, message))
        }
    };
    given.enumerate().map(check).collect()
}

impl Dropout {
    /// The number of a probability's first key in the stream.
    #[inline(always)]
    pub(super) fn row_start(sizes: &Sizes, b: usize, h: usize, i: usize) -> u64 {
        (((b * sizes.heads + h) * sizes.queries + i) * sizes.keys) as u64
    }

    /// What the probability with this number is multiplied by: 0, or 1/(1 - p).
    #[inline(always)]
    pub(super) fn factor(&self, index: u64) -> f32 {
        self.of(bits(self.seed, self.stream, index))
    }

    /// [`Self::factor`] of a block of keys.
    #[inline(always)]
    pub(super) fn factors(&self, first: u64) -> [f32; KEYS] {
        let drawn = bits_of_64(self.seed, self.stream, first);
        let mut factors = [0.0; KEYS];
        for j in 0..KEYS {
            factors[j] = self.of(drawn[j]);
        }
        factors
    }

    #[inline(always)]
    fn of(&self, drawn: u32) -> f32 {
        if unit(drawn) < self.p { 0.0 } else { 1.0 / (1.0 - self.p) }
    }
}
