//! Gradients of a sample through the tape, whatever outputs its op has.

use warpsmith_autograd::{
    Array, Backward, Cost, Gradients, Meta, Op, Sample, TensorExt, apply, apply_single,
};
use warpsmith_tensor::{DType, Device, Error, Result, Shape, Tensor};

/// Stands for a number computed from all outputs, whose gradient with respect to them is given.
#[derive(Debug)]
struct Weigh {
    weights: Vec<Array>,
    device: Device,
}

impl Op for Weigh {
    fn name(&self) -> &'static str {
        "weigh"
    }
    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![Meta::new(Shape::scalar(), x[0].dtype)])
    }
    fn reference(&self, _x: &[Array], _y: &mut [Array]) -> Result<()> {
        Ok(())
    }
    fn cpu(&self, _x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        Ok(vec![Tensor::zeros(y[0].shape, y[0].dtype, &self.device)?])
    }
    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        self.cpu(x, y)
    }
    fn takes_half(&self) -> bool {
        true
    }
    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let given = |(i, weights): (usize, &Array)| {
            back.want(i, || Tensor::from_f64(&weights.data, weights.shape, back.meta(i).dtype, &self.device))
        };
        self.weights.iter().enumerate().map(given).collect()
    }
    fn cost(&self) -> Cost {
        Cost::VIEW
    }
}

/// The inputs as tensors on the device, those traced that `traced` names and that hold floats.
///
/// # Errors
/// If there is not enough memory.
pub fn leaves(
    x: &[Array],
    dtypes: &[DType],
    device: &Device,
    traced: impl Fn(usize) -> bool,
) -> Result<Vec<Tensor>> {
    let leaf = |(i, (array, &dtype)): (usize, (&Array, &DType))| {
        let tensor = Tensor::from_f64(&array.data, array.shape, dtype, device)?;
        if dtype.is_float() && traced(i) { tensor.requires_grad() } else { Ok(tensor) }
    };
    x.iter().zip(dtypes).enumerate().map(leaf).collect()
}

/// The gradients of Σ weights·outputs with respect to the traced leaves.
///
/// # Errors
/// Those of the op and of its vjp.
pub fn backward(sample: &Sample, leaves: &[Tensor], weights: &[Array]) -> Result<Gradients> {
    let outputs = apply(sample.op.clone(), &leaves.iter().collect::<Vec<_>>())?;
    let floats = outputs.iter().zip(weights).filter(|(t, _)| t.dtype().is_float());
    let (tensors, weights): (Vec<&Tensor>, Vec<Array>) = floats.map(|(t, w)| (t, w.clone())).unzip();
    let device = leaves.first().map_or(Device::Cpu, Tensor::device);
    let number = apply_single(Weigh { weights, device }, &tensors)?;
    if number.trace().is_none() {
        return Err(Error::internal(sample.op.name(), "the outputs of traced inputs have no trace"));
    }
    number.backward()
}

/// The gradient of every float input, computed on the device.
///
/// # Errors
/// Those of the op and of its vjp.
pub fn gradients(
    sample: &Sample,
    x: &[Array],
    dtypes: &[DType],
    weights: &[Array],
    device: &Device,
) -> Result<Vec<Option<Vec<f64>>>> {
    let leaves = leaves(x, dtypes, device, |_| true)?;
    let found = backward(sample, &leaves, weights)?;
    leaves.iter().map(|leaf| found.of(leaf).map(Tensor::to_f64_vec).transpose()).collect()
}
