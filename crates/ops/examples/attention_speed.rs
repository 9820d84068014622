//! How fast attention is on this machine: `cargo run --release -p warpsmith-ops --example attention_speed`.
//!
//! Prints the fastest of many calls. Floating-point operations are those that the mask lets through.

use std::time::Instant;

use warpsmith_autograd::TensorExt;
use warpsmith_ops::attention::{AttentionOptions, Mask};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Result, Rng, Seed, Tensor};

/// Name, [B, H, Hkv, Tq, Tk, D], how many calls are timed.
const SHAPES: [(&str, [usize; 6], usize); 6] = [
    ("GPT-2 layer", [1, 12, 12, 1024, 1024, 64], 30),
    ("nanoGPT char", [12, 4, 4, 64, 64, 32], 500),
    ("baby GPT", [8, 6, 6, 256, 256, 64], 100),
    ("one sequence, GQA", [1, 8, 1, 512, 512, 128], 30),
    ("decode at 256", [1, 12, 12, 1, 256, 64], 1000),
    ("decode at 1024", [1, 12, 12, 1, 1024, 64], 500),
];

/// Seconds of the fastest of `calls` calls.
fn fastest(calls: usize, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..calls {
        let start = Instant::now();
        call()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn measure() -> Result<()> {
    let options = AttentionOptions { mask: Mask::Causal, ..Default::default() };
    println!(
        "{:<18} {:>10} {:>9} {:>14} {:>9}",
        "causal, f32", "forward ms", "GFLOP/s", "fwd + bwd ms", "GFLOP/s"
    );
    for (name, [b, h, hkv, tq, tk, d], calls) in SHAPES {
        let rng = Rng::new(Seed(1));
        let random = |t, h| Tensor::randn(&[b, t, h, d], &rng, &Device::Cpu);
        let [q, k, v, dout] = [random(tq, h)?, random(tk, hkv)?, random(tk, hkv)?, random(tq, h)?];
        let forward = fastest(calls, || q.attention(&k, &v, &options).map(drop))?;
        let leaves = [q.requires_grad()?, k.requires_grad()?, v.requires_grad()?];
        let both = fastest(calls, || {
            let out = leaves[0].attention(&leaves[1], &leaves[2], &options)?;
            out.backward_from(dout.clone()).map(drop)
        })?;
        let pairs = b * h * (0..tq).map(|i| i + 1 + tk - tq).sum::<usize>();
        let flops = (4 * pairs * d) as f64;
        println!(
            "{name:<18} {:>10.3} {:>9.0} {:>14.3} {:>9.0}",
            forward * 1e3,
            flops / forward / 1e9,
            both * 1e3,
            3.5 * flops / both / 1e9
        );
    }
    Ok(())
}

fn main() -> Result<()> {
    // Inside the pool, so that no call pays for entering it.
    rayon::scope(|_| measure())
}
