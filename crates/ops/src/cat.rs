//! Tensors joined along one axis.
//!
//! Derivative: each input's is its part of g. Shapes: `(…, n₀, …)`, `(…, n₁, …)`, … → `(…, Σnᵢ, …)`.
//! Numerics: exact; any dtype.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Spec, apply_single};
use warpsmith_tensor::cpu::{for_rows, strided};
use warpsmith_tensor::{Element, Error, Layout, Result, Tensor, with_dtype};

use crate::axis::{Around, require_axis};
use crate::cuda;
use crate::reshape::Methods as _;
use crate::slice::Slice;

/// Joins tensors, which differ in nothing but their size along one axis.
#[derive(Clone, Copy, Debug)]
pub struct Cat {
    /// The axis.
    pub axis: usize,
}

impl Op for Cat {
    fn name(&self) -> &'static str {
        "cat"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        let operands = || x.iter().map(|m| (m.shape, m.dtype));
        let first = x.first().ok_or_else(|| Error::value(self.name(), "nothing to join"))?;
        require_axis(self.name(), first, self.axis)?;
        if x.iter().any(|m| m.dtype != first.dtype) {
            return Err(Error::dtype(self.name(), "the inputs differ in dtype").operands(operands()));
        }
        // With size 0 in the place of the axis, all inputs that fit have one shape.
        let others = |m: &Meta| m.shape.with_dim(self.axis, 0).ok();
        let alike = |m: &Meta| m.shape.rank() == first.shape.rank() && others(m) == others(first);
        if let Some(odd) = x.iter().position(|m| !alike(m)) {
            let message = format!("input {odd} differs from the first off axis {}", self.axis);
            return Err(Error::shape(self.name(), &[], message).operands(operands()));
        }
        let total = x.iter().try_fold(0usize, |sum, m| sum.checked_add(m.dims()[self.axis]));
        let shape = first.shape.with_dim(self.axis, total.unwrap_or(usize::MAX))?;
        Ok(vec![Meta::new(shape, first.dtype)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let Around { outer, size, inner } = Around::new(&y[0].shape, self.axis);
        let mut start = 0;
        for x in x {
            let n = x.dims()[self.axis];
            for o in 0..outer {
                let to = (o * size + start) * inner;
                y[0].data[to..to + n * inner].copy_from_slice(&x.data[o * n * inner..][..n * inner]);
            }
            start += n;
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        if let Some(whole) = joined(&x, self.axis)? {
            return Ok(vec![whole]);
        }
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &x[0].device())?;
        let around = Around::new(&y[0].shape, self.axis);
        with_dtype!(y[0].dtype, T => join::<T>(&x, self.axis, around, &mut out)?);
        Ok(vec![out])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        if let Some(whole) = joined(&x, self.axis)? {
            return Ok(vec![whole]);
        }
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &x[0].device())?;
        let mut start = 0;
        for part in &x {
            cuda::write_slice(&mut out, self.axis, [start, 1], part, self.name())?;
            start += part.dims()[self.axis];
        }
        Ok(vec![out])
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let grad = back.grad(0)?;
        let mut start = 0;
        let part = |i: usize| {
            let len = back.meta(i).dims()[self.axis];
            let slice = Slice { axis: self.axis, start, len, step: 1 };
            start += len;
            back.want(i, || apply_single(slice, &[&grad]))
        };
        (0..back.input_count()).map(part).collect()
    }

    fn cost(&self) -> Cost {
        Cost::new("R*s", "R*s", "0")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("R", x.iter().map(|m| m.shape.numel()).sum())]
    }
}

/// The whole, as a view, if the inputs are neighbouring parts of one tensor: what attention's backward pass gives of q, k and v
/// that one product made.
pub(crate) fn joined(x: &[Tensor], axis: usize) -> Result<Option<Tensor>> {
    let [first, rest @ ..] = x else { return Ok(None) };
    let (layout, mut size) = (first.layout(), first.dims()[axis]);
    for part in rest {
        let next = layout.offset() + size * layout.strides()[axis];
        let is_next = part.shares_storage(first)
            && part.dtype() == first.dtype()
            && part.layout().offset() == next
            && part.layout().strides() == layout.strides();
        if !is_next || part.numel() == 0 {
            return Ok(None);
        }
        size += part.dims()[axis];
    }
    if rest.is_empty() || first.numel() == 0 {
        return Ok(None);
    }
    let shape = layout.shape().with_dim(axis, size)?;
    let whole = Layout::new(shape, layout.strides(), layout.offset(), first.storage_len())?;
    first.view(whole).map(Some)
}

