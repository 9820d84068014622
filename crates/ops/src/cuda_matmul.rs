//! Products of tensors on a GPU: from layouts to the operands of the kernel.

use warpsmith_autograd::Meta;
use warpsmith_kernels::matmul::{self as kernel, BATCH_DIMS, Matmul, Matrix, Plan};
use warpsmith_kernels::unary::{self, Unary};
use warpsmith_kernels::unary_backward::{self, UnaryBackward};
use warpsmith_tensor::{DType, Error, Layout, Result, Shape, Tensor};

use crate::cuda;
use crate::gelu::Form;

/// What is done to a product before it is written.
#[derive(Default)]
pub(crate) struct After<'a> {
    /// (N,), gapless, added to each row.
    pub bias: Option<&'a Tensor>,
    /// The function after the bias.
    pub activation: kernel::Activation,
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
    let call = Matmul {
        dtype: a.dtype().float_on_device(op)?,
        out: out.dtype().float_on_device(op)?,
        m: cuda::size(op, m)?,
        n: cuda::size(op, n)?,
        k: cuda::size(op, k)?,
        batch: sizes,
        a: matrix(&a)?,
        b: matrix(&b)?,
        c: out.device_address_mut()?,
        c_row: n as i64,
        c_batch: (m * n) as i64,
        bias: after.bias.map_or(Ok(0), Tensor::device_address)?,
        pre: 0,
        residual: 0,
        activation: after.activation,
        accumulate: false,
    };
    let (_room, workspace) = cuda::workspace(&device, Plan::of(&call).workspace_bytes())?;
    let launches = kernel::matmul(&call, workspace).map_err(|e| Error::internal(op, e.to_string()))?;
    cuda::launch_all(&device, &launches)
}

/// f(x·w + bias), and f' there if `y` has it, too; f is GELU or nothing.
pub(crate) fn linear(
    op: &'static str,
    operands: [&Tensor; 2],
    bias: Option<&Tensor>,
    y: &[Meta],
    form: Option<Form>,
) -> Result<Vec<Tensor>> {
    let (device, one) = (operands[0].device(), Shape::scalar());
    let (activation, value, slope) = match form {
        None => (kernel::Activation::Identity, None, None),
        Some(Form::Exact) => (kernel::Activation::Gelu, Some(Unary::Gelu), Some(UnaryBackward::Gelu)),
        Some(Form::Tanh) => {
            (kernel::Activation::GeluTanh, Some(Unary::GeluTanh), Some(UnaryBackward::GeluTanh))
        }
    };
    let (Some(value), Some(slope), true) = (value, slope, y.len() == 2) else {
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
        product(op, operands, &one, &mut out, After { bias, activation })?;
        return Ok(vec![out]);
    };
    // In f32: the slope at a product that was rounded to 16 bits would be off by more than its own rounding.
    let wide = Meta::new(y[0].shape, DType::F32);
    let bias = bias.map(|b| b.to_dtype(DType::F32)).transpose()?;
    let mut p = Tensor::empty(wide.shape, wide.dtype, &device)?;
    product(op, operands, &one, &mut p, After { bias: bias.as_ref(), ..After::default() })?;
    let ones = Tensor::full(one, 1.0, DType::F32, &device)?;
    let slope = cuda::map(op, vec![ones, p.clone()], &wide, |map| unary_backward::backward(slope, map))?;
    let value = cuda::map(op, vec![p], &wide, |map| unary::forward(value, map))?;
    value.iter().chain(&slope).map(|t| t.to_dtype(y[0].dtype)).collect()
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
