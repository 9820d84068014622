//! Attention: one op that never stores the scores, against softmax(q kᵀ / √D) v written out.
//!
//! `cargo run --example 04_attention`

use warpsmith::ops::attention::{AttentionOptions, Mask};
use warpsmith::ops::create::future_mask;
use warpsmith::prelude::*;

/// Causal attention with one op per step; q, k, v and the result are (B, T, H, D).
fn written_out(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor, Box<dyn std::error::Error>> {
    let (t, d) = (q.dims()[1], q.dims()[3]);
    let q = q.permute(&[0, 2, 1, 3])?; // (B, H, T, D)
    let k = k.permute(&[0, 2, 3, 1])?; // (B, H, D, T)
    let v = v.permute(&[0, 2, 1, 3])?; // (B, H, T, D)
    let scores = q.matmul(&k)?.mul_scalar(1.0 / (d as f64).sqrt())?; // (B, H, T, T)
    let future = future_mask(t, t, &q.device())?; // (T, T), true where a key lies behind its query
    let weights = scores.masked_fill(&future, f64::NEG_INFINITY)?.softmax()?; // (B, H, T, T)
    Ok(weights.matmul(&v)?.permute(&[0, 2, 1, 3])?) // (B, T, H, D)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::best()?;
    let rng = Rng::new(Seed(7));
    let (b, t, h, d) = (2, 70, 4, 16);
    let draw = || Tensor::randn(&[b, t, h, d], &rng, &device); // (B, T, H, D)
    let (q, k, v) = (draw()?, draw()?, draw()?);

    let options = AttentionOptions { mask: Mask::Causal, ..Default::default() };
    let fused = q.attention(&k, &v, &options)?; // (B, T, H, D)
    let plain = written_out(&q, &k, &v)?;

    let (ours, others) = (fused.to_f64_vec()?, plain.to_f64_vec()?);
    let worst = ours.iter().zip(&others).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    println!("output {} of {} numbers", fused.shape(), fused.numel());
    println!("largest difference between the op and the written-out form: {worst:.2e}");
    println!("numbers in the scores that the op never stores: {}", b * h * t * t);

    // The first query sees one key, so its output is that key's value.
    let first = |x: &Tensor| x.slice(1, 0, 1, 1)?.to_f64_vec();
    println!("the first position returns its own value: {}", first(&fused)? == first(&v)?);

    // A row does not depend on what comes later: the first 10 positions alone have the same bits.
    let head = |x: &Tensor| x.slice(1, 0, 10, 1); // (B, 10, H, D)
    let short = head(&q)?.attention(&head(&k)?, &head(&v)?, &options)?;
    println!("10 positions alone have the same bits: {}", short.to_f64_vec()? == head(&fused)?.to_f64_vec()?);
    Ok(())
}
