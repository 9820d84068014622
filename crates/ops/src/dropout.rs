//! yᵢ = xᵢ/(1 - p) where uᵢ ≥ p, else 0, with uᵢ number i of a Philox stream, uniform in [0, 1).
//!
//! Derivative: the same op, with the same numbers, on the gradient: nothing is saved, the mask is made twice.
//! Shapes: `(…)` → `(…)`. Numerics: one rounding. p = 0 gives x as it is and p = 1 zeros; a dropped element is 0 even
//! if it was NaN or ±∞. Which elements are dropped depends on seed, stream and their row-major number alone.
//! Source: Srivastava et al., *Dropout*, JMLR 15, 2014, in the inverted form, which scales while training.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Spec, apply_owned, apply_single};
use warpsmith_kernels::dropout::{self as kernel, dropout};
use warpsmith_tensor::cpu::{dispatch, for_rows};
use warpsmith_tensor::rng::{bits, bits_of_64, unit};
use warpsmith_tensor::{Error, Result, Seed, Tensor};

use crate::elementwise::unary_shape;

/// Sets a random share of the elements to 0 and scales up the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// p, the share that is dropped, in [0, 1].
    pub p: f64,
    /// The seed of the random numbers.
    pub seed: Seed,
    /// Their stream: one of its own for every mask.
    pub stream: u64,
}

impl Dropout {
    /// Kept elements are multiplied by this.
    fn factor(&self) -> f64 {
        if self.p < 1.0 { 1.0 / (1.0 - self.p) } else { 0.0 }
    }
}

/// Elements whose numbers are drawn together.
const TOGETHER: usize = 64;

impl Op for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        if !(0.0..=1.0).contains(&self.p) {
            return Err(Error::value(self.name(), format!("p is {}, not between 0 and 1", self.p)));
        }
        unary_shape(self.name(), x)
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        for (i, (y, &x)) in y[0].data.iter_mut().zip(&x[0].data).enumerate() {
            let kept = unit(bits(self.seed, self.stream, i as u64)) >= self.p as f32;
            *y = if kept { x * self.factor() } else { 0.0 };
        }
        Ok(())
    }

    fn cpu(&self, mut x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let mut y = x.swap_remove(0);
        if self.p > 0.0 {
            for_rows(y.data_mut::<f32>()?, TOGETHER, 16, |first, block| {
                dispatch(
                    #[inline(always)]
                    || {
                        for (i, y) in block.chunks_mut(TOGETHER).enumerate() {
                            self.drop_some((first + i) * TOGETHER, y);
                        }
                    },
                );
            });
        }
        Ok(vec![y])
    }

    fn cuda(&self, mut x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let mut out = x.swap_remove(0);
        if self.p > 0.0 {
            let (dtype, elements) = (y[0].dtype.float_on_device(self.name())?, out.numel() as u64);
            let y = out.device_address_mut()?;
            let Self { p, seed: Seed(seed), stream } = *self;
            let (device, advance) = (out.device(), out.device().advance());
            device.launch(&dropout(&kernel::Dropout {
                dtype,
                y,
                x: y,
                elements,
                p,
                seed,
                stream,
                advance,
            }))?;
        }
        Ok(vec![out])
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let mut grads = apply_owned(*self, vec![back.take_grad(0)?])?;
        Ok(vec![grads.pop()])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s", "N*s", "N")
    }
}

impl Dropout {
    /// Elements from `first` on, at most `TOGETHER` of them. Call inside `dispatch`.
    #[inline(always)]
    fn drop_some(&self, first: usize, y: &mut [f32]) {
        let (p, factor) = (self.p as f32, self.factor() as f32);
        let drawn = bits_of_64(self.seed, self.stream, first as u64);
        for (y, drawn) in y.iter_mut().zip(drawn) {
            *y = if unit(drawn) >= p { *y * factor } else { 0.0 };
        }
    }
}

methods! {
    /// Sets each element to 0 with probability `p` and divides the others by 1 - p. Element i looks at number i of
    /// the stream: take a stream of its own for every mask from `Rng::stream`.
    ///
    /// # Errors
    /// If `p` is not in [0, 1] or the dtype is not a float.
    fn dropout(&self, p: f64, seed: Seed, stream: u64) -> Result<Tensor> {
        apply_single(Dropout { p, seed, stream }, &[self])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "dropout",
        summary: "a random share of the elements to 0, the others scaled up",
        samples: || {
            let drop = |p: f64, dims: &[usize]| {
                Sample::new(Dropout { p, seed: Seed(7), stream: 3 }, [Input::between(dims, -4.0, 4.0)])
            };
            vec![
                drop(0.2, &[3, 5, 71]),
                drop(0.5, &[20_001]),
                drop(0.0, &[4, 33]),
                drop(1.0, &[5]),
                drop(0.1, &[0, 3]),
                drop(0.9, &[1]),
            ]
        },
    }]
}
