//! The CUDA path: tensors as the kernels' arrays, and which kernels.
//!
//! One query per batch row (a step of decoding) goes to the kernels that split the keys over many blocks. They add in an
//! order of their own, so a token alone may differ from the same token in a prefill by roundings; neither depends on
//! the batch around it.

use warpsmith_autograd::Meta;
use warpsmith_kernels::attention::{self as kernel, Gradients, Heads, WIDEST};
use warpsmith_kernels::{decode, index};
use warpsmith_tensor::{DType, Error, Kind, Result, Shape, Tensor};

use super::geometry::Sizes;
use super::panel::with_gapless_rows;
use super::{Attention, Mask};
use crate::cat;
use crate::cuda;
use crate::indices;

/// out and lse from q, k, v.
pub(super) fn forward(
    op: &Attention,
    sizes: &Sizes,
    x: [&Tensor; 3],
    lengths: Option<&Tensor>,
    y: &[Meta],
) -> Result<Vec<Tensor>> {
    const OP: &str = "attention";
    let device = x[0].device();
    let inputs = Inputs::new(OP, sizes, x, lengths)?;
    let mut out = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
    let mut lse = Tensor::empty(y[1].shape, y[1].dtype, &device)?;
    let call = kernel::Attention {
        out: heads_mut(&mut out)?,
        lse: lse.device_address_mut()?,
        ..inputs.call(OP, op, sizes)?
    };
    if decode::fits(&call) {
        let (_room, workspace) = cuda::workspace(&device, decode::workspace_bytes(&call))?;
        let launches = decode::forward(&call, workspace).ok_or_else(|| too_wide(OP, sizes))?;
        cuda::launch_all(&device, &launches)?;
    } else {
        device.launch(&kernel::forward(&call).ok_or_else(|| too_wide(OP, sizes))?)?;
    }
    Ok(vec![out, lse])
}

/// dq, dk, dv from dout, q, k, v, out and lse.
pub(super) fn backward(
    op: &Attention,
    sizes: &Sizes,
    [dout, q, k, v, out, lse]: [&Tensor; 6],
    lengths: Option<&Tensor>,
    y: &[Meta],
) -> Result<Vec<Tensor>> {
    const OP: &str = "attention_backward";
    let device = q.device();
    if sizes.heads == 0 {
        return y.iter().map(|m| Tensor::zeros(m.shape, m.dtype, &device)).collect();
    }
    let inputs = Inputs::new(OP, sizes, [q, k, v], lengths)?;
    let (dout, out, lse) = (with_gapless_rows(dout)?, with_gapless_rows(out)?, lse.contiguous()?);
    let grads = gradients([q, k, v], y)?;
    let mut delta = Tensor::empty(*lse.shape(), DType::F32, &device)?;
    let [dq, dk, dv] = grads.as_slice() else {
        return Err(Error::internal(OP, "three gradients"));
    };
    let gradients = Gradients {
        dout: heads(&dout)?,
        dq: heads(dq)?,
        dk: heads(dk)?,
        dv: heads(dv)?,
        delta: delta.device_address_mut()?,
    };
    let call = inputs.call(OP, op, sizes)?;
    let call = kernel::Attention { out: heads(&out)?, lse: lse.device_address()?, ..call };
    let launches = kernel::backward(&call, &gradients).ok_or_else(|| too_wide(OP, sizes))?;
    cuda::launch_all(&device, &launches)?;
    Ok(grads)
}

/// Memory for dq, dk and dv. If q, k and v are the parts of one tensor, so are they: joining them then moves nothing.
fn gradients(x: [&Tensor; 3], y: &[Meta]) -> Result<Vec<Tensor>> {
    let device = x[0].device();
    let all = cat::joined(&x.map(Tensor::clone), 2)?;
    if !all.is_some_and(|all| all.is_contiguous() && all.numel() == all.storage_len()) {
        return y.iter().map(|m| Tensor::empty(m.shape, m.dtype, &device)).collect();
    }
    let whole = Tensor::empty(Shape::new(&[x[0].storage_len()])?, y[0].dtype, &device)?;
    x.iter().map(|x| whole.view(*x.layout())).collect()
}

