//! Gradients: ops leave a trace, and `backward` walks it from a number to the leaves.
//!
//! `cargo run --example 02_autograd`

use warpsmith::prelude::*;

/// The numbers of a gradient, which a leaf that took part always has.
fn numbers(gradient: Option<&Tensor>) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    Ok(gradient.ok_or("no gradient")?.to_f64_vec()?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cpu = Device::Cpu;
    let x = Tensor::from_vec(vec![1f32, 2.0, 3.0], &[3], &cpu)?.requires_grad()?; // (3)
    let y = Tensor::from_vec(vec![0.5f32, -1.0, 2.0], &[3], &cpu)?.requires_grad()?; // (3)

    // f = mean(x*y + x^2)
    let f = x.mul(&y)?.add(&x.square()?)?.mean_all()?; // ()
    println!("f = {}", f.item()?);

    let gradients = f.backward()?;
    let of = |leaf: &Tensor| numbers(gradients.of(leaf));
    let (dx, dy) = (of(&x)?, of(&y)?);

    // By hand: df/dx = (y + 2x)/3 and df/dy = x/3.
    let (xs, ys) = (x.to_f64_vec()?, y.to_f64_vec()?);
    for i in 0..3 {
        println!("df/dx[{i}] = {:.6}, by hand {:.6}", dx[i], (ys[i] + 2.0 * xs[i]) / 3.0);
        println!("df/dy[{i}] = {:.6}, by hand {:.6}", dy[i], xs[i] / 3.0);
    }

    // The backward pass frees what the ops kept, so it runs once.
    if let Err(error) = f.backward() {
        println!("a second time: {error}");
    }

    // Under no_grad nothing is kept, and there is nothing to walk.
    let silent = no_grad(|| x.square()?.mean_all())?;
    if let Err(error) = silent.backward() {
        println!("under no_grad: {error}");
    }
    Ok(())
}
