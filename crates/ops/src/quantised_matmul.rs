//! y = x·Wᵀ with W in the quantised blocks of a GGUF file, which stay as they are in memory.
//!
//! Derivative: refused. Weights in blocks are not trained, and nobody asks for a gradient with respect to x alone yet.
//! Shapes: `(…, K)`, W as bytes `(N, R)` of u8 → f32 `(…, N)`, whatever x is; R bytes are a row of K
//! weights, whole blocks and a multiple of 32.
//! Numerics: weights that are floats (F32, F16, BF16) meet x as it is, in f32 sums. For weights that are whole numbers with
//! scales, x is rounded to 15 bits for the product, each 32 neighbours by their largest: a value moves by at most 1/32638 of it.
//! See [`warpsmith_tensor::cpu::matmul::matmul_quantised`]. On a GPU x stays as it is, too, and weights become f32 numbers in
//! registers: eight chains of multiply-adds, each over every eighth 32 of K, added in order. In bf16 precision x is rounded to
//! bf16 for weights that are bf16, and the product is that of [`crate::matmul`] for two matrices of bf16, with f32 sums; for other
//! weights nothing changes.

use std::borrow::Cow;

use warpsmith_autograd::{Array, Cost, Differentiability, Input, Meta, Op, Sample, Spec, apply_single};
use warpsmith_gguf::Kind;
use warpsmith_kernels::quantised_matmul as kernel;
use warpsmith_tensor::cpu::matmul::{Blocks, Epilogue, MatMut, MatRef, matmul_bf16, matmul_quantised};
use warpsmith_tensor::{DType, Error, Result, Shape, Tensor, bf16};

use crate::cuda;
use crate::cuda_matmul::{self, After};
use crate::dequantise::{aligned, bytes, numbers, random_blocks, width};
use crate::elementwise::require_floats;
use crate::linear::{Precision, is_token};
use crate::matmul::bug;
use crate::normalise::narrowed;
use crate::rows::rows_of;

/// A product with weights in blocks.
#[derive(Clone, Copy, Debug)]
pub struct QuantisedMatmul {
    /// What the blocks are.
    pub kind: Kind,
    /// In what precision x meets weights of bf16.
    pub precision: Precision,
    /// Whether y is bf16 where all else is: rounded as products take it.
    pub is_narrow: bool,
}

impl QuantisedMatmul {
    /// Whether x is rounded to the bf16 that the weights are.
    fn rounds(&self) -> bool {
        self.kind == Kind::Bf16 && self.precision == Precision::Bf16
    }

    /// What y is, where all else is `wide`.
    fn dtype(&self, wide: DType) -> DType {
        narrowed(wide, self.is_narrow && self.rounds())
    }

    /// Roundings of a sum, without those of x.
    fn summed(&self, k: usize) -> f64 {
        if self.rounds() { k as f64 } else { roundings(k) }
    }
}

