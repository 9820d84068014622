//! `warpsmith bench`: how fast a kernel is here, how far from the limit, beside whom, and whether it is right.

mod check;
mod crowd;
mod meter;
mod model;

use std::sync::atomic::Ordering;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use warpsmith::tensor::DType;
use warpsmith_bench::clock::Cache;
use warpsmith_bench::contender::Contender;
use warpsmith_bench::difference::{self, compare, doubts};
use warpsmith_bench::engine::Engine;
use warpsmith_bench::kernel::{argument_struct, starter};
use warpsmith_bench::ladder;
use warpsmith_bench::machine::Machine;
use warpsmith_bench::output::Format;
use warpsmith_bench::record::{Record, Row, SCHEMA};
use warpsmith_bench::session::{Options, Session, measure_against};
use warpsmith_bench::tasks::{Case, KERNEL_TASKS, PRESETS, Pass, TASKS, parse, preset};
use warpsmith_bench::{self as bench, Error};

use self::crowd::{Crowd, climbs};
use self::meter::Emulator;
use super::train::stop_key;
use super::{Failure, device};

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Usage(message) => Self::Usage(message),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// The flags.
pub fn command() -> Command {
    let presets: Vec<String> = PRESETS.iter().map(|(name, what)| format!("{name} ({what})")).collect();
    let value = |name: &'static str, value_name: &'static str, help: String| {
        Arg::new(name).long(name).value_name(value_name).help(help)
    };
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new("bench")
        .about("Measure a kernel: first whether it is right, then how fast, beside others and the device's limits")
        .subcommand_negates_reqs(true)
        .args_conflicts_with_subcommands(true)
        .subcommands([starter_command(), diff_command(), model::command()])
        .arg(Arg::new("task").value_name("TASK").required(true).value_parser(TASKS).help("What is computed."))
        .arg(
            Arg::new("pass")
                .long("pass")
                .value_parser(["fwd", "bwd", "both"])
                .default_value("fwd")
                .help("Forward, backward, or both, each in a row of its own."),
        )
        .arg(value("shapes", "S,..", "Sizes, such as 1x1024x12x64.".into()).conflicts_with("preset"))
        .arg(value("preset", "P,..", format!("Known sizes: {} [default: tiny, or ladder with --impl ladder].", presets.join("; "))))
        .arg(value("dtype", "D,..", "f32, bf16, f16 [default: f32, of a ladder its own].".into()))
        .arg(value("impl", "NAME,..", "Only contenders whose name contains one of these; ladder: our kernels from naive to shipping [default: all but ladder].".into()))
        .arg(device::arg())
        .arg(
            Arg::new("vs")
                .long("vs")
                .value_name("PEER")
                .value_parser(["torch", "torch-eager"])
                .help("Also PyTorch, from the Python in WARPSMITH_PYTHON or python3; torch-eager: without torch.compile, which takes its time."),
        )
        .arg(
            value("timeout", "S", "Seconds for one answer of PyTorch, compiling included, or one run of --check.".into())
                .default_value("600")
                .value_parser(value_parser!(u32).range(1..)),
        )
        .arg(
            Arg::new("kernel")
                .long("kernel")
                .value_name("FILE:ENTRY")
                .action(ArgAction::Append)
                .help("Also a kernel of yours, .cu or .ptx; see `bench starter`."),
        )
        .arg(value("launch", "LINE", "Pieces of the kernel's `bench:` line that go before its own.".into()))
        .arg(flag("check", "First run the kernel under the emulator: bounds, unwritten memory, races."))
        .arg(flag("only-kernels", "Only the kernels of --kernel.").hide(true))
        .arg(value("keep-ptx", "FILE", "Write the PTX that the kernel was compiled to.".into()))
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("md|csv|json|html")
                .default_value("md")
                .help("How to print."),
        )
        .arg(
            Arg::new("cache")
                .long("cache")
                .value_parser(["cold", "warm"])
                .help("What the caches hold before a call [default: cold on a GPU, warm on a CPU]."),
        )
        .arg(
            value("rounds", "N", "Rounds of samples, in turn, at most [default: 15].".into())
                .value_parser(value_parser!(u32).range(1..=1000)),
        )
        .arg(
            value("seconds", "S", "Time for each contender of a case, about [default: 1].".into())
                .value_parser(value_parser!(f64)),
        )
        .arg(value("seed", "N", "Seed of the random inputs [default: 1337].".into()).value_parser(value_parser!(u64)))
        .arg(flag("no-ceilings", "Do not measure the device's limits."))
}

