//! Lane operations per second on one core, with and without checks: `cargo bench -p warpsmith-emulator`.
//!
//! Three small kernels of the tests (arithmetic, loads and stores, shuffles and barriers), and kernels that ship. Time is
//! what the thread has had of a core, where Linux tells, so that a busy machine counts little.
#![forbid(unsafe_code)]

mod device;
mod works;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use warpsmith_emulator::Checks;

use crate::works::WORKS;

fn speed(criterion: &mut Criterion) {
    for (name, checks) in [("unchecked", false), ("checked", true)] {
        let checks = Checks { init: checks, races: checks };
        let mut group = criterion.benchmark_group(name);
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1));
        for (name, prepare) in WORKS {
            let mut work = prepare();
            group.throughput(Throughput::Elements(work.run(checks).lane_operations));
            group.bench_function(*name, |bencher| {
                bencher.iter_custom(|rounds| {
                    let start = Clock::start();
                    for _ in 0..rounds {
                        std::hint::black_box(work.run(checks));
                    }
                    start.elapsed()
                });
            });
        }
        group.finish();
    }
}

/// The thread's time on a core, or the time of day where that is not known.
struct Clock {
    day: Instant,
    core: Option<Duration>,
}

impl Clock {
    fn start() -> Clock {
        Clock { day: Instant::now(), core: on_core() }
    }

    fn elapsed(&self) -> Duration {
        match (self.core, on_core()) {
            (Some(before), Some(after)) => after - before,
            _ => self.day.elapsed(),
        }
    }
}

fn on_core() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

criterion_group!(benches, speed);
criterion_main!(benches);
