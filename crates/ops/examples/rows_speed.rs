//! Times the ops over rows and the optimiser's update against the speed of a plain copy in the same run.
//!
//! `cargo run --release -p warpsmith-ops --example rows_speed` prints for each op the quietest of its passes, in
//! milliseconds and in gigabytes per second of the traffic that its cost formula names.

use std::time::{Duration, Instant};

use warpsmith_autograd::{Meta, Op, apply_owned};
use warpsmith_ops::adamw::AdamW;
use warpsmith_ops::clip_by_norm::ClipByNorm;
use warpsmith_ops::cross_entropy::{CrossEntropy, CrossEntropyBackward};
use warpsmith_ops::dropout::Dropout;
use warpsmith_ops::embedding::{Embedding, EmbeddingBackward};
use warpsmith_ops::layer_norm::{LayerNorm, LayerNormBackward};
use warpsmith_tensor::{Device, Result, Rng, Seed, Tensor};

/// Each op runs at least this often and this long.
const PASSES: usize = 5;
const PATIENCE: Duration = Duration::from_millis(600);

fn main() -> Result<()> {
    println!("{:<34} {:>9} {:>8}", "work", "ms", "GB/s");
    copy()?;
    layer_norm(8192, 768)?;
    cross_entropy(2048, 50257)?;
    embedding(2048, 50257, 768)?;
    adamw()?;
    dropout(8192, 768)
}

fn random(dims: &[usize]) -> Result<Tensor> {
    // A short random pattern repeated: Box and Muller over a hundred million numbers would take longer than the work.
    let pattern = Rng::new(Seed(1)).normal(4093);
    let count = dims.iter().product();
    Tensor::from_vec(pattern.into_iter().cycle().take(count).collect::<Vec<f32>>(), dims, &Device::Cpu)
}

/// The quietest pass of `run`, in seconds; `prepare` is not timed.
fn quietest<I>(mut prepare: impl FnMut() -> Result<I>, mut run: impl FnMut(I) -> Result<()>) -> Result<f64> {
    let (start, mut best, mut passes) = (Instant::now(), f64::INFINITY, 0);
    while passes < PASSES || start.elapsed() < PATIENCE {
        let input = prepare()?;
        let begun = Instant::now();
        run(input)?;
        best = best.min(begun.elapsed().as_secs_f64());
        passes += 1;
    }
    Ok(best)
}

fn report(name: &str, seconds: f64, bytes: f64) {
    println!("{name:<34} {:>9.3} {:>8.1}", seconds * 1e3, bytes / seconds * 1e-9);
}

/// Times `op`; inputs for which `fresh` says so are copied before each pass, so that the op may write over them.
fn time(name: &str, op: impl Op + Clone, inputs: &[Tensor], fresh: impl Fn(usize) -> bool) -> Result<()> {
    let metas: Vec<Meta> = inputs.iter().map(Meta::from).collect();
    let (read, written, _) = op.cost().values(&op, &metas)?;
    let prepare =
        || inputs.iter().enumerate().map(|(i, t)| if fresh(i) { t.copy() } else { Ok(t.clone()) }).collect();
    let seconds =
        quietest(prepare, |inputs: Vec<Tensor>| apply_owned(op.clone(), inputs).map(|_outputs| ()))?;
    report(name, seconds, (read + written) as f64);
    Ok(())
}

fn copy() -> Result<()> {
    let x = random(&[64 << 20])?;
    let seconds = quietest(|| Ok(()), |()| x.copy().map(|_copy| ()))?;
    report("copy of 256 MiB", seconds, 2.0 * 4.0 * x.numel() as f64);
    let x = random(&[8192, 768])?;
    let seconds = quietest(|| Ok(()), |()| x.copy().map(|_copy| ()))?;
    report("copy of (8192, 768)", seconds, 2.0 * 4.0 * x.numel() as f64);
    Ok(())
}

fn layer_norm(rows: usize, width: usize) -> Result<()> {
    let (x, weight, column) = (random(&[rows, width])?, random(&[width])?, random(&[rows])?);
    let shape = format!("({rows}, {width})");
    let forward = [x.clone(), weight.clone(), weight.clone()];
    time(&format!("layer_norm {shape}"), LayerNorm::new(1e-5), &forward, |_| false)?;
    let backward = [x.clone(), x, weight, column.clone(), column];
    time(&format!("layer_norm_backward {shape}"), LayerNormBackward, &backward, |i| i == 0)
}

fn cross_entropy(rows: usize, classes: usize) -> Result<()> {
    let logits = random(&[rows, classes])?;
    let targets: Vec<i64> = (0..rows).map(|n| (n * 7919 % classes) as i64).collect();
    let targets = Tensor::from_vec(targets, &[rows], &Device::Cpu)?;
    let shape = format!("({rows}, {classes})");
    time(&format!("cross_entropy {shape}"), CrossEntropy::MEAN, &[logits.clone(), targets.clone()], |_| {
        false
    })?;
    let statistic = Tensor::from_vec(vec![4f32; rows], &[rows], &Device::Cpu)?;
    let backward = [logits, targets, statistic.clone(), statistic, Tensor::scalar(1f32, &Device::Cpu)?];
    let op = CrossEntropyBackward { forward: CrossEntropy::MEAN };
    time(&format!("cross_entropy_backward {shape}"), op, &backward, |i| i == 0)
}

fn embedding(positions: usize, rows: usize, width: usize) -> Result<()> {
    let ids: Vec<i64> = (0..positions).map(|n| (n * n % rows) as i64).collect();
    let ids = Tensor::from_vec(ids, &[positions], &Device::Cpu)?;
    let shape = format!("{positions} of ({rows}, {width})");
    time(&format!("embedding {shape}"), Embedding, &[random(&[rows, width])?, ids.clone()], |_| false)?;
    let op = EmbeddingBackward { rows };
    time(&format!("embedding_backward {shape}"), op, &[random(&[positions, width])?, ids], |_| false)
}

/// The tensors of a GPT of 6 layers, 384 wide, over 65 characters: 10.8 million parameters.
fn adamw() -> Result<()> {
    let width = 384;
    let mut shapes = vec![vec![65, width], vec![256, width], vec![width]];
    for _ in 0..6 {
        shapes.extend([vec![width], vec![width, 3 * width], vec![width, width], vec![width]]);
        shapes.extend([vec![width, 4 * width], vec![4 * width, width]]);
    }
    let count: usize = shapes.iter().map(|s| s.iter().product::<usize>()).sum();
    let mut inputs = Vec::new();
    for shape in &shapes {
        let parameter = random(shape)?;
        let squares: Vec<f32> = parameter.to_vec::<f32>()?.iter().map(|p| p * p).collect();
        let square = Tensor::from_vec(squares, shape, &Device::Cpu)?;
        inputs.extend([parameter.clone(), parameter.clone(), parameter, square]);
    }
    let op = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, step: 10 };
    time(&format!("adamw over {:.2} M in {}", count as f64 * 1e-6, shapes.len()), op, &inputs, |i| {
        i % 4 != 1
    })?;
    let gradients: Vec<Tensor> = inputs.iter().skip(1).step_by(4).cloned().collect();
    time("clip_by_norm of their gradients", ClipByNorm { max_norm: 1.0 }, &gradients, |_| true)
}

fn dropout(rows: usize, width: usize) -> Result<()> {
    let op = Dropout { p: 0.1, seed: Seed(1), stream: 1 };
    time(&format!("dropout ({rows}, {width})"), op, &[random(&[rows, width])?], |_| true)
}
