//! y = value where the mask is true, x where it is false.
//!
//! Derivative: g where the mask is false, else 0. Shapes: `(…)`, a bool mask that stretches to it → `(…)`.
//! Numerics: exact, but for the value, which is rounded to the dtype of x; any dtype.

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Saves, Spec, apply_single};
use warpsmith_kernels::{dims, select as kernel};
use warpsmith_tensor::{DType, Device, Layout, Result, Shape, Tensor, with_dtype};

use crate::elementwise::binary_reference;
use crate::logical::require_mask;
use crate::zip::{Operand, select};

/// Writes one number over the masked elements.
#[derive(Clone, Copy, Debug)]
pub struct MaskedFill {
    /// The number.
    pub value: f64,
}

impl Op for MaskedFill {
    fn name(&self) -> &'static str {
        "masked_fill"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        require_mask(self.name(), &x[1])?;
        Layout::contiguous(x[1].shape).broadcast_to(&x[0].shape)?;
        Ok(vec![x[0]])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        binary_reference(x, y, |x, mask| if mask != 0.0 { self.value } else { x });
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &x[0].device())?;
        let value = Tensor::full(Shape::scalar(), self.value, y[0].dtype, &x[0].device())?;
        let mask = Operand::new::<bool>(&x[1], &y[0].shape)?;
        with_dtype!(y[0].dtype, T => {
            let operand = |t| Operand::new::<T>(t, &y[0].shape);
            select(out.data_mut::<T>()?, &mask, &operand(&value)?, &operand(&x[0])?);
        });
        Ok(vec![out])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (dtype, device) = (y[0].dtype.on_device(self.name())?, x[0].device());
        let mut out = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
        let value = bits(self.value, y[0].dtype)?;
        let (mask, q) = (x[1].operand(&y[0].shape)?, x[0].operand(&y[0].shape)?);
        let y = out.operand_mut()?;
        device.launch(&kernel::masked_fill(&kernel::MaskedFill {
            dtype,
            dims: dims(out.dims()),
            y,
            mask,
            value,
            q,
        }))?;
        Ok(vec![out])
    }

    fn takes_half(&self) -> bool {
        true
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[1])
    }

    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let to_x = apply_single(Self { value: 0.0 }, &[&back.grad(0)?, &back.input(1)?])?;
        Ok(vec![Some(to_x), None])
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s + M", "N*s", "0")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("M", x[1].shape.numel())]
    }

    /// The value alone is rounded, to f32 at the finest.
    fn roundings(&self, _x: &[Meta]) -> f64 {
        1.0
    }
}

/// The bits of a number in `dtype`, in the low bytes.
fn bits(value: f64, dtype: DType) -> Result<u64> {
    let one = Tensor::full(Shape::scalar(), value, dtype, &Device::Cpu)?;
    let mut bits = [0; 8];
    with_dtype!(dtype, T => {
        let bytes: &[u8] = bytemuck::cast_slice(one.data::<T>()?);
        bits[..bytes.len()].copy_from_slice(bytes);
    });
    Ok(u64::from_le_bytes(bits))
}

methods! {
    /// This tensor with `value` where `mask`, which stretches to its shape, is true.
    ///
    /// # Errors
    /// If `mask` does not hold truth values or does not stretch to this shape.
    fn masked_fill(&self, mask: &Tensor, value: f64) -> Result<Tensor> {
        apply_single(MaskedFill { value }, &[self, mask])
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "masked_fill",
        summary: "one number over the masked elements",
        samples: || {
            let fill = |value, x: &[usize], mask: &[usize]| {
                Sample::new(MaskedFill { value }, [Input::any(x), Input::mask(mask)])
            };
            vec![
                fill(-1.5, &[3, 5, 33], &[3, 5, 33]),
                fill(0.1, &[3, 5, 35], &[5, 1]),
                fill(0.0, &[4, 33], &[]),
                fill(-1e4, &[2, 5], &[5]),
                fill(2.0, &[1], &[1]),
                fill(2.0, &[0, 3], &[3]),
            ]
        },
    }]
}
