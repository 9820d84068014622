//! Low-rank adapters: of a matrix W only a product of two thin ones is learned, W + (α/r)·B·A.
//!
//! The model always holds the sum, so that it needs no layers of its own for it, and the gradients of A and B follow from that
//! of the sum: ∂A = (α/r)·Bᵀ·∂W and ∂B = (α/r)·∂W·Aᵀ.
//!
//! Source: Hu et al., *LoRA*, 2021, arXiv 2106.09685, section 4.1.

use warpsmith_autograd::{Gradients, Parameter, no_grad};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Error, Result, Rng, Tensor};

/// The rank of adapters, and what their product is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoraConfig {
    /// r.
    pub rank: usize,
    /// α: the product is multiplied by α/r.
    pub alpha: f64,
}

impl LoraConfig {
    /// How many numbers the adapters of matrices have. (A rank may be any number.)
    pub(super) fn numbers(&self, targets: &[Parameter]) -> usize {
        let sides: usize = targets.iter().flat_map(|p| p.shape().dims().to_vec()).sum();
        self.rank.saturating_mul(sides)
    }
}

/// The adapter of one matrix.
pub struct Adapter {
    /// The matrix as the model holds it, (N, K).
    target: Parameter,
    /// What it was before.
    base: Tensor,
    /// (r, K)
    a: Parameter,
    /// (N, r)
    b: Parameter,
    scale: f64,
}

impl Adapter {
    /// An adapter that changes nothing yet: A is drawn, B is 0.
    ///
    /// # Errors
    /// If the target is no matrix, or the rank is 0.
    pub fn new(target: &Parameter, config: LoraConfig, rng: &Rng) -> Result<Self> {
        let value = target.get().detach();
        let &[n, k] = value.dims() else {
            return Err(Error::shape("lora", &[*value.shape()], "an adapter needs a matrix"));
        };
        let r = config.rank;
        if r == 0 || !config.alpha.is_finite() {
            return Err(
                Error::value("lora", format!("rank {r}, alpha {}", config.alpha)).hint("rank 8, alpha 16")
            );
        }
        let device = value.device();
        let std = (k as f32).sqrt().recip();
        let drawn: Vec<f32> = rng.normal(r * k).into_iter().map(|x| x * std).collect();
        let zeros = Tensor::zeros(warpsmith_tensor::Shape::new(&[n, r])?, DType::F32, &device)?;
        Ok(Self {
            a: Parameter::new(
                format!("{}.lora_A", target.name()),
                &Tensor::from_vec(drawn, &[r, k], &device)?,
            )?,
            b: Parameter::new(format!("{}.lora_B", target.name()), &zeros)?,
            target: target.clone(),
            base: value,
            scale: config.alpha / r as f64,
        })
    }

    /// Whether it is this parameter's.
    pub(super) fn is_of(&self, parameter: &Parameter) -> bool {
        self.target.is_same(parameter)
    }

    /// A and B.
    pub fn parameters(&self) -> [Parameter; 2] {
        [self.a.clone(), self.b.clone()]
    }

    /// Puts the gradients of A and B in the place of the matrix's.
    ///
    /// # Errors
    /// If a product fails.
    pub fn replace(&self, gradients: &mut Gradients) -> Result<()> {
        let Some(g) = gradients.take(&self.target) else { return Ok(()) };
        let (a, b) = (self.a.get().detach(), self.b.get().detach());
        no_grad(|| {
            let of_a = b.permute(&[1, 0])?.matmul(&g)?.affine(self.scale, 0.0)?;
            let of_b = g.matmul(&a.permute(&[1, 0])?)?.affine(self.scale, 0.0)?;
            gradients.set(&self.a, of_a);
            gradients.set(&self.b, of_b);
            Ok(())
        })
    }

    /// Gives the model the sum.
    ///
    /// # Errors
    /// If a product fails.
    pub fn merge(&self) -> Result<()> {
        let sum = no_grad(|| {
            let product = self.b.get().detach().matmul(&self.a.get().detach())?;
            self.base.add(&product.affine(self.scale, 0.0)?)
        })?;
        self.target.set(&sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warpsmith_autograd::TensorExt;
    use warpsmith_tensor::{Device, Seed};

    fn noise(dims: &[usize; 2], seed: u64) -> Tensor {
        let values = Rng::new(Seed(seed)).normal(dims[0] * dims[1]);
        Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
    }

    /// Logits and gradients of the merged matrix are those of a layer with the adapter beside it: x·Wᵀ + (α/r)·(x·Aᵀ)·Bᵀ.
    #[test]
    fn the_merged_matrix_is_the_adapter() {
        let w = Parameter::new("w", &noise(&[5, 7], 1)).unwrap();
        let base = w.get().detach();
        let adapter = Adapter::new(&w, LoraConfig { rank: 2, alpha: 6.0 }, &Rng::new(Seed(2))).unwrap();
        adapter.merge().unwrap();
        let bits = |t: &Tensor| t.to_vec::<f32>().unwrap();
        assert_eq!(bits(&w.get()), bits(&base), "an adapter that has learned nothing changes nothing");
        let [a, b] = adapter.parameters();
        b.set(&noise(&[5, 2], 3)).unwrap();
        adapter.merge().unwrap();
        let x = noise(&[4, 7], 4);
        let of = |p: &Parameter| p.get().permute(&[1, 0]).unwrap();
        let beside = |x: &Tensor| {
            let low = x.matmul(&of(&a)).unwrap().matmul(&of(&b)).unwrap().affine(3.0, 0.0).unwrap();
            x.matmul(&base.permute(&[1, 0]).unwrap()).unwrap().add(&low).unwrap()
        };
        let merged = x.matmul(&of(&w)).unwrap();
        let close = |ours: &Tensor, truth: &Tensor| {
            let (ours, truth) = (bits(&ours.detach()), bits(&truth.detach()));
            assert!(
                ours.iter().zip(&truth).all(|(a, b)| (a - b).abs() <= 1e-4 * (1.0 + b.abs())),
                "{ours:?} {truth:?}"
            );
        };
        close(&merged, &beside(&x));
        let loss = |y: Tensor| y.square().unwrap().sum(&[0, 1], false).unwrap().backward().unwrap();
        let (mut ours, truth) = (loss(merged), loss(beside(&x)));
        adapter.replace(&mut ours).unwrap();
        for p in [&a, &b] {
            close(ours.get(p).unwrap(), truth.get(p).unwrap());
        }
        assert!(ours.get(&w).is_none());
    }
}