fn starter_command() -> Command {
    Command::new("starter")
        .about("Print a kernel to begin from, with its contract")
        .arg(Arg::new("task").value_name("TASK").required(true).value_parser(KERNEL_TASKS))
        .arg(
            Arg::new("bwd")
                .long("bwd")
                .action(ArgAction::SetTrue)
                .help("Only the struct of the backward pass."),
        )
}

fn diff_command() -> Command {
    let record = |name: &'static str| Arg::new(name).value_name("JSON").required(true);
    Command::new("diff")
        .about("What changed between two records beyond the noise of both")
        .args([record("old").help("The record before."), record("new").help("The record now.")])
}

/// `warpsmith bench`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    if let Some(("starter", args)) = args.subcommand() {
        return print_starter(args);
    }
    if let Some(("diff", args)) = args.subcommand() {
        return print_difference(args);
    }
    if let Some(("model", args)) = args.subcommand() {
        return model::run(args);
    }
    let asked = Asked::of(args)?;
    let device = device::of(args)?;
    let meter = Emulator::of(&device);
    let mut options = Options::usual(&device);
    options.timed = !meter.is_there();
    if let Some(cache) = args.get_one::<String>("cache") {
        options.cache = if cache == "cold" { Cache::Cold } else { Cache::Warm };
    }
    options.rounds = args.get_one::<u32>("rounds").map_or(options.rounds, |n| *n as usize);
    options.seconds = args.get_one("seconds").copied().unwrap_or(options.seconds);
    options.seed = args.get_one("seed").copied().unwrap_or(options.seed);
    if !(options.seconds > 0.0 && options.seconds.is_finite()) {
        return Err(Failure::Usage(format!("--seconds takes a number above 0, got {}", options.seconds)));
    }
    let called = if meter.is_there() { "emulated".to_owned() } else { device.to_string() };
    let mut machine = Machine::here(&device, &called);
    let mut crowd = Crowd::gather(args, task_of(args), &device, options.timed)?;
    machine.torch = crowd.torch_version();
    let cases = asked.cases()?;
    crowd.require_somebody(&cases)?;
    let mut session = Session::new(&device, options, &meter)?;
    let fitting = crowd.fitting(&session, &cases)?;
    let ceilings = if args.get_flag("no-ceilings") || !options.timed {
        bench::record::Ceilings::default()
    } else {
        let mut products: Vec<Box<dyn Contender>> = vec![Box::new(Engine)];
        products.extend(crowd.products());
        note!("bench: the limits of {called}");
        session.ceilings(&asked.dtypes, &mut products)?
    };
    let mut record = Record { schema: SCHEMA, machine, method: options.method(), ceilings, rows: Vec::new() };
    let stop = stop_key("case");
    let measured = cases.iter().zip(fitting).try_for_each(|(case, fitting)| -> Result<(), Failure> {
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::Failed(format!("stopped before {}", case.name())));
        }
        let contenders = match fitting {
            Ok(count) => count,
            Err(rows) => {
                record.rows.extend(rows);
                return Ok(());
            }
        };
        let seconds = session.least_seconds(case, contenders, &record.ceilings)?;
        note!("bench: {}{}", case.name(), patience_for(seconds));
        record.rows.extend(crowd.rows(&mut session, case)?);
        Ok(())
    });
    // A kernel that faults takes the device with it, and a case may take longer than somebody waits: what was found until
    // then is told all the same.
    if record.rows.is_empty() {
        measured?;
        return Ok(());
    }
    measure_against(&mut record.ceilings, &mut record.rows);
    let text = asked.format.write(&record)?;
    // What went wrong is told by the exit code, also to who reads no further.
    let told = put!("{text}");
    verdict(&record, &crowd)?;
    measured.and(told)
}

/// What the flags ask for.
struct Asked {
    works: Vec<std::sync::Arc<dyn bench::tasks::Workload>>,
    passes: Vec<Pass>,
    dtypes: Vec<DType>,
    format: Format,
}

