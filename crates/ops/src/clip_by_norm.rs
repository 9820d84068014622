//! n = √(Σ g²) over all elements of all gradients, and g' = g·min(1, c/(n + 10⁻⁶)): the gradients as if they were one
//! long vector, shortened to length c if it is longer.
//!
//! Shapes: k gradients of any shapes → n `()`, then the k gradients, written over those that nobody else holds. With
//! c = ∞ it only measures. [`ClipFactor`] gives n and the factor, both `()`, and leaves the gradients as they are: an
//! update that multiplies what it reads anyway saves a pass over all of them.
//!
//! Numerics: squares add up in f64 over fixed pieces, in order; the factor is made from n in f64, so a norm beyond f32
//! still shortens. As in PyTorch's `clip_grad_norm_`, a NaN anywhere makes n and all gradients NaN, and an infinite
//! element makes n infinite, itself NaN and all others 0: **a trainer must look at n before it uses the gradients.**
//! Source: Pascanu et al., *On the difficulty of training recurrent neural networks*, ICML 2013, §3.2.

use warpsmith_autograd::{Array, Cost, Differentiability, Input, Meta, Op, Sample, Spec, apply_owned};
use warpsmith_kernels::Float;
use warpsmith_kernels::optimise::{self, Parameter};
use warpsmith_tensor::cpu::dispatch;
use warpsmith_tensor::{DType, Device, Error, Result, Shape, Tensor};

use crate::cuda;
use crate::elementwise::require_floats;
use crate::moments;
use crate::multi_tensor::{PIECE, for_pieces};

/// Shortens many gradients, taken as one vector, to a greatest length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipByNorm {
    /// c, the greatest length; ∞ for no limit.
    pub max_norm: f64,
}

/// As [`ClipByNorm`], but gives the factor and leaves the gradients as they are: the norm and the factor, both ().
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipFactor {
    /// c, the greatest length; ∞ for no limit.
    pub max_norm: f64,
}

fn factor(max_norm: f64, norm: f64) -> f64 {
    let factor = max_norm / (norm + 1e-6);
    // Not f64::min, which would drop a NaN.
    if factor >= 1.0 { 1.0 } else { factor }
}

/// What a norm of these gradients is.
fn norm_meta(op: &'static str, max_norm: f64, x: &[Meta]) -> Result<Meta> {
    require_floats(op, x)?;
    if max_norm.is_nan() || max_norm <= 0.0 {
        return Err(Error::value(op, format!("max_norm is {max_norm}, not above 0")));
    }
    let Some(first) = x.first() else {
        return Err(Error::shape(op, &[], "takes at least one gradient"));
    };
    let dtype = if first.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    Ok(Meta::new(Shape::scalar(), dtype))
}

fn reference_norm(x: &[Array]) -> f64 {
    x.iter().flat_map(|g| &g.data).map(|g| g * g).sum::<f64>().sqrt()
}

impl Op for ClipByNorm {
    fn name(&self) -> &'static str {
        "clip_by_norm"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        Ok([&[norm_meta(self.name(), self.max_norm, x)?], x].concat())
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let norm = reference_norm(x);
        let factor = factor(self.max_norm, norm);
        y[0].data[0] = norm;
        for (g, y) in x.iter().zip(&mut y[1..]) {
            y.data.iter_mut().zip(&g.data).for_each(|(y, g)| *y = g * factor);
        }
        Ok(())
    }

    fn cpu(&self, mut x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let norm = global_norm(&x)?;
        let factor = factor(self.max_norm, norm) as f32;
        if factor != 1.0 {
            scale_all(&mut x, factor)?;
        }
        x.insert(0, Tensor::scalar(norm as f32, &x[0].device())?);
        Ok(x)
    }

    fn cuda(&self, mut x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let device = x[0].device();
        let gradients = lists(self.name(), &mut x, Tensor::device_address_mut)?;
        let [norm, mut factor] = measure_on_device(&device, &gradients, self.max_norm)?;
        let by = factor.device_address_mut()?;
        let scale = |(dtype, list): &(Float, Vec<Parameter>)| optimise::scale(*dtype, list, by);
        cuda::launch_all(&device, &gradients.iter().flat_map(scale).collect::<Vec<_>>())?;
        x.insert(0, norm);
        Ok(x)
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("2*P*s", "P*s + 4", "3*P")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("P", x.iter().map(|m| m.shape.numel()).sum())]
    }
}

impl Op for ClipFactor {
    fn name(&self) -> &'static str {
        "clip_factor"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![norm_meta(self.name(), self.max_norm, x)?; 2])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let norm = reference_norm(x);
        y[0].data[0] = norm;
        y[1].data[0] = factor(self.max_norm, norm);
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let norm = global_norm(&x)?;
        let device = x[0].device();
        [norm, factor(self.max_norm, norm)].iter().map(|&n| Tensor::scalar(n as f32, &device)).collect()
    }

    fn cuda(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let device = x[0].device();
        let mut x = cuda::contiguous(&x)?;
        let gradients = lists(self.name(), &mut x, |tensor| tensor.device_address())?;
        Ok(measure_on_device(&device, &gradients, self.max_norm)?.into())
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("P*s", "8", "2*P")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("P", x.iter().map(|m| m.shape.numel()).sum())]
    }
}