/// Copies each input, whatever its strides, into its part of each block of the output.
fn join<T: Element>(x: &[Tensor], axis: usize, around: Around, out: &mut Tensor) -> Result<()> {
    let sources = x.iter().map(|t| Ok((t.storage_data::<T>()?, *t.layout()))).collect::<Result<Vec<_>>>()?;
    let mut out = out.data_mut::<T>()?;
    if around.outer == 1 {
        // One block: the threads share each input instead.
        for (from, layout) in sources {
            let (part, rest) = out.split_at_mut(layout.shape().numel());
            strided::gather(from, &layout, part);
            out = rest;
        }
        return Ok(());
    }
    for_rows(out, around.block(), 1, |first, blocks| {
        for (i, mut block) in blocks.chunks_mut(around.block()).enumerate() {
            for (from, layout) in &sources {
                let (part, rest) = block.split_at_mut(layout.shape().dims()[axis] * around.inner);
                copy_run(from, layout, (first + i) * part.len(), part);
                block = rest;
            }
        }
    });
    Ok(())
}

/// Copies the elements from row-major number `at` on; both it and the length of `to` are whole rows of the last axis.
fn copy_run<R: Copy>(from: &[R], layout: &Layout, at: usize, to: &mut [R]) {
    if layout.is_contiguous() {
        to.copy_from_slice(&from[layout.offset() + at..][..to.len()]);
        return;
    }
    let row = layout.shape().last().max(1);
    let stride = layout.strides().last().copied().unwrap_or(1);
    for (r, to) in to.chunks_mut(row).enumerate() {
        let from = &from[strided::row_start(layout, at / row + r)..];
        if stride == 1 {
            to.copy_from_slice(&from[..to.len()]);
        } else {
            to.iter_mut().enumerate().for_each(|(j, to)| *to = from[j * stride]);
        }
    }
}

methods! {
    /// This tensor and then `others`, joined along `axis` (negative: from the end).
    ///
    /// # Errors
    /// If the axis does not exist, or the tensors differ in dtype or off the axis.
    fn cat(&self, others: &[&Tensor], axis: isize) -> Result<Tensor> {
        let axis = self.shape().axis("cat", axis)?;
        let all: Vec<&Tensor> = std::iter::once(self).chain(others.iter().copied()).collect();
        apply_single(Cat { axis }, &all)
    }

    /// This tensor and then `others`, all of one shape, side by side along a new axis, which will be axis `axis` of
    /// the result (-1: the last).
    ///
    /// # Errors
    /// If the result has no such axis, or the tensors differ in shape or dtype.
    fn stack(&self, others: &[&Tensor], axis: isize) -> Result<Tensor> {
        let all = std::iter::once(self).chain(others.iter().copied()).map(|t| t.unsqueeze(axis));
        let all = all.collect::<Result<Vec<Tensor>>>()?;
        let (first, rest) = all.split_first().ok_or_else(|| Error::internal("stack", "self is there"))?;
        first.cat(&rest.iter().collect::<Vec<_>>(), axis)
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "cat",
        summary: "tensors joined along one axis",
        samples: || {
            let cases: [(usize, &[&[usize]]); 6] = [
                (2, &[&[2, 3, 33], &[2, 3, 1], &[2, 3, 11]]),
                (1, &[&[3, 1, 5], &[3, 35, 5]]),
                (0, &[&[4, 33], &[3, 33]]),
                (0, &[&[1]]),
                (1, &[&[2, 0], &[2, 3], &[2, 0]]),
                (1, &[&[0, 2], &[0, 1]]),
            ];
            let sample = |(axis, inputs): (usize, &[&[usize]])| {
                Sample::new(Cat { axis }, inputs.iter().map(|dims| Input::any(dims)))
            };
            cases.map(sample).into()
        },
    }]
}
