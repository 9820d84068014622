//! Times candle on the CPU at works of the benchmark and prints one JSON line for each, as `pytorch.py` does.
#![forbid(unsafe_code)]

mod gpt;

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor};

const PEER: &str = if cfg!(feature = "avx512") { "candle avx512" } else { "candle" };
const PRODUCTS: [(usize, usize, usize); 6] = [
    (512, 512, 512),
    (1024, 1024, 1024),
    (2048, 2048, 2048),
    (256, 384, 1536),
    (2048, 768, 3072),
    (2048, 768, 50257),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let only = match arguments.iter().position(|word| word == "--only") {
        Some(at) => arguments.get(at + 1).map_or("", String::as_str),
        None => "",
    };
    let is_wanted = |name: &str| name.contains(only);

    for (name, dtype) in [("matmul_f32", DType::F32), ("matmul_bf16", DType::BF16)] {
        // The vocabulary head in bf16 takes candle the better part of a minute.
        let count = if dtype == DType::F32 { PRODUCTS.len() } else { PRODUCTS.len() - 1 };
        for (m, k, n) in PRODUCTS.into_iter().take(count).filter(|_| is_wanted(name)) {
            let (a, b) = (random((m, k))?.to_dtype(dtype)?, random((k, n))?.to_dtype(dtype)?);
            time(name, &format!("{m}x{k}x{n}"), || a.matmul(&b).map(drop))?;
        }
    }
    if is_wanted("softmax_fwd_f32") {
        let x = random((4096, 4096))?;
        time("softmax_fwd_f32", "4096x4096", || candle_nn::ops::softmax_last_dim(&x).map(drop))?;
    }
    if is_wanted("train_step_char_f32") {
        let mut training = gpt::Training::new()?;
        time("train_step_char_f32", "4L4H128 T64 B12", || training.step())?;
    }
    Ok(())
}

fn random(shape: (usize, usize)) -> Result<Tensor> {
    Tensor::randn(0f32, 1.0, shape, &Device::Cpu)
}

/// Two calls to warm up, then at least five, and more while two seconds are not over.
fn time(name: &str, shape: &str, mut call: impl FnMut() -> Result<()>) -> Result<()> {
    call()?;
    call()?;
    let mut times = Vec::new();
    let began = Instant::now();
    while times.len() < 5 || (began.elapsed().as_secs_f64() < 2.0 && times.len() < 500) {
        let start = Instant::now();
        call()?;
        times.push(1e3 * start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let n = times.len();
    let median = (times[(n - 1) / 2] + times[n / 2]) / 2.0;
    println!(
        r#"{{"name": "{name}", "shape": "{shape}", "peer": "{PEER}", "median_ms": {median:.4}, "min_ms": {:.4}, "n": {n}, "candle": "0.11"}}"#,
        times[0]
    );
    Ok(())
}
