//! The bench on the emulated GPU: the host code of the CUDA device runs as it is, its times mean nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use warpsmith_bench::contender::Contender;
use warpsmith_bench::counts::{Counts, Meter};
use warpsmith_bench::engine::Engine;
use warpsmith_bench::kernel::{Source, UserKernel};
use warpsmith_bench::record::{Row, Status};
use warpsmith_bench::session::{Options, Session};
use warpsmith_bench::tasks::{Case, KERNEL_TASKS, Pass, preset};
use warpsmith_tensor::{DType, Device};

use crate::{case, passes, quick};

/// Recording takes the device's one stream, and a fault ends the device: one test at a time, each with a fresh one.
pub fn alone() -> (MutexGuard<'static, ()>, Device) {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    warpsmith_emulator::install().expect("the emulator is built beside the tests");
    (guard, Device::cuda(0).expect("the emulated GPU can be used"))
}

/// What the emulator counts, and what it knows of a fault.
pub struct Emulator;

impl Meter for Emulator {
    fn take(&self) -> Option<Counts> {
        let counts = warpsmith_emulator::counts()?;
        // Those that these tests look at.
        let (launches, instructions) = (counts.launches, counts.instructions);
        let (global_read_bytes, global_write_bytes) = (counts.global_read_bytes, counts.global_write_bytes);
        Some(Counts { launches, instructions, global_read_bytes, global_write_bytes, ..Counts::default() })
    }

    fn explain(&self) -> Option<String> {
        warpsmith_emulator::last_fault()
    }
}

/// The rows of a case on the emulated device.
pub fn rows(case: &Case, device: &Device, contenders: Vec<Box<dyn Contender>>) -> Vec<Row> {
    let mut contenders = contenders;
    Session::new(device, quick(), &Emulator).unwrap().case(case, &mut contenders).unwrap()
}

/// An entry of the planted kernels, launched with a block per row.
fn planted(entry: &str, threads: usize) -> Box<dyn Contender> {
    let ptx = include_str!("../kernels/planted.ptx").to_owned();
    let line = format!("softmax fwd f32; grid R; block {threads}");
    let source = Source::new("planted.ptx".into(), entry, ptx, line).unwrap();
    Box::new(UserKernel::new(source, "").unwrap())
}

fn softmax() -> Case {
    case("softmax", "5x70", Pass::Forward, DType::F32)
}

fn refused(entry: &str, threads: usize) -> Row {
    let (_guard, device) = alone();
    let row = rows(&softmax(), &device, vec![planted(entry, threads)]).remove(0);
    assert_eq!(row.status, Status::Refused, "{entry}");
    assert!(row.time.is_none(), "{entry}");
    row
}

#[test]
fn every_task_is_recorded_and_replayed() {
    let (_guard, device) = alone();
    let mut cases = 0;
    for task in KERNEL_TASKS {
        let work = preset(task, "tiny").unwrap().remove(0);
        for pass in passes(&work) {
            let case = Case { work: work.clone(), pass, dtype: DType::BF16 };
            let row = rows(&case, &device, vec![Box::new(Engine)]).remove(0);
            assert_eq!(row.status, Status::Ok, "{}: {:?}", case.name(), row.reason);
            // What writes over its inputs may not be recorded, and is timed as it is called.
            let of = if task == "adamw" { "calls" } else { "graph replays" };
            assert_eq!(row.time.unwrap().of, of, "{}", case.name());
            cases += 1;
        }
    }
    assert_eq!(cases, 11);
}

#[test]
fn a_counted_case_has_the_counts_of_one_run_and_no_time() {
    let (_guard, device) = alone();
    let options = Options { timed: false, ..quick() };
    let mut session = Session::new(&device, options, &Emulator).unwrap();
    let row = session.case(&softmax(), &mut [Box::new(Engine)]).unwrap().remove(0);
    assert_eq!((row.status, row.time.is_none()), (Status::Ok, true), "{:?}", row.reason);
    let counts = row.counts.unwrap();
    // Rows of 70 numbers are no runs of 16 bytes: read twice, written once.
    let once = 4 * 5 * 70;
    assert_eq!((counts.launches, counts.global_read_bytes, counts.global_write_bytes), (1, 2 * once, once));
}

