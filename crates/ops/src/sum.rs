//! y = Σ x over some axes.
//!
//! Derivative: ∂L/∂x = g, stretched back over the summed axes. Shapes: `(…)` → `(…)` without the axes, or with
//! size 1 in their place. Numerics: along the last axis 32 running sums and a fixed tree; along other axes one after
//! the other. The order depends on the shape alone.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Spec, apply_single};
use warpsmith_kernels::{columns, reduce};
use warpsmith_tensor::cpu::{dispatch, for_rows};
use warpsmith_tensor::{DType, Result, Shape, Tensor};

use crate::cuda;
use crate::elementwise::require_floats;
use crate::rows;

/// Sum over `axes` (each once, ascending).
#[derive(Clone, Debug)]
pub struct Sum {
    /// The axes to sum over.
    pub axes: Vec<usize>,
    /// Whether summed axes stay, with size 1.
    pub keep: bool,
    /// Whether the sum of 16-bit floats is f32.
    pub is_wide: bool,
}

impl Sum {
    /// The shape of the result, summed axes kept with size 1.
    fn kept(&self, shape: &Shape) -> Shape {
        self.axes.iter().fold(*shape, |s, &axis| s.without(axis, true))
    }
}

impl Op for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_floats(self.name(), x)?;
        for &axis in &self.axes {
            x[0].shape.axis(self.name(), axis as isize)?;
        }
        let shape = match self.keep {
            true => self.kept(&x[0].shape),
            false => self.axes.iter().rev().fold(x[0].shape, |s, &axis| s.without(axis, false)),
        };
        let dtype = if self.is_wide && x[0].dtype.is_half() { DType::F32 } else { x[0].dtype };
        Ok(vec![Meta::new(shape, dtype)])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        let kept = self.kept(&x[0].shape);
        for (i, v) in x[0].data.iter().enumerate() {
            y[0].data[crate::elementwise::broadcast_index(i, &x[0].shape, &kept)] += v;
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        // Summed axes go last, so that each output element is the sum of one row, or of one column of a block.
        let rank = x[0].rank();
        let others = (0..rank).filter(|a| !self.axes.contains(a));
        let leading = self.axes.iter().enumerate().all(|(i, &axis)| i == axis);
        let mut out = Tensor::zeros(y[0].shape, y[0].dtype, &x[0].device())?;
        let n: usize = self.axes.iter().map(|&a| x[0].dims()[a]).product();
        if n == 0 || out.numel() == 0 {
            return Ok(vec![out]);
        }
        if leading && self.axes.len() < rank {
            let x = x[0].contiguous()?;
            sum_columns(x.data::<f32>()?, out.data_mut::<f32>()?);
            return Ok(vec![out]);
        }
        let order: Vec<usize> = others.chain(self.axes.iter().copied()).collect();
        let x = x[0].view(x[0].layout().permute(&order)?)?.contiguous()?;
        let data = x.data::<f32>()?;
        for_rows(out.data_mut::<f32>()?, 1, n, |first, block| {
            dispatch(
                #[inline(always)]
                || {
                    for (i, y) in block.iter_mut().enumerate() {
                        *y = rows::sum_of(&data[(first + i) * n..][..n], |v| v);
                    }
                },
            );
        });
        Ok(vec![out])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (device, rank) = (x[0].device(), x[0].rank());
        let mut out = Tensor::zeros(y[0].shape, y[0].dtype, &device)?;
        let size = self.axes.iter().map(|&a| x[0].dims()[a] as u64).product::<u64>();
        if size == 0 || out.numel() == 0 {
            return Ok(vec![out]);
        }
        let (scale, others) = (1.0, out.numel() as u64);
        let (to, is_one) = (out.device_address_mut()?, y[0].dtype == x[0].dtype());
        if self.axes.len() < rank && self.axes.iter().enumerate().all(|(i, &axis)| i == axis) {
            let room = if is_one { columns::workspace } else { columns::workspace_to_f32 };
            let (_room, workspace) = cuda::workspace(&device, room(1, size, others))?;
            let dense = x[0].contiguous()?;
            let dtype = dense.dtype().float_on_device(self.name())?;
            let (x, outer, inner) = (dense.device_address()?, 1, others);
            let call = columns::SumColumns { dtype, y: to, x, workspace, outer, size, inner, scale };
            cuda::launch_all(
                &device,
                &if is_one { columns::sum(&call) } else { columns::sum_to_f32(&call) },
            )?;
            return Ok(vec![out]);
        }
        let others_first = (0..rank).filter(|a| !self.axes.contains(a));
        let order: Vec<usize> = others_first.chain(self.axes.iter().copied()).collect();
        let dense = x[0].view(x[0].layout().permute(&order)?)?.contiguous()?.to_dtype(y[0].dtype)?;
        let (_room, workspace) = cuda::workspace(&device, reduce::workspace(others, size))?;
        let (x, dtype) = (dense.device_address()?, y[0].dtype.float_on_device(self.name())?);
        let call = reduce::SumRows { dtype, y: to, x, workspace, rows: others, n: size, scale };
        cuda::launch_all(&device, &reduce::sum(&call))?;
        Ok(vec![out])
    }

    fn vjp(&self, mut back: Backward) -> Result<Vec<Option<Tensor>>> {
        let x = back.meta(0).shape;
        let grad = back.take_grad(0)?.to_dtype(back.meta(0).dtype)?.contiguous()?;
        let kept = warpsmith_tensor::Layout::contiguous(self.kept(&x));
        Ok(vec![Some(grad.view(kept)?.view(kept.broadcast_to(&x)?)?)])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s", "R*o", "N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let out = self.shape(x).map_or(0, |y| y[0].dtype.size());
        vec![("R", self.kept(&x[0].shape).numel()), ("o", out)]
    }

    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let magnitudes = Array { shape: x[0].shape, data: x[0].data.iter().map(|v| v.abs()).collect() };
        let mut scale = vec![Array::zeros(y[0].shape)];
        // A sum of magnitudes cannot fail where the sum did not.
        let _ = self.reference(&[magnitudes], &mut scale);
        scale
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        self.axes.iter().map(|&a| x[0].dims()[a]).product::<usize>() as f64
    }
}

