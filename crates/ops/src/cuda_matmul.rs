//! Products of tensors on a GPU: from layouts to the operands of the kernel.

use warpsmith_autograd::Meta;
use warpsmith_kernels::gemv;
use warpsmith_kernels::matmul::{self as kernel, BATCH_DIMS, Matmul, Matrix, Plan};
use warpsmith_tensor::{DType, Device, Error, Layout, Result, Shape, Tensor};

use crate::cuda;
use crate::gelu::Form;

/// What is done to a product before it is written.
#[derive(Default)]
pub(crate) struct After<'a> {
    /// (N,), gapless, added to each row.
    pub bias: Option<&'a Tensor>,
    /// The function after the bias.
    pub activation: kernel::Activation,
    /// Where its slope goes, or what multiplies the product: as the output lies, in its dtype. 0: nowhere.
    pub slope: u64,
    /// Added in the end, as the output lies.
    pub residual: Option<&'a Tensor>,
    /// The dtype of bias and residual; that of the output if `None`.
    pub beside: Option<DType>,
    /// Whether each row is a token alone, which `gemv` multiplies: in another order than the other kernels, so the choice
    /// must not depend on how many there are.
    pub is_token: bool,
}

/// out (batch, M, N) = a (…, M, K) · b (…, K, N), whose axes before the last two stretch to `batch`.
pub(crate) fn product(
    op: &'static str,
    [a, b]: [&Tensor; 2],
    batch: &Shape,
    out: &mut Tensor,
    after: After<'_>,
) -> Result<()> {
    let device = out.device();
    let (a, b) = (operand(a, batch)?, operand(b, batch)?);
    let [m, k] = [a.rank() - 2, a.rank() - 1].map(|axis| a.dims()[axis]);
    let n = b.shape().last();
    let mut sizes = [1; BATCH_DIMS];
    for (to, &from) in sizes.iter_mut().zip(a.dims()[..a.rank() - 2].iter().rev()) {
        *to = cuda::size(op, from)?;
    }
    let row = if out.rank() < 2 { n } else { out.layout().strides()[out.rank() - 2] };
    let call = Matmul {
        dtype: a.dtype().float_on_device(op)?,
        out: out.dtype().float_on_device(op)?,
        beside: after.beside.unwrap_or(out.dtype()).float_on_device(op)?,
        m: cuda::size(op, m)?,
        n: cuda::size(op, n)?,
        k: cuda::size(op, k)?,
        batch: sizes,
        a: matrix(&a)?,
        b: matrix(&b)?,
        // A view with gaps was made for this product.
        c: if out.is_contiguous() { out.device_address_mut()? } else { out.device_address()? },
        c_row: row as i64,
        c_batch: (m * n) as i64,
        bias: after.bias.map_or(Ok(0), Tensor::device_address)?,
        slope: after.slope,
        residual: after.residual.map_or(Ok(0), Tensor::device_address)?,
        activation: after.activation,
        accumulate: false,
    };
    if let Some(launch) = gemv::gemv(&call).filter(|_| after.is_token) {
        return device.launch(&launch);
    }
    let (_room, workspace) = cuda::workspace(&device, Plan::of(&call).workspace_bytes())?;
    let launches = kernel::matmul(&call, workspace).map_err(|e| Error::internal(op, e.to_string()))?;
    cuda::launch_all(&device, &launches)
}

/// What [`linear`] computes: f(x·w + bias) + residual, f being GELU or nothing.
pub(crate) struct Dense<'a> {
    /// x (M, K) and w (K, N).
    pub operands: [&'a Tensor; 2],
    /// (N,), gapless.
    pub bias: Option<&'a Tensor>,
    /// (…, N), gapless.
    pub residual: Option<&'a Tensor>,
    /// Which GELU.
    pub form: Option<Form>,
    /// The dtype of bias and residual.
    pub beside: DType,
    /// Whether others read the outputs as operands, and nothing lies beside them.
    pub is_for_products: bool,
    /// See [`After`].
    pub is_token: bool,
}

/// The outputs of [`Dense`] in one launch, f' being the second if `y` has it.
pub(crate) fn linear(op: &'static str, call: Dense<'_>, y: &[Meta]) -> Result<Vec<Tensor>> {
    let (device, one) = (call.operands[0].device(), Shape::scalar());
    let activation = match call.form {
        None => kernel::Activation::Identity,
        Some(Form::Exact) => kernel::Activation::Gelu,
        Some(Form::Tanh) => kernel::Activation::GeluTanh,
    };
    let memory = |m: &Meta| match call.is_for_products {
        true => for_products(m, &device),
        false => Tensor::empty(m.shape, m.dtype, &device),
    };
    let mut outputs = y.iter().map(memory).collect::<Result<Vec<Tensor>>>()?;
    let Some((out, slopes)) = outputs.split_first_mut() else { return Err(Error::internal(op, "no output")) };
    let slope = slopes.first().map_or(Ok(0), Tensor::device_address)?;
    let Dense { operands, bias, residual, beside, is_token, .. } = call;
    let after = After { bias, activation, slope, residual, beside: Some(beside), is_token };
    product(op, operands, &one, out, after)?;
    Ok(outputs)
}

/// Memory for a product that others read: rows of 16-bit numbers begin at multiples of 16 bytes, or they would be read one number
/// at a time, as those of a vocabulary of 50257 would be.
fn for_products(y: &Meta, device: &Device) -> Result<Tensor> {
    const RUN: usize = 8;
    let (width, rows) = (y.shape.last(), y.shape.rows());
    if !y.dtype.is_half() || width % RUN == 0 || rows < 2 {
        return Tensor::empty(y.shape, y.dtype, device);
    }
    let row = width.next_multiple_of(RUN);
    let apart = Tensor::empty(Shape::new(&[rows, row])?, y.dtype, device)?;
    let whole = Layout::contiguous(y.shape.with_dim(y.shape.rank() - 1, row)?);
    apart.view(whole.slice(y.shape.rank() - 1, 0, width, 1)?)
}

/// A tensor with the axes of the batch in front, as few as the kernel takes, and matrices that it reads in place.
fn operand(x: &Tensor, batch: &Shape) -> Result<Tensor> {
    let matrix = &x.dims()[x.rank() - 2..];
    let whole = x.view(x.layout().broadcast_to(&Shape::new(&[batch.dims(), matrix].concat())?)?)?;
    if batch.rank() > BATCH_DIMS {
        let flat = Layout::contiguous(Shape::new(&[&[batch.numel()], matrix].concat())?);
        return whole.copy()?.view(flat);
    }
    // 16-bit operands move in rows or columns without gaps.
    let strides = &x.layout().strides()[x.rank() - 2..];
    let gapless = matrix.iter().zip(strides).any(|(&size, &stride)| size <= 1 || stride == 1);
    if gapless || !x.dtype().is_half() { Ok(whole) } else { whole.contiguous() }
}

fn matrix(x: &Tensor) -> Result<Matrix> {
    let (strides, outer) = (x.layout().strides(), x.rank() - 2);
    let mut batch = [0; BATCH_DIMS];
    batch.iter_mut().zip(strides[..outer].iter().rev()).for_each(|(to, &from)| *to = from as i64);
    let (row, col) = (strides[outer] as i64, strides[outer + 1] as i64);
    Ok(Matrix { pointer: x.device_address()?, row, col, batch })
}
