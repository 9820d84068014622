//! The products of linear layers and of their gradients, in a given precision.

use std::fmt;
use std::str::FromStr;

use warpsmith_autograd::{Array, Cost, Differentiability, Meta, Op};
use warpsmith_kernels::matmul::Activation;
use warpsmith_tensor::cpu::matmul::{self as kernel, Epilogue, MatMut, MatRef};
use warpsmith_tensor::{DType, Error, Result, Shape, Tensor};

use crate::cast::Methods as _;
use crate::cuda_matmul::{self, After};
use crate::matmul::{Matmul, bug};

/// In what precision the operands of a product are multiplied; sums are f32 always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Rounded to bf16.
    Bf16,
}

impl Precision {
    /// The words for them, of which the parser knows `f32` and `bf16` too.
    pub const WORDS: [&str; 2] = ["float32", "bfloat16"];

    /// What several products or attention take, in the precision in which they multiply it on a GPU, with a gradient. A CPU rounds
    /// while it packs, and multiplies f32 in attention, so that rounding here would cost time and save none.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn operand(self, x: &Tensor) -> Result<Tensor> {
        if self.is_narrow_on(x) && x.dtype() == DType::F32 { x.cast(DType::BF16) } else { Ok(x.clone()) }
    }

    /// Whether what products alone read is bf16 where x lies: on a GPU, whose products round it in any case. A CPU rounds while it
    /// packs.
    pub fn is_narrow_on(self, x: &Tensor) -> bool {
        self == Self::Bf16 && !x.device().is_cpu()
    }

    /// An operand on a GPU, in the precision in which it is multiplied; a weight stays there for the next product.
    pub(super) fn of(self, x: &Tensor, is_weight: bool) -> Result<Tensor> {
        match self {
            Self::Bf16 if x.dtype() == DType::F32 => x.rounded(is_weight),
            _ => Ok(x.detach()),
        }
    }

    /// What several products take, rounded once for all of them where each would round it for itself.
    pub(super) fn for_several(self, x: Tensor) -> Result<Tensor> {
        if x.device().is_cpu() { Ok(x) } else { self.of(&x, false) }
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "float32" | "f32" => Ok(Self::F32),
            "bfloat16" | "bf16" => Ok(Self::Bf16),
            other => Err(format!("`{other}` is none of {}", Self::WORDS.join(", "))),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::WORDS[*self as usize])
    }
}

/// Rounding to bf16 changes a number by at most 2⁻⁸ of itself, a product of two by 2⁻⁷ (and 2⁻¹⁶): 2¹⁷ roundings of f32.
pub(super) fn operand_roundings(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 0.0,
        Precision::Bf16 => 131_072.0 * (1.0 + 1.0 / 512.0),
    }
}

/// out = epilogue(a·b), matrices of any strides.
pub(super) fn product_into(
    precision: Precision,
    a: &Tensor,
    b: &Tensor,
    out: &mut Tensor,
    (m, n): (usize, usize),
    epilogue: Epilogue<'_>,
) -> Result<()> {
    let a = matrix(a)?;
    let b = matrix(b)?;
    let c = MatMut::row_major(out.data_mut::<f32>()?, m, n).map_err(bug("linear"))?;
    match precision {
        Precision::F32 => kernel::matmul(a, b, c, epilogue),
        Precision::Bf16 => kernel::matmul_f32_as_bf16(a, b, c, epilogue),
    }
    .map_err(bug("linear"))
}

fn matrix(t: &Tensor) -> Result<MatRef<'_, f32>> {
    let (dims, strides) = (t.dims(), t.layout().strides());
    let data = t.storage_data::<f32>()?;
    let start = t.layout().offset().min(data.len());
    MatRef::new(&data[start..], dims[0], dims[1], strides[0], strides[1]).map_err(bug("linear"))
}

/// A product of two matrices in a given precision, times a third (M, N) if there is one: the backward pass of layers.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// The precision of the operands.
    pub precision: Precision,
    /// The dtype of the product, if not that of the wider operand: operands may have been rounded for it, and it may go to
    /// the next.
    pub out: Option<DType>,
}