impl Op for QuantisedMatmul {
    fn name(&self) -> &'static str {
        "quantised_matmul"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_floats(self.name(), &x[..1])?;
        let k = width(self.name(), self.kind, &x[1])?;
        let error = |message: String| Err(Error::shape(self.name(), &[x[0].shape, x[1].shape], message));
        if x[0].shape.rank() == 0 || x[1].shape.rank() != 2 {
            return error("takes x (…, K) and rows of blocks (N, R)".into());
        }
        if x[0].shape.last() != k {
            return error(format!("x has rows of {}, the weights of {k}", x[0].shape.last()));
        }
        if !Blocks::fits(self.kind, k) {
            return error(format!("rows of {k} weights are no multiple of 32"));
        }
        let n = x[1].dims()[0];
        let wide = if x[0].dtype == DType::F64 { DType::F64 } else { DType::F32 };
        Ok(vec![Meta::new(x[0].shape.with_dim(x[0].shape.rank() - 1, n)?, self.dtype(wide))])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let (w, k, n) = (numbers(self.kind, &x[1])?, x[0].last(), y[0].last());
        for (i, y) in y[0].data.iter_mut().enumerate() {
            let (x, w) = (&x[0].data[i / n * k..][..k], &w[i % n * k..][..k]);
            *y = x.iter().zip(w).map(|(x, w)| x * w).sum();
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (input, bytes) = (x[0].contiguous()?, x[1].contiguous()?);
        let (m, k, n) = (input.shape().rows(), input.shape().last(), bytes.dims()[0]);
        let mut out = Tensor::empty(y[0].shape, DType::F32, &input.device())?;
        let c = MatMut::row_major(out.data_mut::<f32>()?, m, n).map_err(bug(self.name()))?;
        let made = match self.rounds() {
            true => {
                let rounded = input.to_dtype(DType::BF16)?;
                let w = halves(bytes.data::<u8>()?);
                let a = MatRef::row_major(rounded.data::<bf16>()?, m, k).map_err(bug(self.name()))?;
                let w = MatRef::new(&w, k, n, 1, k).map_err(bug(self.name()))?;
                matmul_bf16(a, w, c, Epilogue::default())
            }
            false => {
                let a = MatRef::row_major(input.data::<f32>()?, m, k).map_err(bug(self.name()))?;
                let w = Blocks::new(self.kind, bytes.data::<u8>()?, n, k).map_err(bug(self.name()))?;
                matmul_quantised(a, w, c)
            }
        };
        made.map_err(bug(self.name()))?;
        Ok(vec![out.to_dtype(y[0].dtype)?])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (device, k) = (x[0].device(), x[0].shape().last());
        if y[0].shape.numel() == 0 || k == 0 {
            return Ok(vec![Tensor::zeros(y[0].shape, y[0].dtype, &device)?]);
        }
        let blocks = aligned(&x[1])?;
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
        if self.rounds() {
            let (rows, w) = (rows_of(&x[0])?.rounded(false)?, blocks.bytes_as(DType::BF16)?);
            let w = w.view(w.layout().transpose(0, 1)?)?; // (K, N)
            let after = After { is_token: is_token(&x[0]), ..After::default() };
            cuda_matmul::product(self.name(), [&rows, &w], &Shape::scalar(), &mut out, after)?;
            return Ok(vec![out]);
        }
        let input = x[0].to_dtype(DType::F32)?.contiguous()?;
        device.launch(&kernel::quantised_matmul(&kernel::QuantisedMatmul {
            kind: self.kind,
            y: out.device_address_mut()?,
            x: input.device_address()?,
            w: blocks.device_address()?,
            m: cuda::size(self.name(), input.shape().rows())?,
            n: cuda::size(self.name(), blocks.dims()[0])?,
            k: cuda::size(self.name(), k)?,
        }))?;
        Ok(vec![out])
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("M*K*s + N*R", "M*N*o", "2*M*N*K")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let (m, k) = (x[0].shape.rows(), x[0].shape.last());
        let o = self.dtype(DType::F32).size();
        vec![("M", m), ("K", k), ("N", x[1].dims()[0]), ("R", x[1].shape.last()), ("o", o)]
    }

    /// Σ|xᵢ|·(|scaleᵢ·wholeᵢ| + |minimumᵢ|), and what the rounding of x moves, counted in roundings.
    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let (k, n) = (x[0].last(), y[0].last());
        // The reference has read the same bytes before.
        let w = numbers(self.kind, &x[1]).unwrap_or_default();
        let sizes = self.kind.sizes(&bytes(&x[1])).unwrap_or_default();
        let roundings = self.summed(k) * 2f64.powi(-24);
        let mut scale = Array::zeros(y[0].shape);
        for (i, out) in scale.data.iter_mut().enumerate() {
            let (x, w, sizes) =
                (&x[0].data[i / n * k..][..k], &w[i % n * k..][..k], &sizes[i % n * k..][..k]);
            let size: f64 = x.iter().zip(sizes).map(|(x, size)| x.abs() * size).sum();
            *out = size + if self.kind.offset().is_some() { moved(x, w) / roundings } else { 0.0 };
        }
        vec![scale]
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        // Rounding to bf16 changes a number by at most 2⁻⁸ of itself, 2¹⁶ roundings of f32, and no weight.
        self.summed(x[0].shape.last()) + if self.rounds() { 65_536.0 } else { 0.0 }
    }

    fn device_roundings(&self, x: &[Meta]) -> f64 {
        match self.rounds() {
            true => self.roundings(x),
            false => kernel::roundings(x[0].shape.last()) as f64,
        }
    }
}

