//! `cargo bench --bench peers -- [--only NAME] [--seconds S]`: every work as a JSON line, for `benches/peers/compare.py`.
#![allow(missing_docs)]

mod works;

use std::time::{Duration, Instant};

use works::{Call, Work};

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let after = |flag: &str| words.iter().position(|w| w == flag).and_then(|i| words.get(i + 1));
    let only = after("--only").cloned().unwrap_or_default();
    let seconds: f64 = after("--seconds").and_then(|s| s.parse().ok()).unwrap_or(1.0);
    let chosen = works::works().into_iter().filter(|work| work.name.contains(&only));
    // Inside the pool, as the command runs.
    rayon::scope(|_| chosen.for_each(|work| report(&work, seconds)));
}

fn report(work: &Work, seconds: f64) {
    match (work.set_up)().and_then(|call| times(call, seconds)) {
        Ok(mut ms) => {
            ms.sort_by(f64::total_cmp);
            let (median, min, n) = (ms[ms.len() / 2], ms[0], ms.len());
            println!(
                "{{\"name\": \"{}\", \"shape\": \"{}\", \"peer\": \"warpsmith\", \"median_ms\": {median:.4}, \
                 \"min_ms\": {min:.4}, \"n\": {n}}}",
                work.name, work.shape
            );
        }
        Err(error) => eprintln!("{} failed: {error}", work.name),
    }
}

/// Milliseconds of each call, three of them to warm up first.
fn times(mut call: Call, seconds: f64) -> warpsmith::tensor::Result<Vec<f64>> {
    for _ in 0..3 {
        call()?;
    }
    let mut ms = Vec::new();
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    while ms.len() < 5 || Instant::now() < end {
        let start = Instant::now();
        call()?;
        ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(ms)
}