/// Adds whole rows of width `out.len()`: the columns are split among the threads, never the rows.
fn sum_columns(x: &[f32], out: &mut [f32]) {
    let width = out.len();
    let rows = x.len() / width;
    for_rows(out, 1, rows, |first, block| {
        dispatch(
            #[inline(always)]
            || {
                for row in x.chunks_exact(width) {
                    for (y, x) in block.iter_mut().zip(&row[first..]) {
                        *y += x;
                    }
                }
            },
        );
    });
}

methods! {
    /// Σ over `axes` (negative ones count from the end), which go away, or stay with size 1 if `keep`.
    ///
    /// # Errors
    /// If an axis does not exist or is named twice.
    fn sum(&self, axes: &[isize], keep: bool) -> Result<Tensor> {
        let mut resolved = axes.iter().map(|&a| self.shape().axis("sum", a)).collect::<Result<Vec<usize>>>()?;
        resolved.sort_unstable();
        if resolved.windows(2).any(|w| w[0] == w[1]) {
            let message = format!("axes {axes:?} name one axis twice");
            return Err(warpsmith_tensor::Error::shape("sum", &[*self.shape()], message));
        }
        apply_single(Sum { axes: resolved, keep, is_wide: false }, &[self])
    }

    /// Σ of all elements, as a tensor with no axes.
    fn sum_all(&self) -> Result<Tensor> {
        apply_single(Sum { axes: (0..self.rank()).collect(), keep: false, is_wide: false }, &[self])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "sum",
        summary: "the sum over some axes",
        samples: || {
            let op = |axes: &[usize], keep| Sum { axes: axes.to_vec(), keep, is_wide: false };
            let sum = |axes: &[usize], keep, dims: &[usize]| Sample::new(op(axes, keep), [Input::any(dims)]);
            let wide = |axes: &[usize], dims: &[usize]| {
                Sample::new(Sum { is_wide: true, ..op(axes, false) }, [Input::any(dims)])
            };
            vec![
                sum(&[2], false, &[3, 5, 70]),
                sum(&[0], false, &[40, 33]),
                sum(&[0, 2], true, &[4, 3, 5]),
                sum(&[0, 1], false, &[5, 7]),
                sum(&[1], true, &[3, 0]),
                wide(&[0], &[70, 33]),
                wide(&[0, 1], &[2, 5, 33]),
                wide(&[1], &[3, 35]),
            ]
        },
    }]
}