/// By how many units of 2⁻²⁴ the tensor cores may be off where the host's path is off by `host`, relative to the same
/// scale: the hardware cuts its sums (4 units for each of ours), and a probability, or a score's gradient, is rounded to
/// 16 bits before it meets what it multiplies.
pub(super) fn roundings(x: &Meta, host: f64) -> f64 {
    match x.dtype.is_half() {
        true => 4.0 * host + x.dtype.unit_roundoff() * 24f64.exp2(),
        false => host,
    }
}

/// q, k and v with gapless heads, and the key lengths.
struct Inputs([Tensor; 3], Option<Tensor>);

impl Inputs {
    fn new(op: &'static str, sizes: &Sizes, x: [&Tensor; 3], lengths: Option<&Tensor>) -> Result<Self> {
        let [q, k, v] = x.map(with_gapless_rows);
        let lengths = lengths.map(Tensor::contiguous).transpose()?;
        if let Some(lengths) = &lengths {
            let device = lengths.device();
            let (count, limit) = (lengths.numel() as u64, sizes.keys + 1);
            let bad = device.watch(op, limit)?;
            let kind = indices::kind(lengths.dtype());
            device.launch(&index::check(lengths.device_address()?, kind, count, limit as u64, bad))?;
        }
        Ok(Self([q?, k?, v?], lengths))
    }

    /// The call without its outputs.
    fn call(&self, op: &'static str, attention: &Attention, sizes: &Sizes) -> Result<kernel::Attention> {
        let Self([q, k, v], lengths) = self;
        let size = |n: usize| cuda::size(op, n);
        Ok(kernel::Attention {
            dtype: q.dtype().float_on_device(op)?,
            batch: size(sizes.batch)?,
            queries: size(sizes.queries)?,
            keys: size(sizes.keys)?,
            heads: size(sizes.heads)?,
            kv_heads: size(sizes.kv_heads)?,
            width: size(sizes.width)?,
            q: heads(q)?,
            k: heads(k)?,
            v: heads(v)?,
            out: Heads::default(),
            lse: 0,
            lengths: lengths.as_ref().map_or(Ok(0), Tensor::device_address)?,
            scale: attention.factor(sizes.width) as f32,
            mask: match attention.mask {
                Mask::Full => kernel::Mask::Full,
                Mask::Causal => kernel::Mask::Causal,
                Mask::SlidingWindow(keys) => kernel::Mask::Window(keys.min(sizes.keys.max(1)) as u32),
                Mask::Trailing(keys) => kernel::Mask::Trailing(keys.min(sizes.keys.max(1)) as u32),
            },
            dropout: attention.dropout.filter(|d| d.p > 0.0).map(|d| kernel::Dropout {
                p: d.p,
                seed: d.seed.0,
                stream: d.stream,
                advance: q.device().advance(),
            }),
        })
    }
}

/// How a (B, T, H, D) tensor of gapless heads lies.
fn heads(x: &Tensor) -> Result<Heads> {
    let strides = x.layout().strides();
    let [batch, time, head] = [0, 1, 2].map(|axis| strides[axis] as i64);
    Ok(Heads { pointer: x.device_address()?, batch, time, head })
}

fn heads_mut(x: &mut Tensor) -> Result<Heads> {
    let pointer = x.device_address_mut()?;
    Ok(Heads { pointer, ..heads(x)? })
}

fn too_wide(op: &'static str, sizes: &Sizes) -> Error {
    let message = format!("heads of width {} have no CUDA kernel, only those up to {WIDEST}", sizes.width);
    Error::new(Kind::Device, op, message).hint("use --device cpu, or more heads")
}
