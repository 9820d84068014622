//! The bench on the CPU and on the emulated GPU: what is right is measured, what is wrong is never timed.

mod cheats;
#[cfg(all(feature = "cuda", target_os = "linux"))]
mod emulated;
mod honest;
#[cfg(all(feature = "cuda", target_os = "linux"))]
mod ladder;
mod models;
#[cfg(all(feature = "cuda", target_os = "linux"))]
mod starters;
#[cfg(unix)]
mod torch;
mod watched;

use std::sync::Arc;

use warpsmith_bench::clock::Cache;
use warpsmith_bench::contender::Contender;
use warpsmith_bench::counts::NoMeter;
use warpsmith_bench::record::Row;
use warpsmith_bench::session::{Limits, Options, Session};
use warpsmith_bench::tasks::{Case, Pass, Workload, parse};
use warpsmith_tensor::{DType, Device};

/// As little time as possible.
fn quick() -> Options {
    let limits = Limits { copied: 5000, side: 24 };
    Options { cache: Cache::Warm, rounds: 3, seconds: 1e-3, seed: 1, timed: true, limits }
}

fn case(task: &str, shape: &str, pass: Pass, dtype: DType) -> Case {
    Case { work: parse(task, shape).unwrap(), pass, dtype }
}

/// The rows of a case on a device.
fn rows(case: &Case, device: &Device, contenders: Vec<Box<dyn Contender>>) -> Vec<Row> {
    let mut contenders = contenders;
    Session::new(device, quick(), &NoMeter).unwrap().case(case, &mut contenders).unwrap()
}

/// Every pass of a workload.
fn passes(work: &Arc<dyn Workload>) -> Vec<Pass> {
    [Pass::Forward, Pass::Backward].into_iter().filter(|pass| work.has(*pass)).collect()
}
