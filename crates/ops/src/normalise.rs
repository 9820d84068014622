//! What the normalisations share: which outputs they have, the one pass of their backward over blocks of rows, and their kernels.

use warpsmith_autograd::{Array, Backward, Meta, Op, apply_owned};
use warpsmith_kernels::normalise::{self as kernel, Norm};
use warpsmith_tensor::cpu::{dispatch, for_each, for_rows};
use warpsmith_tensor::{DType, Error, Result, Shape, Tensor};

use crate::cuda;
use crate::elementwise::require_floats;

/// An error unless `x` has a last axis and all `parameters` have its size.
pub(crate) fn require_width(op: &'static str, x: &Shape, parameters: &[Meta]) -> Result<()> {
    let width = x.dims().last().copied();
    if width.is_some_and(|width| parameters.iter().all(|p| p.dims() == [width])) {
        return Ok(());
    }
    let shapes: Vec<Shape> = std::iter::once(*x).chain(parameters.iter().map(|p| p.shape)).collect();
    Err(Error::shape(op, &shapes, "takes (…, C) and parameters of shape (C)"))
}

/// An error unless ε can be added to a variance of 0 and a root be taken: less would be NaN for some rows and not for others.
pub(crate) fn require_epsilon(op: &'static str, eps: f64) -> Result<()> {
    if eps >= 0.0 && eps.is_finite() {
        return Ok(());
    }
    let hint = "give a number of at least 0; config.json calls it layer_norm_epsilon, layer_norm_eps or rms_norm_eps";
    Err(Error::value(op, format!("eps is {eps}")).hint(hint))
}

/// The outputs of a norm of x: y, bf16 if it `is_narrow`; x, if it passes; then so many numbers per row, which are hidden.
pub(crate) fn outputs(x: &Meta, is_narrow: bool, passes: bool, per_row_count: usize) -> Vec<Meta> {
    let y = Meta::new(x.shape, narrowed(x.dtype, is_narrow));
    let statistics = std::iter::repeat_n(per_row(x), per_row_count);
    [y].into_iter().chain(passes.then_some(*x)).chain(statistics).collect()
}

/// What a norm made of x, with x behind y if it passes.
pub(crate) fn with_passing(mut made: Vec<Tensor>, x: &Tensor, passes: bool) -> Vec<Tensor> {
    if passes {
        made.insert(1, x.clone());
    }
    made
}

/// Bytes of an element of x behind y: a copy of 16-bit x on the CPU, else a view.
pub(crate) fn passing_size(x: &Meta, passes: bool) -> usize {
    if passes && x.dtype.is_half() { x.dtype.size() } else { 0 }
}

/// Roundings of a norm: a few, and that of y where it is rounded.
pub(crate) fn forward_roundings(x: &Meta, is_narrow: bool) -> f64 {
    let is_rounded = is_rounded(narrowed(x.dtype, is_narrow), x.dtype);
    if is_rounded { 4.0 + DType::BF16.unit_roundoff() * 24f64.exp2() } else { 4.0 }
}

/// The gradients of a norm's inputs by `op`, which takes g, x, w and the outputs that were kept, then the gradient of what went
/// around, if x passes.
pub(crate) fn gradients(
    mut back: Backward,
    op: impl Op,
    kept: &[usize],
    passes: bool,
) -> Result<Vec<Option<Tensor>>> {
    let mut inputs = vec![back.take_grad(0)?, back.input(0)?, back.input(1)?];
    kept.iter().try_for_each(|&i| back.output(i).map(|t| inputs.push(t)))?;
    if passes {
        inputs.push(back.take_grad(1)?);
    }
    let mut grads = apply_owned(op, inputs)?;
    grads.truncate(back.input_count());
    Ok(grads.into_iter().map(Some).collect())
}

/// An error unless these are g, x, w, so many numbers per row, and perhaps what went around. g may have 16 bits where x is f32.
pub(crate) fn require_backward(op: &'static str, x: &[Meta], per_row_count: usize) -> Result<()> {
    require_floats(op, if is_rounded(x[0].dtype, x[1].dtype) { &x[1..3] } else { &x[..3] })?;
    require_width(op, &x[1].shape, &x[2..3])?;
    let (statistics, around) = x[3..].split_at(per_row_count);
    let fits = x[0].shape == x[1].shape
        && statistics.iter().all(|m| *m == per_row(&x[1]))
        && around.iter().all(|m| *m == x[1]);
    if fits {
        return Ok(());
    }
    let message =
        "takes g, x and what went around of one shape, and one number per row of each that was kept";
    Err(Error::shape(op, &[], message).operands(x.iter().map(|m| (m.shape, m.dtype))))
}

