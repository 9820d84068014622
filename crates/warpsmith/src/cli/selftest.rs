//! `warpsmith selftest`: whether a device computes what it must. Runs the registry's samples on it and compares with the
//! oracle in f64; needs no data, no network and no GPU.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::Serialize;
use warpsmith::tensor::Device;
use warpsmith_conformance::{Check, Plan, Report, Sweep, Tally};

use super::{Failure, device};

/// How many failures are printed; the JSON has them all.
const SHOWN: usize = 20;

/// The flags.
pub fn command() -> Command {
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let checks = Check::ALL.map(Check::name);
    Command::new("selftest")
        .about("Whether a device computes what it must: every op against its oracle in f64")
        .after_help("Exit code 0 if nothing fails, 1 otherwise. Progress goes to standard error.")
        .arg(device::arg())
        .arg(
            Arg::new("check")
                .long("check")
                .value_name(checks.join("|"))
                .value_parser(checks)
                .action(ArgAction::Append)
                .help("Ask only this question; may be given several times [default: all]."),
        )
        .arg(Arg::new("op").long("op").value_name("NAME").help("Ask only the ops whose names contain this."))
        .arg(switch("small", "A few cases of each op, for tools that slow kernels down a hundredfold."))
        .arg(switch("whole", "Every kind of numbers in every layout of memory: slow but on the CPU."))
        .arg(switch("json", "Print one JSON object."))
}

/// The whole report. The keys are stable.
#[derive(Serialize)]
struct Findings {
    version: &'static str,
    device: String,
    gpu: Option<String>,
    plan: &'static str,
    passed: bool,
    cases: usize,
    seconds: f64,
    /// Bytes of the GPU's memory in tensors: the most at once, and what is left at the end.
    memory_peak_bytes: Option<u64>,
    memory_live_bytes: Option<u64>,
    checks: Vec<Row>,
    failures: Vec<Fault>,
}

/// What one question found.
#[derive(Serialize)]
struct Row {
    check: &'static str,
    specs: usize,
    cases: usize,
    failures: usize,
    /// The largest error in units of what is allowed, and whose it was.
    worst: f64,
    worst_at: String,
    seconds: f64,
    /// Specs that have no kernel for the device.
    absent: Vec<&'static str>,
    /// Why the device stopped answering, if it did.
    broken: Option<String>,
    by_spec: BTreeMap<&'static str, SpecRow>,
}

/// What one question found of one spec.
#[derive(Serialize)]
struct SpecRow {
    cases: usize,
    failures: usize,
    worst: f64,
    seconds: f64,
}

/// One failure, for all layouts of a sample in one kind of numbers.
#[derive(Serialize)]
struct Fault {
    check: &'static str,
    spec: &'static str,
    sample: usize,
    dtype: String,
    op: String,
    class: Option<String>,
    layouts: Vec<String>,
    message: String,
}

/// `warpsmith selftest`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let device = device::of(args)?;
    let plan = plan(args, &device)?;
    let part = args.get_one::<String>("op").map_or("", String::as_str);
    let specs: Vec<_> =
        warpsmith::ops::registry().into_iter().filter(|spec| spec.name.contains(part)).collect();
    if specs.is_empty() {
        return Err(Failure::Usage(format!("no op's name contains `{part}`; `warpsmith ops` lists them")));
    }
    let asked: Option<Vec<&String>> = args.get_many("check").map(Iterator::collect);
    let is_asked =
        |check: &Check| asked.as_ref().is_none_or(|names| names.iter().any(|n| **n == check.name()));
    let began = Instant::now();
    let mut found = Findings {
        version: env!("CARGO_PKG_VERSION"),
        device: device.to_string(),
        gpu: gpu(&device),
        plan: plan_name(plan),
        passed: true,
        cases: 0,
        seconds: 0.0,
        memory_peak_bytes: None,
        memory_live_bytes: None,
        checks: Vec::new(),
        failures: Vec::new(),
    };
    for check in Check::ALL.into_iter().filter(|c| c.applies(&device)).filter(is_asked) {
        let sweep = Sweep { check, specs: specs.clone(), device: device.clone(), plan };
        let started = Instant::now();
        let line = Line::new(check);
        let report = sweep.run(&|spec, done, all| line.show(spec, done, all));
        line.clear();
        found.add(check, &report, started.elapsed().as_secs_f64());
        if report.broken.is_some() {
            break;
        }
    }
    found.seconds = began.elapsed().as_secs_f64();
    let memory = device.memory();
    found.memory_peak_bytes = memory.map(|m| m.peak);
    found.memory_live_bytes = memory.map(|m| m.live);
    let told = match args.get_flag("json") {
        true => say!("{}", serde_json::to_string_pretty(&found)?),
        false => found.print(),
    };
    match found.passed {
        true => told,
        false => Err(Failure::Failed(format!(
            "selftest: {} failures in {} cases on {}",
            found.failures.len(),
            found.cases,
            found.device
        ))),
    }
}