/// What the limits of a GPU are measured by, and that it moves and computes what it says.
#[test]
fn the_limits_of_a_gpu_are_measured_by_copies_and_products() {
    let (_guard, device) = alone();
    let mut session = Session::new(&device, quick(), &Emulator).unwrap();
    warpsmith_emulator::counts();
    let copy = session.ceilings(&[], &mut []).unwrap();
    let counts = warpsmith_emulator::counts().unwrap();
    assert!(copy.copy_gb_s.is_some_and(|rate| rate > 0.0) && copy.matmul_gflop_s.is_empty(), "{copy:?}");
    // In each of three rounds all of it is read and written; both buffers are filled once before.
    let bytes = 4 * quick().limits.copied as u64;
    assert_eq!((counts.global_read_bytes, counts.global_write_bytes), (3 * bytes, 3 * bytes));
    let dtypes = [DType::F32, DType::BF16];
    // Who is wrong sets no limit.
    let mut all: Vec<Box<dyn Contender>> = vec![planted("zeros", 32), Box::new(Engine)];
    let limits = session.ceilings(&dtypes, &mut all).unwrap();
    let names: Vec<&str> = limits.matmul_gflop_s.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["f32", "bf16"]);
    assert!(dtypes.iter().all(|dtype| limits.matmul(dtype.name()).is_some_and(|rate| rate > 0.0)));
    assert!(session.ceilings(&dtypes, &mut []).unwrap().matmul_gflop_s.is_empty());
}

#[test]
fn a_kernel_of_the_users_is_proven_and_timed_beside_the_engine() {
    let (_guard, device) = alone();
    let rows = rows(&softmax(), &device, vec![Box::new(Engine), planted("softmax", 32)]);
    for row in &rows {
        assert_eq!(row.status, Status::Ok, "{}: {:?}", row.implementation, row.reason);
        assert_eq!(row.time.as_ref().unwrap().of, "graph replays");
    }
    assert_eq!(rows[1].implementation, "softmax");
    assert!(rows[1].time.as_ref().unwrap().ratio.is_some());
}

#[test]
fn planted_mistakes_are_refused_with_their_names() {
    for (entry, told) in [
        ("zeros", "all zeros"),
        ("nothing", "not written"),
        ("half", "[1, 0] is NaN"),
        ("off_by_one_row", "wrong"),
        ("cached", "the answer to the inputs before, again"),
    ] {
        let reason = refused(entry, 32).reason.unwrap();
        assert!(reason.starts_with("on ") && reason.contains(told), "{entry}: {reason}");
        // The driver refused nothing: what it said last is about something else.
        assert!(!reason.contains("cuFuncGetParamInfo"), "{entry}: {reason}");
    }
}

#[test]
fn a_race_ends_the_device_and_the_kernel_is_refused() {
    let reason = refused("race", 64).reason.unwrap();
    assert!(reason.contains("race"), "{reason}");
    // The next one starts afresh.
    let (_guard, device) = alone();
    let row = rows(&softmax(), &device, vec![planted("softmax", 32)]).remove(0);
    assert_eq!(row.status, Status::Ok, "{:?}", row.reason);
}

#[test]
fn a_kernel_for_another_case_or_of_another_struct_is_not_done() {
    let (_guard, device) = alone();
    let other = case("softmax", "5x70", Pass::Forward, DType::BF16);
    let row = rows(&other, &device, vec![planted("softmax", 32)]).remove(0);
    assert_eq!(row.status, Status::Unsupported);
    assert!(row.reason.unwrap().contains("it computes softmax fwd f32"));
    let ptx = include_str!("../kernels/planted.ptx").to_owned();
    let source = Source::new("planted.ptx".into(), "softmax", ptx, "grid R; block 32".into()).unwrap();
    let kernel = Box::new(UserKernel::new(source, "").unwrap());
    let row = rows(&case("matmul", "3x5x7", Pass::Forward, DType::F32), &device, vec![kernel]).remove(0);
    assert_eq!(row.status, Status::Unsupported);
    assert!(row.reason.unwrap().contains("const Real* A;"));
}