/// K/32 products and sums in each part, five sums of the parts, and five more for scales.
fn roundings(k: usize) -> f64 {
    (2 * k / 32 + 10) as f64
}

/// The numbers of bf16 that these bytes are, which may begin where no number can.
fn halves(bytes: &[u8]) -> Cow<'_, [bf16]> {
    bytemuck::try_cast_slice(bytes)
        .map_or_else(|_| Cow::Owned(bytemuck::pod_collect_to_vec(bytes)), Cow::Borrowed)
}

/// By how much a product may move when each value moves by half a step of 1/16319 of the largest of its 32 neighbours. Rows
/// that cannot be rounded do not move.
fn moved(x: &[f64], w: &[f64]) -> f64 {
    let largest = |block: &[f64]| {
        block
            .iter()
            .fold(0.0f64, |most, x| if *x <= most.abs() && -*x <= most.abs() { most } else { x.abs() })
    };
    if x.chunks(32).map(largest).any(|x| x != 0.0 && !(1e-28..=1e28).contains(&x)) {
        return 0.0;
    }
    let blocks = x.chunks(32).zip(w.chunks(32));
    blocks.map(|(x, w)| largest(x) / 32630.0 * w.iter().map(|w| w.abs()).sum::<f64>()).sum()
}

methods! {
    /// x·Wᵀ for x (…, K) and N rows of K weights in blocks, as bytes (N, R). Weights of bf16 meet x in this precision.
    ///
    /// # Errors
    /// If the sizes do not fit, the bytes are no whole blocks, or K is no multiple of 32.
    fn quantised_matmul(&self, blocks: &Tensor, kind: Kind, precision: Precision) -> Result<Tensor> {
        apply_single(QuantisedMatmul { kind, precision, is_narrow: false }, &[self, blocks])
    }

    /// The same as products take it: bf16 on a GPU, if that is the precision.
    ///
    /// # Errors
    /// As there, or if memory runs out.
    fn quantised_matmul_rounded(&self, blocks: &Tensor, kind: Kind, precision: Precision) -> Result<Tensor> {
        let is_narrow = precision.is_narrow_on(self);
        let made = apply_single(QuantisedMatmul { kind, precision, is_narrow }, &[self, blocks])?;
        // Weights that are no bf16 give f32.
        precision.operand(&made)
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "quantised_matmul",
        summary: "x·Wᵀ, W in the quantised blocks of a GGUF file",
        samples: || {
            let sample = |kind: Kind, x: &[usize], n: usize| {
                let k = x.last().copied().unwrap_or(1);
                let op = QuantisedMatmul { kind, precision: Precision::F32, is_narrow: false };
                Sample::new(op, [Input::any(x), random_blocks(kind, &[n], k)])
            };
            let rounded = |is_narrow: bool, x: &[usize], k: usize, n: usize| {
                let op = QuantisedMatmul { kind: Kind::Bf16, precision: Precision::Bf16, is_narrow };
                Sample::new(op, [Input::any(x), random_blocks(op.kind, &[n], k)])
            };
            let of_kind = |kind: Kind| sample(kind, &[5, 2 * kind.block_len().max(32)], 7);
            let mut samples = vec![sample(Kind::Q4_1, &[2, 3, 96], 5)];
            samples.extend(Kind::ALL.map(of_kind));
            samples.extend([sample(Kind::Q8_0, &[1, 64], 4), sample(Kind::Q8_0, &[0, 32], 3)]);
            // More rows than are few, each of which has the bits that it has alone.
            samples.push(sample(Kind::Q4_1, &[40, 288], 9));
            // A matrix, few rows, one, a token of each text, none.
            samples.extend([
                rounded(false, &[40, 96], 96, 21),
                rounded(true, &[40, 96], 96, 24),
                rounded(false, &[3, 64], 64, 5),
                rounded(false, &[1, 160], 160, 33),
                rounded(false, &[2, 1, 64], 64, 7),
                rounded(true, &[2, 1, 64], 64, 8),
                rounded(false, &[0, 32], 32, 3),
            ]);
            samples
        },
    }]
}