fn plan(args: &ArgMatches, device: &Device) -> Result<Plan, Failure> {
    match (args.get_flag("small"), args.get_flag("whole")) {
        (true, true) => Err(Failure::Usage("--small and --whole are two answers to one question".into())),
        (true, false) => Ok(Plan::Small),
        (false, true) => Ok(Plan::Whole),
        (false, false) if device.is_cpu() => Ok(Plan::Whole),
        (false, false) => Ok(Plan::Crossed),
    }
}

fn plan_name(plan: Plan) -> &'static str {
    match plan {
        Plan::Whole => "whole",
        Plan::Crossed => "crossed",
        Plan::Small => "small",
    }
}

/// What the GPU is called.
fn gpu(device: &Device) -> Option<String> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(cuda) => Some(cuda.gpu().name.clone()),
        _ => None,
    }
}

impl Findings {
    fn add(&mut self, check: Check, report: &Report, seconds: f64) {
        let total = report.total();
        let of = |tally: &Tally| SpecRow {
            cases: tally.cases,
            failures: tally.failures.len(),
            worst: tally.worst.share,
            seconds: tally.seconds,
        };
        let ran = report.specs.iter().filter(|(_, tally)| tally.cases > 0);
        let worst = ran.clone().max_by(|a, b| a.1.worst.share.total_cmp(&b.1.worst.share));
        self.passed &= report.is_green() && total.cases > 0;
        self.cases += total.cases;
        self.checks.push(Row {
            check: check.name(),
            specs: ran.clone().count(),
            cases: total.cases,
            failures: total.failures.len(),
            worst: total.worst.share,
            worst_at: worst.map(|(name, tally)| format!("{name} {}", tally.worst.place)).unwrap_or_default(),
            seconds,
            absent: report.absent().collect(),
            broken: report.broken.clone(),
            by_spec: ran.map(|(name, tally)| (*name, of(tally))).collect(),
        });
        self.failures.extend(total.failures.into_iter().map(|failure| Fault {
            check: check.name(),
            spec: failure.spec,
            sample: failure.sample,
            dtype: failure.float.to_string(),
            op: failure.op,
            class: failure.class.map(|class| format!("{class:?}")),
            layouts: failure.memories.iter().map(|memory| format!("{memory:?}")).collect(),
            message: failure.message,
        }));
    }

    fn print(&self) -> Result<(), Failure> {
        for fault in self.failures.iter().take(SHOWN) {
            let Fault { check, spec, sample, dtype, class, layouts, message, .. } = fault;
            let class = class.as_deref().unwrap_or("");
            say!("{check}: {spec} sample {sample} {dtype} {class} {}: {message}", layouts.join(" "))?;
        }
        if self.failures.len() > SHOWN {
            say!("… and {} more; --json has them all", self.failures.len() - SHOWN)?;
        }
        let width = self.checks.iter().map(|row| row.worst_at.len()).max().unwrap_or(0);
        say!(
            "{:<10} {:>5} {:>7} {:>8} {:>8}  {:<width$} {:>7}",
            "check",
            "specs",
            "cases",
            "failures",
            "worst",
            "where",
            "s"
        )?;
        for row in &self.checks {
            let Row { check, specs, cases, failures, worst, worst_at, seconds, .. } = row;
            say!(
                "{check:<10} {specs:>5} {cases:>7} {failures:>8} {worst:>8.3}  {worst_at:<width$} {seconds:>7.1}"
            )?;
        }
        for row in self.checks.iter().filter(|row| !row.absent.is_empty()) {
            say!("{}: no kernel yet for {}", row.check, row.absent.join(", "))?;
        }
        for row in &self.checks {
            if let Some(reason) = &row.broken {
                say!("{}: the device stopped answering: {reason}", row.check)?;
            }
        }
        let verdict = if self.passed { "passed" } else { "FAILED" };
        let gpu = self.gpu.as_deref().map_or(String::new(), |name| format!(" ({name})"));
        say!(
            "selftest {verdict}: {} cases on {}{gpu} in {:.1} s; worst: the largest error in units of what is allowed",
            self.cases,
            self.device,
            self.seconds
        )
    }
}

/// One line that says how far a check is: rewritten in place on a terminal, now and then elsewhere.
struct Line {
    check: Check,
    is_live: bool,
    shown: Mutex<Instant>,
}

impl Line {
    fn new(check: Check) -> Self {
        Self { check, is_live: std::io::stderr().is_terminal(), shown: Mutex::new(Instant::now()) }
    }

    fn show(&self, spec: &str, done: usize, all: usize) {
        let pause = if self.is_live { Duration::from_millis(100) } else { Duration::from_secs(10) };
        let Ok(mut shown) = self.shown.try_lock() else { return };
        if shown.elapsed() < pause {
            return;
        }
        *shown = Instant::now();
        let text = format!("{}: {done} of {all} samples, {spec}", self.check.name());
        if self.is_live { murmur!("\r\x1b[2K{text}") } else { note!("{text}") }
    }

    fn clear(&self) {
        if self.is_live {
            murmur!("\r\x1b[2K");
        }
    }
}
