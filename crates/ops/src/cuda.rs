//! What the CUDA paths of ops share: from tensors to the operands of an elementwise kernel.

use warpsmith_autograd::Meta;
use warpsmith_kernels::copy::{self, Copy};
use warpsmith_kernels::{Launch, Map, Operand, dims};
use warpsmith_tensor::{DType, Device, Error, Result, Shape, Tensor};

/// y = f(x₀, …) on a GPU, with broadcasting and any strides, written over an input that nobody else holds.
pub(crate) fn map<const N: usize>(
    op: &'static str,
    x: Vec<Tensor>,
    y: &Meta,
    launch: impl FnOnce(&Map<N>) -> Launch,
) -> Result<Vec<Tensor>> {
    // `_kept` lives until the kernel is queued: the operands lie in it.
    let (map, out, _kept) = operands(op, x, y)?;
    out.device().launch(&launch(&map))?;
    Ok(vec![out])
}

/// The operands of a kernel that makes `y`, the output, and the inputs that the output did not replace.
fn operands<const N: usize>(
    op: &'static str,
    mut x: Vec<Tensor>,
    y: &Meta,
) -> Result<(Map<N>, Tensor, Vec<Tensor>)> {
    let (dtype, device) = (y.dtype.float_on_device(op)?, x[0].device());
    let operands = x.iter().map(|t| t.operand(&y.shape)).collect::<Result<Vec<Operand>>>()?;
    let operands = <[Operand; N]>::try_from(operands)
        .map_err(|given| Error::internal(op, format!("{} inputs for a kernel of {N}", given.len())))?;
    let given = x.iter_mut().position(|t| *t.shape() == y.shape && t.dtype() == y.dtype && t.is_unique());
    let mut out = match given {
        Some(i) => x.swap_remove(i),
        None => Tensor::empty(y.shape, y.dtype, &device)?,
    };
    let map = Map { dtype, dims: dims(y.dims()), y: out.operand_mut()?, x: operands };
    Ok((map, out, x))
}

/// Writes `from` to places `start`, `start + step`, … along an axis of `to`, on a GPU.
pub(crate) fn write_slice(
    to: &mut Tensor,
    axis: usize,
    [start, step]: [usize; 2],
    from: &Tensor,
    op: &'static str,
) -> Result<()> {
    // Unique and without gaps from here on, so that its layout can be cut.
    to.device_address_mut()?;
    let part = to.view(to.layout().slice(axis, start, from.dims()[axis], step)?)?;
    let (y, x) = (part.operand(part.shape())?, from.operand(part.shape())?);
    let (dtype, dims) = (to.dtype().on_device(op)?, dims(part.dims()));
    to.device().launch(&copy::copy(&Copy { dtype, dims, y, x }))
}

/// Queues launches in order.
pub(crate) fn launch_all(device: &Device, launches: &[Launch]) -> Result<()> {
    launches.iter().try_for_each(|launch| device.launch(launch))
}

/// Memory that a kernel needs for itself: the tensor that holds it, and its address, 0 for none.
pub(crate) fn workspace(device: &Device, bytes: u64) -> Result<(Tensor, u64)> {
    let room = Tensor::empty(Shape::new(&[bytes as usize])?, DType::U8, device)?;
    let address = if bytes == 0 { 0 } else { room.device_address()? };
    Ok((room, address))
}

/// The inputs without gaps.
pub(crate) fn contiguous(x: &[Tensor]) -> Result<Vec<Tensor>> {
    x.iter().map(Tensor::contiguous).collect()
}

/// A size as kernels take it: they count in 32 bits, with a sign, up to a size that is rounded up to whole tiles.
pub(crate) fn size(op: &'static str, size: usize) -> Result<u32> {
    const MOST: u32 = i32::MAX as u32 - 4095;
    let fits = u32::try_from(size).ok().filter(|&size| size <= MOST);
    fits.ok_or_else(|| Error::value(op, format!("a size of {size} is beyond the kernel's {MOST}")))
}