impl Op for Product {
    fn name(&self) -> &'static str {
        "linear_backward"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        let wide = x[..2].iter().map(|m| m.dtype).max_by_key(|dtype| dtype.size()).unwrap_or(DType::F32);
        let out = self.out.filter(|_| wide != DType::F64).unwrap_or(wide);
        let y = Matmul.shape(&[Meta::new(x[0].shape, out), Meta::new(x[1].shape, out)])?;
        match x.get(2) {
            Some(factor) if factor.shape != y[0].shape => {
                let message = format!("the factor must be {}, as the product", y[0].shape);
                Err(Error::shape(self.name(), &[factor.shape], message))
            }
            _ => Ok(y),
        }
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        Matmul.reference(&x[..2], y)?;
        multiply(&mut y[0], x.get(2));
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let mut out = Tensor::empty(y[0].shape, DType::F32, &x[0].device())?;
        let (m, n) = (y[0].dims()[0], y[0].dims()[1]);
        let factor = x.get(2).map(|factor| factor.contiguous()?.to_dtype(DType::F32)).transpose()?;
        let factor = factor.as_ref().map(Tensor::data::<f32>).transpose()?.unwrap_or_default();
        let times = |row: usize, cols: std::ops::Range<usize>, c: &mut [f32]| {
            let factor = &factor[row * n..][cols][..c.len()];
            for i in 0..c.len() {
                c[i] *= factor[i];
            }
        };
        let epilogue = if x.len() == 3 { Epilogue::rows(&times) } else { Epilogue::default() };
        product_into(self.precision, &x[0], &x[1], &mut out, (m, n), epilogue)?;
        Ok(vec![out.to_dtype(y[0].dtype)?])
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let operands = [self.precision.of(&x[0], false)?, self.precision.of(&x[1], false)?];
        // One dtype for both, and the product in that or in f32.
        let [left, right] = [operands[0].dtype(), operands[1].dtype()];
        let is_wide = left != right || left == DType::F32;
        let dtype = if left == right && left == y[0].dtype { left } else { DType::F32 };
        let mut out = Tensor::empty(y[0].shape, dtype, &x[0].device())?;
        if out.numel() > 0 {
            let wide = |t: &Tensor| if is_wide { t.to_dtype(DType::F32) } else { Ok(t.clone()) };
            let operands = [wide(&operands[0])?, wide(&operands[1])?];
            let factor = x.get(2).map(|factor| factor.contiguous()?.to_dtype(dtype)).transpose()?;
            let after = match &factor {
                None => After::default(),
                Some(factor) => {
                    let slope = factor.device_address()?;
                    After { slope, activation: Activation::Times, ..After::default() }
                }
            };
            let one = Shape::scalar();
            cuda_matmul::product(self.name(), [&operands[0], &operands[1]], &one, &mut out, after)?;
        }
        Ok(vec![out.to_dtype(y[0].dtype)?])
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::Refused
    }

    fn cost(&self) -> Cost {
        Cost::new("(P*M*K + Q*K*N + f)*s", "B*M*N*o", "2*B*M*N*K + f")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        let mut symbols = Matmul.symbols(&x[..2]);
        let out = self.shape(x).map_or(0, |y| y[0].dtype.size());
        symbols.extend([("f", x.get(2).map_or(0, |factor| factor.shape.numel())), ("o", out)]);
        symbols
    }

    fn scale(&self, x: &[Array], y: &[Array]) -> Vec<Array> {
        let mut scale = Matmul.scale(&x[..2], y);
        multiply(&mut scale[0], x.get(2));
        scale[0].data.iter_mut().for_each(|v| *v = v.abs());
        scale
    }

    fn roundings(&self, x: &[Meta]) -> f64 {
        Matmul.roundings(&x[..2]) + 1.0 + operand_roundings(self.precision)
    }
}

fn multiply(y: &mut Array, factor: Option<&Array>) {
    let factor = factor.iter().flat_map(|factor| &factor.data);
    y.data.iter_mut().zip(factor).for_each(|(y, factor)| *y *= factor);
}