/// The gradients as kernels see them, those of each dtype together.
fn lists(
    op: &'static str,
    x: &mut [Tensor],
    address: impl Fn(&mut Tensor) -> Result<u64>,
) -> Result<[(Float, Vec<Parameter>); 3]> {
    let mut gradients = Float::ALL.map(|dtype| (dtype, Vec::new()));
    for tensor in x {
        let (dtype, elements) = (tensor.dtype().float_on_device(op)?, tensor.numel() as u64);
        let own = Parameter { g: address(tensor)?, elements, ..Parameter::default() };
        gradients.iter_mut().filter(|(of, _)| *of == dtype).for_each(|(_, list)| list.push(own));
    }
    Ok(gradients)
}

/// Queues the sums of squares; the norm and the factor, both f32 ().
fn measure_on_device(
    device: &Device,
    gradients: &[(Float, Vec<Parameter>)],
    max_norm: f64,
) -> Result<[Tensor; 2]> {
    let pieces = gradients.iter().map(|(_, list)| optimise::pieces(list)).sum();
    let (_room, partial) = cuda::workspace(device, 8 * pieces)?;
    let mut norm = Tensor::empty(Shape::scalar(), DType::F32, device)?;
    let mut factor = Tensor::empty(Shape::scalar(), DType::F32, device)?;
    let (mut launches, mut at) = (Vec::new(), partial);
    for (dtype, list) in gradients {
        launches.extend(optimise::squares(*dtype, list, at));
        at += 8 * optimise::pieces(list);
    }
    let (length, by) = (norm.device_address_mut()?, factor.device_address_mut()?);
    launches.push(optimise::norm(partial, pieces, length, by, max_norm));
    cuda::launch_all(device, &launches)?;
    Ok([norm, factor])
}

/// √(Σ g²) over all elements.
fn global_norm(x: &[Tensor]) -> Result<f64> {
    let x = x.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
    let mut pieces = Vec::new();
    for g in &x {
        pieces.extend(g.data::<f32>()?.chunks(PIECE));
    }
    let elements: usize = pieces.iter().map(|p| p.len()).sum();
    let mut partial = vec![0.0; pieces.len()];
    for_pieces(pieces.into_iter().zip(&mut partial).collect(), elements, |(piece, sum)| {
        *sum = moments::squares(piece)
    });
    Ok(partial.iter().sum::<f64>().sqrt())
}

fn scale_all(x: &mut [Tensor], factor: f32) -> Result<()> {
    let elements = x.iter().map(Tensor::numel).sum();
    let mut pieces = Vec::new();
    for g in x {
        pieces.extend(g.data_mut::<f32>()?.chunks_mut(PIECE));
    }
    for_pieces(pieces, elements, |piece| {
        dispatch(
            #[inline(always)]
            || {
                for g in piece.iter_mut() {
                    *g *= factor;
                }
            },
        );
    });
    Ok(())
}

/// The norm of `gradients` taken as one vector, and the gradients shortened to `max_norm`, in place where nobody
/// else holds them. Look at the norm first: if it is not finite, the gradients are of no use.
///
/// # Errors
/// If there is no gradient, one does not hold floats, or `max_norm` is not above 0.
pub fn clip_by_norm(gradients: Vec<Tensor>, max_norm: f64) -> Result<(f64, Vec<Tensor>)> {
    let mut clipped = warpsmith_autograd::no_grad(|| apply_owned(ClipByNorm { max_norm }, gradients))?;
    let norm = clipped.remove(0).item()?;
    Ok((norm, clipped))
}

methods! {}

/// One gradient or several, below the greatest norm and above it.
fn samples<O: Op + 'static>(op: impl Fn(f64) -> O) -> Vec<Sample> {
    let clip =
        |max_norm: f64, dims: &[&[usize]]| Sample::new(op(max_norm), dims.iter().map(|d| Input::any(d)));
    vec![
        clip(1.0, &[&[3, 35], &[1], &[0], &[]]),
        clip(f64::INFINITY, &[&[5, 7], &[2]]),
        clip(0.5, &[&[40_000], &[33]]),
        clip(1e6, &[&[4, 4]]),
    ]
}

/// The registry's entries.
pub fn specs() -> Vec<Spec> {
    vec![
        Spec {
            name: "clip_by_norm",
            summary: "the L2 norm of many tensors, and they shortened to a greatest norm",
            samples: || samples(|max_norm| ClipByNorm { max_norm }),
        },
        Spec {
            name: "clip_factor",
            summary: "the L2 norm of many tensors, and what shortens them to a greatest norm",
            samples: || samples(|max_norm| ClipFactor { max_norm }),
        },
    ]
}