/// Adds `f` of what went around, if something did.
pub(crate) fn add_around(dx: &mut Array, around: &[Array], f: impl Fn(f64) -> f64) {
    let around = around.iter().flat_map(|around| &around.data);
    dx.data.iter_mut().zip(around).for_each(|(dx, g)| *dx += f(*g));
}

/// Shape and dtype of one number per row of `x`. Never a 16-bit float: the backward pass multiplies by it.
pub(crate) fn per_row(x: &Meta) -> Meta {
    let shape = x.shape.without(x.shape.rank().saturating_sub(1), false);
    Meta::new(shape, if x.dtype == DType::F64 { DType::F64 } else { DType::F32 })
}

/// How many rows make a block: a function of their width alone.
fn rows_per_block(width: usize) -> usize {
    (32 * 1024 / width.max(1)).clamp(8, 128)
}

/// From the gradient of (…, C) the gradient of the same shape, written over it if nobody else holds it, and the
/// gradients of `P` parameters of shape (C), which are sums over all rows.
///
/// `row(r, g, dx, sums)` turns one row and adds to the `P·C` sums of its block; blocks are added in their order, so
/// the bits do not depend on the number of threads. It runs inside `dispatch` and must be `#[inline(always)]`.
pub(crate) fn backward_over_rows<const P: usize>(
    mut grad: Tensor,
    row: impl Fn(usize, &[f32], &mut [f32], &mut [f32]) + Sync,
) -> Result<(Tensor, [Tensor; P])> {
    let (shape, width, device) = (*grad.shape(), grad.shape().last(), grad.device());
    let mut sums = Vec::with_capacity(P);
    let column = Shape::new(&[width])?;
    for _ in 0..P {
        sums.push(Tensor::zeros(column, DType::F32, &device)?);
    }
    let whole = |sums: Vec<Tensor>| {
        <[Tensor; P]>::try_from(sums).map_err(|_| Error::internal("normalise", "one sum per parameter"))
    };
    if shape.numel() == 0 {
        return Ok((grad, whole(sums)?));
    }
    let source = if grad.is_unique() { None } else { Some(grad.contiguous()?) };
    let mut out = match source {
        None => grad,
        Some(_) => Tensor::empty(shape, DType::F32, &device)?,
    };
    let g = source.as_ref().map(|s| s.data::<f32>()).transpose()?;
    let rows = rows_per_block(width);
    let mut partial = vec![0f32; shape.rows().div_ceil(rows) * P * width];
    let block = |b: usize, dx: &mut [f32], partial: &mut [f32]| {
        let mut copy = vec![0f32; if g.is_none() { width } else { 0 }];
        dispatch(
            #[inline(always)]
            || {
                for (i, dx) in dx.chunks_mut(width).enumerate() {
                    let r = b * rows + i;
                    let g = match g {
                        Some(g) => &g[r * width..][..width],
                        None => {
                            copy.copy_from_slice(dx);
                            &copy[..]
                        }
                    };
                    row(r, g, dx, partial);
                }
            },
        );
    };
    let blocks = out.data_mut::<f32>()?.chunks_mut(rows * width).zip(partial.chunks_mut(P * width));
    for_each(blocks.enumerate(), &|(b, (dx, partial))| block(b, dx, partial));
    for (p, sum) in sums.iter_mut().enumerate() {
        for_rows(sum.data_mut::<f32>()?, 1, shape.rows().div_ceil(rows), |first, sum| {
            for partial in partial.chunks_exact(P * width) {
                for (s, v) in sum.iter_mut().zip(&partial[p * width + first..]) {
                    *s += v;
                }
            }
        });
    }
    Ok((out, whole(sums)?))
}

/// The dtype of an output beside weights of this one: bf16 for f32, if it `is_narrow`, rounded as products take it.
pub(crate) fn narrowed(wide: DType, is_narrow: bool) -> DType {
    if is_narrow && wide == DType::F32 { DType::BF16 } else { wide }
}

/// Whether `narrow` has 16 bits where `wide` is f32: what products take, beside a norm.
pub(crate) fn is_rounded(narrow: DType, wide: DType) -> bool {
    narrow.is_half() && wide == DType::F32
}

