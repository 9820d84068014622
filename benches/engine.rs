//! `cargo bench --bench engine`: every work under criterion.
#![allow(missing_docs)]

mod works;

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use works::Work;

fn engine(criterion: &mut Criterion) {
    for work in works::works() {
        let mut group = criterion.benchmark_group(work.name);
        group.sample_size(10);
        group.bench_function(&work.shape, |bencher| bencher.iter_custom(|calls| time(&work, calls)));
        group.finish();
    }
}

/// Inside the pool, as the command runs.
fn time(work: &Work, calls: u64) -> Duration {
    let timed = rayon::scope(|_| {
        let mut call = (work.set_up)()?;
        call()?;
        let start = Instant::now();
        (0..calls).try_for_each(|_| call()).map(|()| start.elapsed())
    });
    timed.unwrap_or_else(|error: warpsmith::tensor::Error| panic!("{}: {error}", work.name))
}

criterion_group!(benches, engine);
criterion_main!(benches);
