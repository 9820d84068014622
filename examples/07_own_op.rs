//! An op of your own, in your own crate: what it computes, its gradient, and the check of both.
//!
//! `cargo run --example 07_own_op`

use std::sync::Arc;

use warpsmith::autograd::{Array, Backward, Cost, Meta, Op, Saves, apply_single, gradcheck};
use warpsmith::prelude::*;
use warpsmith::tensor::{Error, Result};

/// y = c·tanh(x / c): nearly x where x is small, and never beyond ±c. Gemma 2 has it over its logits (arXiv 2408.00118, §2).
#[derive(Clone, Copy, Debug)]
struct SoftCap {
    c: f64,
}

impl Op for SoftCap {
    fn name(&self) -> &'static str {
        "soft_cap"
    }

    /// (…) → (…). What does not fit is refused here, before anything is computed.
    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        match x {
            [x] if x.dtype.is_float() => Ok(vec![*x]),
            _ => Err(Error::dtype(self.name(), "takes one tensor of floats")
                .operands(x.iter().map(|x| (x.shape, x.dtype)))
                .hint("convert it with to_dtype")),
        }
    }

    /// The oracle, in f64: the formula and nothing else.
    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        y[0].data = x[0].data.iter().map(|x| self.c * (x / self.c).tanh()).collect();
        Ok(())
    }

    /// The fast path, in f32; bf16 and f16 are widened before it and rounded after. x may be a view: hence `contiguous`.
    fn cpu(&self, x: Vec<Tensor>, _y: &[Meta]) -> Result<Vec<Tensor>> {
        let (x, c) = (x[0].contiguous()?, self.c as f32);
        let y = x.data::<f32>()?.iter().map(|x| c * (x / c).tanh()).collect();
        Ok(vec![Tensor::from_vec::<f32>(y, x.dims(), &Device::Cpu)?])
    }

    /// Without a kernel it is an error on a GPU that names the op.
    fn has_kernel(&self) -> bool {
        false
    }

    /// The gradient reads y and not x, so that x is freed as soon as nobody else needs it.
    fn saves(&self) -> Saves {
        Saves::outputs(&[0])
    }

    /// dy/dx = 1 - (y/c)², so ∂L/∂x = ∂L/∂y · (1 - (y/c)²), by ops that there are.
    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let slope = back.output(0)?.square()?.mul_scalar(-1.0 / (self.c * self.c))?.add_scalar(1.0)?;
        Ok(vec![Some(back.grad(0)?.mul(&slope)?)])
    }

    /// Bytes read and written, and operations, of N elements of s bytes.
    fn cost(&self) -> Cost {
        Cost::new("N*s", "N*s", "3*N")
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let cpu = Device::Cpu;
    let cap = SoftCap { c: 5.0 };
    let x = Tensor::from_vec(vec![-100f32, -5.0, 0.1, 5.0, 100.0], &[5], &cpu)?.requires_grad()?; // (5)
    let y = apply_single(cap, &[&x])?; // (5)
    println!("x            {x:?}\nsoft_cap(x)  {y:?}");

    // It is on the tape as every other op is.
    let gradients = y.sum_all()?.backward()?;
    println!("gradient     {:?}", gradients.of(&x).ok_or("no gradient")?);

    // Is the formula of the gradient right? Against central differences of the oracle.
    let values = Array { shape: Shape::new(&[3])?, data: vec![-7.0, 0.3, 2.0] };
    let op: Arc<dyn Op> = Arc::new(cap);
    let report = gradcheck(&op, &[(values, DType::F64)])?;
    println!(
        "{} derivatives compared, the worst off by {:.0e} of what is allowed",
        report.compared, report.worst
    );

    // Is the fast path right? Against the oracle, which is what f64 runs.
    let x = Tensor::randn(&[1000], &Rng::new(Seed(1)), &cpu)?.mul_scalar(10.0)?; // (1000)
    let fast = apply_single(cap, &[&x])?.to_f64_vec()?;
    let oracle = apply_single(cap, &[&x.to_dtype(DType::F64)?])?.to_f64_vec()?;
    let worst = fast.iter().zip(&oracle).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    println!("largest difference of f32 from the oracle: {worst:.1e}");

    if let Err(error) = apply_single(cap, &[&x.to_dtype(DType::I64)?]) {
        println!("of whole numbers: {error}");
    }
    Ok(())
}
