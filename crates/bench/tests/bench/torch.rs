//! PyTorch's side: the script runs in the Python of this machine, on a `torch` of our own that goes wrong when it is told to.
//! With the real one, where there is one, every task is computed and right.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use warpsmith_bench::Result;
use warpsmith_bench::contender::Contender;
use warpsmith_bench::engine::Engine;
use warpsmith_bench::record::{Row, Status};
use warpsmith_bench::tasks::{Case, KERNEL_TASKS, Pass, TASKS, preset};
use warpsmith_bench::torch::{Python, Torch, python};
use warpsmith_tensor::{DType, Device};

use crate::watched::Watched;
use crate::{case, passes, rows};

/// A shell script in a folder of its own that stands for Python.
struct Program {
    folder: tempfile::TempDir,
}

impl Program {
    fn new(script: &str) -> Self {
        let program = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(program.path(), format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(program.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    /// Python with the torch that goes wrong in this way.
    fn fake(trick: &str) -> Self {
        let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/torch");
        let log = "FAKE_TORCH_LOG=\"$(dirname \"$0\")/log\"";
        Self::new(&format!(
            "FAKE_TORCH='{trick}' {log} PYTHONPATH='{modules}' PYTHONDONTWRITEBYTECODE=1 exec '{}' \"$@\"",
            python()
        ))
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("python")
    }

    fn start_on(&self, device: &Device, seconds: u64) -> Result<Torch> {
        let program = self.path().display().to_string();
        Torch::start(device, Python { program, patience: Duration::from_secs(seconds) })
    }

    fn start(&self, seconds: u64) -> Result<Torch> {
        self.start_on(&Device::Cpu, seconds)
    }
}

/// Whether there is a Python; tells that there is none, so that a run shows what it left out.
fn has_python() -> bool {
    let there = Command::new(python()).arg("--version").output().is_ok_and(|done| done.status.success());
    if !there {
        eprintln!("left out: {} does not start", python());
    }
    there
}

fn softmax() -> Case {
    case("softmax", "4x6", Pass::Forward, DType::F32)
}

/// The rows of the engine and, behind it, of PyTorch's ways.
fn table(torch: &mut Torch, compiled: bool) -> Vec<Row> {
    let mut all: Vec<Box<dyn Contender>> = vec![Box::new(Engine)];
    all.extend(torch.contenders("softmax", compiled).unwrap());
    let rows = rows(&softmax(), &Device::Cpu, all);
    assert!(rows[0].status == Status::Ok && rows[0].time.is_some(), "{:?}", rows[0].reason);
    rows
}

#[test]
fn a_peer_that_is_right_is_timed_whatever_it_prints() {
    if !has_python() {
        return;
    }
    for trick in ["", "prints"] {
        let program = Program::fake(trick);
        let mut torch = program.start(60).unwrap();
        assert_eq!(torch.version, "0.0.1+fake");
        let rows = table(&mut torch, true);
        let names: Vec<&str> = rows.iter().map(|row| row.implementation.as_str()).collect();
        assert_eq!(names, ["warpsmith", "torch softmax", "torch.compile softmax"]);
        for row in &rows[1..] {
            assert_eq!(row.status, Status::Ok, "{trick}: {:?}", row.reason);
            assert!(row.time.as_ref().is_some_and(|time| time.median_us > 0.0 && time.ratio.is_some()));
        }
        assert!(torch.remarks().is_empty());
    }
}

#[test]
fn a_peer_that_is_wrong_or_ends_is_not_timed_and_told() {
    if !has_python() {
        return;
    }
    for (trick, status, told) in [
        ("zeros", Status::Refused, "all zeros"),
        ("is stale", Status::Refused, "the answer to the inputs before, again"),
        ("does half", Status::Refused, "output 0[2, 0] is 0, expected 0.1030682"),
        ("is short", Status::Refused, "PyTorch gave 92 bytes, expected 96"),
        ("tires", Status::Refused, "wrong after it was timed"),
        ("raises", Status::Unsupported, "RuntimeError: no kernel image"),
        ("raises late", Status::Refused, "RuntimeError: no kernel image"),
        ("has no clock", Status::Refused, "gave 0.0 as a time"),
        ("exits", Status::Refused, "ended without an answer (exit status: 3), asked for torch softmax"),
        ("is killed", Status::Refused, "ended without an answer (signal: 9 (SIGKILL)), asked for torch"),
        ("hangs", Status::Refused, "gave no answer in 5 s and was ended, asked for torch softmax"),
        ("speaks", Status::Refused, "says \"Hello, world\", which is no answer"),
        ("gives 1 TB", Status::Refused, "1099511627776 bytes, expected 96 in all"),
    ] {
        let program = Program::fake(trick);
        let begun = Instant::now();
        // Time enough to start, but for the one that hangs.
        let patience = if trick == "hangs" { 5 } else { 60 };
        let row = table(&mut program.start(patience).unwrap(), false).remove(1);
        assert!(row.time.is_none() && row.status == status, "{trick}: {:?} {:?}", row.status, row.reason);
        assert!(row.reason.as_ref().is_some_and(|reason| reason.contains(told)), "{trick}: {:?}", row.reason);
        assert!(begun.elapsed() < Duration::from_secs(60), "{trick}");
    }
}

#[test]
fn what_does_not_compile_is_left_out_alone() {
    if !has_python() {
        return;
    }
    let rows = table(&mut Program::fake("does not compile").start(60).unwrap(), true);
    assert_eq!((rows[1].status, rows[2].status), (Status::Ok, Status::Unsupported));
    assert_eq!(rows[2].reason.as_deref(), Some("RuntimeError: no C++ compiler"));
}

#[test]
fn a_process_that_ended_is_started_anew_without_the_one_at_which_it_did() {
    if !has_python() {
        return;
    }
    let program = Program::fake("is killed");
    let mut torch = program.start(60).unwrap();
    // The one that comes first dies; the other has no process any more.
    let first = table(&mut torch, true);
    assert!(first[1..].iter().all(|row| row.status == Status::Refused), "{first:?}");
    let names = |torch: &mut Torch| -> Vec<String> {
        torch.contenders("softmax", true).unwrap().iter().map(|one| one.name()).collect()
    };
    let left = names(&mut torch);
    assert_eq!(left.len(), 1, "{left:?}");
    let remarks = torch.remarks();
    assert!(remarks.len() == 1 && remarks[0].contains("started anew without that"), "{remarks:?}");
    assert!(names(&mut torch) == left && torch.remarks().is_empty());
}

#[test]
fn rounds_alternate_between_the_processes() {
    if !has_python() {
        return;
    }
    let program = Program::fake("");
    let log = program.folder.path().join("log");
    let write = {
        let log = log.clone();
        move || std::fs::write(&log, std::fs::read_to_string(&log).unwrap_or_default() + "o").unwrap()
    };
    let mut all = vec![Watched::boxed("ours", write)];
    all.extend(program.start(60).unwrap().contenders("softmax", false).unwrap());
    let rows = rows(&softmax(), &Device::Cpu, all);
    assert!(rows.iter().all(|row| row.time.as_ref().is_some_and(|time| time.n == 3)), "{rows:?}");
    // Two each to warm up, then three rounds.
    assert_eq!(std::fs::read_to_string(log).unwrap(), "oott ot to ot".replace(' ', ""));
}

#[test]
fn packages_that_cannot_be_imported_leave_a_line_and_those_that_can_take_part() {
    if !has_python() {
        return;
    }
    let mut torch = Program::fake("").start(60).unwrap();
    let all = torch.contenders("attention", true).unwrap();
    let names: Vec<String> = all.iter().map(|one| one.name()).collect();
    let expected = ["torch sdpa", "torch sdpa flash", "torch sdpa math", "flash_attn 3"];
    assert_eq!(names[..4], expected);
    assert_eq!(names[4..], ["torch.compile sdpa", "torch.compile flex_attention"]);
    let told = [
        "beside PyTorch there is no flash_attn, flash_attn.cute",
        "without xformers.ops: OSError: libcudart.so.12: cannot open shared object file",
    ];
    assert_eq!(torch.remarks(), told);
    torch.contenders("attention", false).unwrap();
    assert!(torch.remarks().is_empty(), "nothing is told twice");
    // Such a package says in words of its own what it does not do.
    let case = case("attention", "1x4x1x4", Pass::Forward, DType::F32);
    let only = all.into_iter().filter(|one| one.name() == "flash_attn 3").collect();
    let row = rows(&case, &Device::Cpu, only).remove(0);
    let told = "RuntimeError: FlashAttention only supports Ampere GPUs or newer.";
    assert_eq!((row.status, row.reason.as_deref()), (Status::Unsupported, Some(told)));
}

/// Programs that are no Python at all.
#[test]
fn a_process_that_knows_nothing_of_this_is_ended() {
    for (script, told) in [
        ("echo usage: nothing", "says \"usage: nothing\", which is no answer"),
        ("echo '[1, 2]'", "says \"[1, 2]\", which is no answer"),
        ("exit 7", "(exit status: 7)"),
        ("cat /dev/zero", "which is no answer"),
        // What it leaves behind holds its pipe open.
        ("sleep 1000", "gave no answer in 1 s"),
    ] {
        let begun = Instant::now();
        let error = Program::new(script).start(1).err().unwrap();
        assert!(error.is_unsupported(), "{script}");
        assert!(error.to_string().contains(told), "{script}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{script}");
    }
}

/// More is sent to it than a pipe holds, and it reads none of that.
#[test]
fn a_process_that_does_not_read_holds_nobody_up() {
    let hello = "read line; echo '{\"torch\": \"deaf\"}'; read line; echo '{\"names\": [\"deaf\"]}'";
    let program = Program::new(&format!("{hello}; exec sleep 1000"));
    let mut torch = program.start(1).unwrap();
    let all = torch.contenders("softmax", false).unwrap();
    let large = case("softmax", "300x1024", Pass::Forward, DType::F32);
    let row = rows(&large, &Device::Cpu, all).remove(0);
    assert!(row.reason.as_ref().is_some_and(|told| told.contains("asked for deaf")), "{:?}", row.reason);
}

/// What was timed is a recording: what is proven at the end has to be one too.
#[cfg(feature = "cuda")]
#[test]
fn a_recording_that_computes_nothing_is_refused() {
    if !has_python() {
        return;
    }
    let (_guard, device) = crate::emulated::alone();
    for (trick, status) in [("", Status::Ok), ("replays nothing", Status::Refused)] {
        let program = Program::fake(trick);
        let all = program.start_on(&device, 60).unwrap().contenders("softmax", false).unwrap();
        let row = crate::emulated::rows(&softmax(), &device, all).remove(0);
        assert_eq!(row.status, status, "{trick}: {:?}", row.reason);
        let told = row.reason.unwrap_or_default();
        assert!(status == Status::Ok || told.contains("wrong after it was timed"), "{told}");
    }
}

/// Where `WARPSMITH_PYTHON`, or python3, has torch.
#[test]
fn the_real_torch_is_right_on_every_task() {
    let python = Python { program: python(), patience: Duration::from_secs(300) };
    let mut torch = match Torch::start(&Device::Cpu, python) {
        Ok(torch) => torch,
        Err(error) => return eprintln!("left out: {error}"),
    };
    assert!(Path::new(&torch.version).components().count() == 1, "{}", torch.version);
    for task in TASKS {
        for work in preset(task, "tiny").unwrap() {
            for pass in passes(&work) {
                for dtype in [DType::F32, DType::BF16, DType::F16] {
                    if dtype == DType::F16 && !KERNEL_TASKS.contains(&task) {
                        continue;
                    }
                    let case = Case { work: work.clone(), pass, dtype };
                    for row in rows(&case, &Device::Cpu, torch.contenders(task, false).unwrap()) {
                        let named = format!("{} {}", case.name(), row.implementation);
                        let others = !row.implementation.starts_with("torch ");
                        assert!(row.status == Status::Ok || others, "{named}: {:?}", row.reason);
                    }
                }
            }
        }
    }
}