impl Asked {
    fn of(args: &ArgMatches) -> Result<Self, Failure> {
        let task = task_of(args);
        let list = |name: &str| args.get_one::<String>(name).map(|text| text.split(',').map(str::trim));
        let works = match list("shapes") {
            Some(shapes) => shapes.map(|shape| parse(task, shape)).collect::<bench::Result<Vec<_>>>()?,
            None => {
                let usual = if climbs(args) && preset(task, "ladder").is_ok() { "ladder" } else { "tiny" };
                let names: Vec<&str> = list("preset").map_or_else(|| vec![usual], Iterator::collect);
                names.into_iter().map(|name| preset(task, name)).collect::<bench::Result<Vec<_>>>()?.concat()
            }
        };
        let passes = match args.get_one::<String>("pass").map(String::as_str) {
            Some("bwd") => vec![Pass::Backward],
            Some("both") => vec![Pass::Forward, Pass::Backward],
            _ => vec![Pass::Forward],
        };
        let dtype = |name: &str| {
            let known = [DType::F32, DType::BF16, DType::F16].into_iter().find(|dtype| dtype.name() == name);
            known.ok_or_else(|| Failure::Usage(format!("--dtype takes f32, bf16 or f16, got {name:?}")))
        };
        let usual = if climbs(args) { ladder::dtype(task).name() } else { "f32" };
        let names: Vec<&str> = list("dtype").map_or_else(|| vec![usual], Iterator::collect);
        let dtypes = names.into_iter().map(dtype).collect::<Result<_, _>>()?;
        let format = args.get_one::<String>("output").map_or("md", String::as_str).parse()?;
        Ok(Self { works, passes, dtypes, format })
    }

    fn cases(&self) -> Result<Vec<Case>, Failure> {
        let mut cases = Vec::new();
        for work in &self.works {
            for &pass in self.passes.iter().filter(|pass| work.has(**pass)) {
                cases.extend(self.dtypes.iter().map(|&dtype| Case { work: work.clone(), pass, dtype }));
            }
        }
        match self.works.first() {
            Some(work) if cases.is_empty() => {
                Err(Failure::Usage(format!("{} has no backward pass of its own", work.task())))
            }
            _ => Ok(cases),
        }
    }
}

/// What is said of a case that takes a minute or more at the limits of the device.
fn patience_for(seconds: f64) -> String {
    if seconds < 60.0 {
        return String::new();
    }
    let advice = "a case for a faster device; --preset tiny and smaller --shapes take moments";
    format!(": {:.0} minutes or more at this device's limits: {advice}", (seconds / 60.0).ceil())
}

/// How long another process may take: a peer for one answer, the check of a kernel for one run.
fn patience(args: &ArgMatches) -> std::time::Duration {
    std::time::Duration::from_secs(args.get_one::<u32>("timeout").map_or(0, |seconds| *seconds).into())
}

fn task_of(args: &ArgMatches) -> &str {
    args.get_one::<String>("task").map_or("", String::as_str)
}

/// A failure if anything was refused beside a kernel of the user's, so that a script notices. A kernel that takes the device
/// with it has the others refused too: the user's is the one that is told.
fn verdict(record: &Record, crowd: &Crowd<'_>) -> Result<(), Failure> {
    if !crowd.has_kernels() {
        return Ok(());
    }
    let refused = || record.rows.iter().filter(|row| row.status == bench::record::Status::Refused);
    match refused().find(|row| crowd.is_kernel(&row.implementation)).or_else(|| refused().next()) {
        Some(row) => {
            let Row { task, pass, dtype, shape, implementation, .. } = row;
            let why = row.why();
            Err(Failure::Failed(format!(
                "{implementation} was refused on {task} {pass} {dtype} {shape}: {why}"
            )))
        }
        None => Ok(()),
    }
}

fn print_starter(args: &ArgMatches) -> Result<(), Failure> {
    let task = task_of(args);
    if args.get_flag("bwd") {
        if task == "adamw" {
            return Err(Failure::Usage("adamw has no backward pass".into()));
        }
        put!("{}", argument_struct(task, Pass::Backward))?;
    } else {
        put!("{}", starter(task).unwrap_or(""))?;
    }
    Ok(())
}

fn print_difference(args: &ArgMatches) -> Result<(), Failure> {
    let read = |name: &str| -> Result<Record, Failure> {
        let path = args.get_one::<String>(name).map_or("", String::as_str);
        let text =
            std::fs::read_to_string(path).map_err(|error| Failure::Failed(format!("{path}: {error}")))?;
        Ok(difference::read(path, &text)?)
    };
    let (old, new) = (read("old")?, read("new")?);
    doubts(&old, &new).iter().for_each(|doubt| note!("bench: {doubt}"));
    compare(&old, &new).iter().try_for_each(|difference| say!("{difference}"))
}
