//! Ops: methods on tensors, one registry that lists them all, and an f64 oracle behind each.
//!
//! `cargo run --example 03_ops`

use warpsmith::autograd::apply_single;
use warpsmith::ops::registry;
use warpsmith::ops::softmax::SoftmaxBackward;
use warpsmith::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cpu = Device::Cpu;
    let x = Tensor::randn(&[2, 5], &Rng::new(Seed(1)), &cpu)?; // (2, 5)

    let p = x.softmax()?; // (2, 5), over the last axis
    println!("rows of softmax sum to {:?}", p.sum(&[-1], false)?.to_f64_vec()?); // (2)

    let gain = Tensor::full(Shape::new(&[5])?, 1.0, DType::F32, &cpu)?; // (5)
    let normed = x.layer_norm(&gain, None, 1e-5)?; // (2, 5)
    println!("rows of layer_norm have mean {:?}", normed.mean(&[-1], false)?.to_f64_vec()?); // (2)

    // On the CPU, f64 runs the plain reference of an op: what its f32 kernel is tested against.
    let oracle = x.to_dtype(DType::F64)?.softmax()?.to_f64_vec()?;
    let kernel = p.to_f64_vec()?;
    let worst = oracle.iter().zip(&kernel).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    println!("softmax: largest difference of the f32 kernel from the f64 oracle {worst:.2e}");

    // The registry is a list, not an enum: tests, `warpsmith ops` and this loop read it.
    let specs = registry();
    println!("\n{} ops, the first five:", specs.len());
    for spec in specs.iter().take(5) {
        let gradient = spec.differentiability().map_or("unknown", |d| d.name());
        println!("  {:<20} gradient: {gradient:<16} {}", spec.name, spec.summary);
    }

    // An op without a gradient refuses to be part of a trace. It never drops one in silence.
    let traced = p.requires_grad()?;
    if let Err(error) = apply_single(SoftmaxBackward, &[&x, &traced]) {
        println!("\nasked for a gradient it does not have: {error}");
    }
    Ok(())
}
