//! Is the formula of a gradient right? The vjp of an op, run on the f64 path, against central differences of its
//! oracle. (Whether the fast kernels compute the formula is the sweep's question, not this one's.)

use std::sync::Arc;

use warpsmith_tensor::{DType, Device, Error, Kind, Result, Rng, Seed, Shape, Tensor};

use crate::{Array, Backward, Cost, Gradients, Meta, Op, TensorExt, apply, apply_single};

/// Elements beyond which [`gradcheck`] tests random directions in place of single elements.
const ELEMENTS: usize = 2_000;
/// How many directions.
const DIRECTIONS: usize = 16;

/// What a gradient check found.
#[derive(Clone, Copy, Debug, Default)]
pub struct GradcheckReport {
    /// How many derivatives were compared.
    pub compared: usize,
    /// The largest difference, as a share of what is allowed: 1e-8 + 1e-6·|derivative|.
    pub worst: f64,
}

/// Compares the gradients of `op` with respect to its float inputs (those that `inputs` gives in f64).
///
/// Each element up to 2,000 is moved on its own, by 1e-5·max(1, |x|) both ways; larger inputs in 16 random directions.
/// The outputs are contracted with fixed random weights, so that all of them take part.
///
/// # Errors
/// If a derivative differs by more than 1e-8 + 1e-6·|derivative|, with the place and both numbers; or if the op fails.
pub fn gradcheck(op: &Arc<dyn Op>, inputs: &[(Array, DType)]) -> Result<GradcheckReport> {
    let metas: Vec<Meta> = inputs.iter().map(|(a, dtype)| Meta::new(a.shape, *dtype)).collect();
    let outputs = op.shape(&metas)?;
    let visible = outputs.len() - op.hidden_outputs();
    let rng = Rng::new(Seed(0xC0FFEE));
    let weights: Vec<Vec<f64>> = outputs[..visible]
        .iter()
        .map(|m| {
            rng.normal(m.shape.numel()).into_iter().map(|v| if m.dtype.is_float() { v as f64 } else { 0.0 })
        })
        .map(Iterator::collect)
        .collect();
    let value = |arrays: &[Array]| -> Result<f64> {
        let mut y: Vec<Array> = outputs.iter().map(|m| Array::zeros(m.shape)).collect();
        op.reference(arrays, &mut y)?;
        Ok(weights.iter().zip(&y).flat_map(|(w, a)| w.iter().zip(&a.data)).map(|(w, v)| w * v).sum())
    };
    let analytic = analytic(op, inputs, &weights)?;
    let mut report = GradcheckReport::default();
    let mut arrays: Vec<Array> = inputs.iter().map(|(a, _)| a.clone()).collect();
    for (i, gradient) in analytic.iter().enumerate() {
        let Some(gradient) = gradient else { continue };
        for direction in directions(gradient.len(), &rng) {
            let original = arrays[i].data.clone();
            let largest = direction.iter().map(|&(at, _)| original[at].abs()).fold(1.0, f64::max);
            let step = 1e-5 * largest;
            let mut shifted = |by: f64| {
                direction.iter().for_each(|&(at, d)| arrays[i].data[at] = original[at] + by * d);
                value(&arrays)
            };
            let numeric = (shifted(step)? - shifted(-step)?) / (2.0 * step);
            arrays[i].data = original;
            let formula: f64 = direction.iter().map(|&(at, d)| gradient[at] * d).sum();
            let share = (formula - numeric).abs() / (1e-8 + 1e-6 * numeric.abs());
            if share.is_nan() || share > 1.0 {
                let place = if direction.len() == 1 {
                    format!("element {}", direction[0].0)
                } else {
                    "a direction".into()
                };
                let message =
                    format!("input {i}, {place}: vjp gives {formula:e}, differences give {numeric:e}");
                return Err(Error::new(Kind::Gradient, op.name(), message).hint(format!("{op:?}")));
            }
            report.compared += 1;
            report.worst = report.worst.max(share);
        }
    }
    Ok(report)
}

/// Unit vectors for small inputs, random ones for large.
fn directions(n: usize, rng: &Rng) -> Vec<Vec<(usize, f64)>> {
    if n <= ELEMENTS {
        return (0..n).map(|i| vec![(i, 1.0)]).collect();
    }
    let random = |_| rng.normal(n).into_iter().map(|v| v as f64 / (n as f64).sqrt()).enumerate().collect();
    (0..DIRECTIONS).map(random).collect()
}

/// The gradient of the weighted sum of the outputs with respect to each float input, through the tape.
fn analytic(
    op: &Arc<dyn Op>,
    inputs: &[(Array, DType)],
    weights: &[Vec<f64>],
) -> Result<Vec<Option<Vec<f64>>>> {
    let tensors: Vec<Tensor> = inputs
        .iter()
        .map(|(array, dtype)| {
            let tensor = Tensor::from_f64(&array.data, array.shape, *dtype, &Device::Cpu)?;
            if dtype.is_float() { tensor.requires_grad() } else { Ok(tensor) }
        })
        .collect::<Result<_>>()?;
    let outputs = apply(op.clone(), &tensors.iter().collect::<Vec<_>>())?;
    let mut total = Gradients::default();
    // One pass per output would need the tape twice, so all outputs go into one pass through a weighted sum.
    total.accumulate(weighted_sum(&outputs, weights)?.backward()?)?;
    let gradient = |t: &Tensor| match total.of(t) {
        Some(gradient) => gradient.to_f64_vec().map(Some),
        None if t.dtype().is_float() => Ok(Some(vec![0.0; t.numel()])),
        None => Ok(None),
    };
    tensors.iter().map(gradient).collect()
}

/// Σ wᵢ·yᵢ over all outputs, as an op of its own: this crate knows no others.
fn weighted_sum(outputs: &[Tensor], weights: &[Vec<f64>]) -> Result<Tensor> {
    let op = WeightedSum(weights.to_vec());
    apply_single(op, &outputs.iter().collect::<Vec<_>>())
}

#[derive(Debug)]
struct WeightedSum(Vec<Vec<f64>>);

impl Op for WeightedSum {
    fn name(&self) -> &'static str {
        "weighted_sum"
    }
    fn shape(&self, _x: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![Meta::new(Shape::scalar(), DType::F64)])
    }
    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        y[0].data[0] =
            self.0.iter().zip(x).flat_map(|(w, a)| w.iter().zip(&a.data)).map(|(w, v)| w * v).sum();
        Ok(())
    }
    fn cpu(&self, _x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        Err(Error::internal(self.name(), "gradients are checked in f64"))
    }
    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let grad = |(i, w): (usize, &Vec<f64>)| {
            let meta = back.meta(i);
            back.want(i, || Tensor::from_f64(w, meta.shape, meta.dtype, &Device::Cpu))
        };
        self.0.iter().enumerate().map(grad).collect()
    }
    fn cost(&self) -> Cost {
        Cost::new("8*N", "8", "2*N")
    }
}
