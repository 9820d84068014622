//! What ops over many tensors share: one flat list of pieces, so that fifty small tensors cost one fork, not fifty.

use warpsmith_autograd::{Array, Meta};
use warpsmith_kernels::Launch;
use warpsmith_kernels::optimise::{Dtypes, Parameter};
use warpsmith_tensor::cpu::for_each;
use warpsmith_tensor::{DType, Error, Result, Tensor};

use crate::cuda;

/// Elements per piece: coarse enough to be worth a task, fine enough to balance.
pub(crate) const PIECE: usize = 32 * 1024;

/// Runs `body` on every piece; in parallel if they hold more than one piece's elements together.
pub(crate) fn for_pieces<P: Send>(pieces: Vec<P>, elements: usize, body: impl Fn(P) + Sync) {
    if elements <= PIECE {
        pieces.into_iter().for_each(body);
    } else {
        for_each(pieces.into_iter(), &body);
    }
}

/// The inputs in groups of `size`, each of one shape and float dtype; the first `kept` of each group come out.
pub(crate) fn group_shapes(
    op: &'static str,
    x: &[Meta],
    size: usize,
    inputs: &str,
    outputs: &[usize],
) -> Result<Vec<Meta>> {
    if x.is_empty() || !x.len().is_multiple_of(size) {
        let message = format!("takes groups of {inputs}, got {} tensors", x.len());
        return Err(Error::shape(op, &[], message));
    }
    for group in x.chunks(size) {
        crate::elementwise::require_floats(op, group)?;
        if group.iter().any(|m| m.shape != group[0].shape) {
            return Err(Error::shape(op, &[], format!("{inputs} of one parameter must have one shape"))
                .operands(group.iter().map(|m| (m.shape, m.dtype))));
        }
    }
    Ok(x.chunks(size).flat_map(|group| outputs.iter().map(|&i| group[i])).collect())
}

/// Runs an update of groups [p, g, state …] of `size` on a GPU: p and the state in f32 and the gradients in one dtype, or all
/// in one 16-bit dtype. A bf16 copy of p that is kept for products is written with it.
pub(crate) fn update_on_device(
    op: &'static str,
    x: Vec<Tensor>,
    y: &[Meta],
    size: usize,
    launches: impl FnOnce(Dtypes, &[Parameter]) -> Vec<Launch>,
) -> Result<Vec<Tensor>> {
    let device = x[0].device();
    let gradient = x[1].dtype();
    let is_narrow = gradient.is_half() && x.iter().all(|t| t.dtype() == gradient);
    let gradient =
        if x.iter().skip(1).step_by(size).all(|g| g.dtype() == gradient) { gradient } else { DType::F32 };
    let (mut updated, mut grads) = (Vec::with_capacity(y.len()), Vec::with_capacity(x.len() / size));
    for (i, tensor) in x.into_iter().enumerate() {
        if i % size == 1 {
            grads.push(tensor.to_dtype(gradient)?.contiguous()?);
        } else {
            updated.push(if is_narrow { tensor } else { tensor.to_dtype(DType::F32)? });
        }
    }
    let mut parameters = Vec::with_capacity(grads.len());
    for (group, g) in updated.chunks_exact_mut(size - 1).zip(&grads) {
        let Some((p, state)) = group.split_first_mut() else { continue };
        let [p, copy] = p.device_addresses_mut()?;
        let mut held = [0; 2];
        for (address, tensor) in held.iter_mut().zip(state) {
            *address = tensor.device_address_mut()?;
        }
        let ([m, v], elements) = (held, g.numel() as u64);
        parameters.push(Parameter {
            p,
            g: g.device_address()?,
            m,
            v,
            copy,
            elements,
            ..Parameter::default()
        });
    }
    let dtypes = Dtypes { gradient: gradient.float_on_device(op)?, is_narrow };
    cuda::launch_all(&device, &launches(dtypes, &parameters))?;
    updated.into_iter().zip(y).map(|(tensor, meta)| tensor.to_dtype(meta.dtype)).collect()
}

/// An error unless the first inputs are the numbers of a step, so many f32, and the factor of its gradients, ().
pub(crate) fn require_numbers(op: &'static str, x: &[Meta], count: usize) -> Result<()> {
    let first = &x[..x.len().min(2)];
    if !matches!(first, [numbers, factor] if numbers.dims() == [count] && factor.dims().is_empty()) {
        let shapes: Vec<_> = first.iter().map(|m| m.shape).collect();
        let message =
            format!("takes first the {count} numbers of the step, and the factor of the gradients, ()");
        return Err(Error::shape(op, &shapes, message));
    }
    match first.iter().find(|m| !matches!(m.dtype, DType::F32 | DType::F64)) {
        None => Ok(()),
        Some(m) => Err(Error::dtype(op, format!("the numbers of the step are f32, not {}", m.dtype))),
    }
}

/// An error unless every attribute is a finite number of at least 0, and below the limit that stands with it.
pub(crate) fn require_attributes(op: &'static str, attributes: &[(&str, f64, f64)]) -> Result<()> {
    match attributes.iter().find(|(_, value, limit)| !(*value >= 0.0 && *value < *limit)) {
        None => Ok(()),
        Some((name, value, limit)) => {
            Err(Error::value(op, format!("{name} is {value}, not at least 0 and below {limit}")))
        }
    }
}

/// Elements of one tensor of each group: the work of an update.
pub(crate) fn elements_per_slot(x: &[Meta], size: usize) -> usize {
    x.chunks(size).map(|group| group[0].shape.numel()).sum()
}

/// Calls `body` for every element of every group: with the element's values among the inputs, and its outputs.
pub(crate) fn for_elements<const I: usize, const O: usize>(
    x: &[Array],
    y: &mut [Array],
    body: impl Fn([f64; I]) -> [f64; O],
) {
    for (x, y) in x.chunks(I).zip(y.chunks_mut(O)) {
        for at in 0..x[0].data.len() {
            let values = body(std::array::from_fn(|i| x[i].data[at]));
            y.iter_mut().zip(values).for_each(|(y, value)| y.data[at] = value);
        }
    }
}