/// The forward pass on a GPU, of (x, w) or (x, w, b), into y, which may be [rounded](is_rounded), then x if it passes, then μ if
/// there is one, then rstd.
pub(crate) fn forward_cuda(
    op: &'static str,
    (norm, eps, passes): (Norm, f64, bool),
    x: &[Tensor],
    y: &[Meta],
) -> Result<Vec<Tensor>> {
    let (passing, x, device) = (&x[0], cuda::contiguous(x)?, x[0].device());
    // All outputs but x.
    let y: Vec<Meta> = y.iter().enumerate().filter(|(i, _)| !(passes && *i == 1)).map(|(_, m)| *m).collect();
    if y[0].shape.last() == 0 {
        // A row of nothing has no mean.
        let nothing = |m: &Meta| Tensor::full(m.shape, f64::NAN, m.dtype, &device);
        return Ok(with_passing(y.iter().map(nothing).collect::<Result<_>>()?, passing, passes));
    }
    let empty = |m: &Meta| Tensor::empty(m.shape, m.dtype, &device);
    let mut out = y.iter().map(empty).collect::<Result<Vec<_>>>()?;
    let last = out.len() - 1;
    let call = kernel::Normalise {
        norm,
        dtype: x[0].dtype().float_on_device(op)?,
        y: out[0].device_address_mut()?,
        x: x[0].device_address()?,
        weight: x[1].device_address()?,
        bias: x.get(2).map_or(Ok(0), Tensor::device_address)?,
        mean: if last == 2 { out[1].device_address_mut()? } else { 0 },
        rstd: out[last].device_address_mut()?,
        rows: y[0].shape.rows() as u64,
        n: cuda::size(op, y[0].shape.last())?,
        eps,
    };
    let is_narrow = is_rounded(y[0].dtype, x[0].dtype());
    device.launch(&if is_narrow { kernel::forward_to_bf16(&call) } else { kernel::forward(&call) })?;
    Ok(with_passing(out, passing, passes))
}

/// The backward pass on a GPU, of (g, x, w, rstd) or (g, x, w, μ, rstd), into dx, dw, then db if there is one. The gradient of what
/// went around the norm, if it comes last, is added to dx. If g is bf16 beside f32, dx has a bf16 copy: products take it next.
pub(crate) fn backward_cuda(op: &'static str, norm: Norm, x: &[Tensor], y: &[Meta]) -> Result<Vec<Tensor>> {
    let (x, around) = x.split_at(if norm == Norm::Layer { 5 } else { 4 });
    let (mut x, device) = (cuda::contiguous(x)?, x[0].device());
    if y[0].shape.numel() == 0 {
        return y.iter().map(|m| Tensor::zeros(m.shape, m.dtype, &device)).collect();
    }
    let empty = |m: &Meta| Tensor::empty(m.shape, m.dtype, &device);
    let mut out = y.iter().map(empty).collect::<Result<Vec<_>>>()?;
    let is_narrow = (x[0].dtype(), y[0].dtype) == (DType::BF16, DType::F32);
    if !is_narrow {
        x[0] = x[0].to_dtype(y[0].dtype)?;
    }
    let [dx, copy] =
        if is_narrow { out[0].device_addresses_filled()? } else { [out[0].device_address_mut()?, 0] };
    let around = around.first().map(Tensor::contiguous).transpose()?;
    let gradient = around.as_ref().map_or(Ok(0), Tensor::device_address)?;
    let (rows, n) = (y[0].shape.rows() as u64, cuda::size(op, y[0].shape.last())?);
    let (_room, workspace) = cuda::workspace(&device, kernel::workspace(norm, rows, n))?;
    let last = x.len() - 1;
    let call = kernel::NormaliseBackward {
        norm,
        dtype: y[0].dtype.float_on_device(op)?,
        dx,
        dweight: out[1].device_address_mut()?,
        dbias: out.get_mut(2).map_or(Ok(0), Tensor::device_address_mut)?,
        g: x[0].device_address()?,
        x: x[1].device_address()?,
        weight: x[2].device_address()?,
        mean: if last == 4 { x[3].device_address()? } else { 0 },
        rstd: x[last].device_address()?,
        workspace,
        rows,
        n,
    };
    cuda::launch_all(
        &device,
        &kernel::backward_around(&call, &kernel::Around { is_narrow, gradient, copy }),
    )?;
    Ok(out)
}

/// Roundings of [`backward_over_rows`]: those of a sum over a row, of the sums of one block, and of the blocks.
pub(crate) fn backward_roundings(x: &Meta) -> f64 {
    let (width, rows) = (x.shape.last(), x.shape.rows());
    let per_block = rows_per_block(width).min(rows);
    10.0 + width as f64 / 32.0 + (per_block + rows / per_block.max(1)) as f64
}
