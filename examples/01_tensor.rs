//! Tensors: a shape over shared storage. Views cost nothing, and nobody's values change under their reader.
//!
//! `cargo run --example 01_tensor`

use warpsmith::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cpu = Device::Cpu;
    let x = Tensor::from_vec(vec![1f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3], &cpu)?; // (2, 3)
    println!("x            {x:?}");

    // Another layout over the same storage: no number is copied.
    let transposed = x.permute(&[1, 0])?; // (3, 2)
    let column = x.slice(1, 1, 1, 1)?; // (2, 1)
    println!("transposed   {transposed:?}");
    println!("column 1     {column:?}");
    println!(
        "share storage with x: {} and {}; contiguous: {} and {}",
        transposed.shares_storage(&x),
        column.shares_storage(&x),
        transposed.is_contiguous(),
        column.is_contiguous(),
    );

    // Broadcasting, as in NumPy: axes are lined up from the right, and an axis of size 1 is repeated.
    let row = Tensor::from_vec(vec![10f32, 20.0, 30.0], &[3], &cpu)?; // (3)
    println!("x + row      {:?}", x.add(&row)?); // (2, 3) + (3) -> (2, 3)
    println!("x * column   {:?}", x.mul(&column)?); // (2, 3) * (2, 1) -> (2, 3)

    // Copy on write: a tensor that shares its storage is copied before it is written.
    let mut y = x.clone();
    println!("a clone shares storage: {}", y.shares_storage(&x));
    y.data_mut::<f32>()?[0] = 100.0;
    println!("after a write it does not: {}", y.shares_storage(&x));
    println!("y            {y:?}");
    println!("x            {x:?}");

    // What does not fit is an error that says what came.
    if let Err(error) = x.add(&transposed) {
        println!("x + transposed: {error}");
    }
    Ok(())
}
