//! `warpsmith kernel`: our kernels in the emulator, to be counted, traced and stopped at a line.

mod case;
mod cases;
mod page;
mod report;
mod stage;
mod text;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;
use warpsmith_emulator::observe::{Stop, Thread};
use warpsmith_emulator::{Counts, Schedule};
use warpsmith_kernels::{Float, entries};

use self::case::{Call, Case, Draw};
use self::report::{Report, Tally};
use self::stage::{Look, Ran};
use super::{Failure, flags};

/// The most elements of one tensor: the emulator runs some ten million lane operations a second.
const MOST: usize = 1 << 22;

/// The subcommands and their flags.
pub fn command() -> Command {
    let json = || flags::json("Print one JSON value.");
    let name =
        || Arg::new("name").value_name("NAME").required(true).help("A family or an entry: see `list`.");
    let text = |flag: &'static str, value: &'static str, help: &'static str| {
        Arg::new(flag).long(flag).value_name(value).help(help)
    };
    let run = Command::new("run")
        .about("Runs a kernel on drawn inputs in the emulator, and holds it to loops in f64")
        .arg(name())
        .arg(text("shape", "N,N,..", "Sizes, in the order that `list` gives their letters."))
        .arg(text("dtype", "f32|f16|bf16", "The dtype [default: the first that `list` gives]."))
        .arg(text("trace", "BLOCK,THREAD", "Print every instruction of one thread with what it wrote."))
        .arg(text("break", "FILE:LINE", "Print what a warp holds whenever it comes to a line of the source."))
        .arg(text("warp", "BLOCK,WARP", "The warp that `--break` stops [default: 0,0]."))
        .arg(number("arrivals", "3", "Arrivals that `--break` prints."))
        .arg(number("limit", "200", "Instructions that `--trace` prints."))
        .arg(Arg::new("counts").long("counts").action(ArgAction::SetTrue).help("Print what the launch did."))
        .arg(text("schedule", "ORDER", "forward, reverse or seed:N [default: forward]."))
        .arg(number("seed", "1", "What the inputs are drawn from."))
        .arg(text("ptx", "FILE", "Run this PTX in place of the kernel's own: see `ptx`."))
        .arg(text("html", "FILE", "Write everything as one page."))
        .arg(json());
    Command::new("kernel")
        .about("Our kernels in the emulator: counts, traces, what a lane holds at a line")
        .subcommand_required(true)
        .subcommands([
            Command::new("list").about("The kernels that can be run, and their sizes").arg(json()),
            run,
            Command::new("ptx").about("Prints the PTX that an entry is part of").arg(name()),
        ])
}

fn number(flag: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(flag)
        .long(flag)
        .value_name("N")
        .value_parser(value_parser!(u64))
        .default_value(default)
        .help(help)
}

/// `warpsmith kernel`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    match args.subcommand() {
        Some(("list", args)) => list(args.get_flag("json")),
        Some(("ptx", args)) => ptx(name(args)),
        Some((_, args)) => launch(args),
        None => Err(Failure::Usage("say `kernel list`, `kernel run` or `kernel ptx`".to_owned())),
    }
}

fn name(args: &ArgMatches) -> &str {
    args.get_one::<String>("name").map_or("", String::as_str)
}

fn list(as_json: bool) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for case in cases::cases() {
        let mut names = Vec::new();
        for &float in case.dtypes {
            names.extend(launched_entries(&case, float)?);
        }
        rows.push((case, names));
    }
    if as_json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(case, names)| {
                let dtypes: Vec<&str> = case.dtypes.iter().map(|&float| word(float)).collect();
                let (name, letters, default) = (case.name, case.letters, case.default);
                json!({ "name": name, "letters": letters, "default": default, "dtypes": dtypes, "entries": names })
            })
            .collect();
        say!("{}", serde_json::to_string_pretty(&rows)?)?;
        return Ok(());
    }
    say!("{:<24} {:<14} {:<14} entries of the default shape", "family", "--shape", "default")?;
    for (case, names) in &rows {
        let default: Vec<String> = case.default.iter().map(usize::to_string).collect();
        say!(
            "{:<24} {:<14} {:<14} {}",
            case.name,
            case.letters.join(","),
            default.join(","),
            names.join(" ")
        )?;
    }
    Ok(())
}

/// The entries that a case launches in a dtype, at its default shape.
fn launched_entries(case: &Case, float: Float) -> Result<Vec<&'static str>, Failure> {
    let call = (case.make)(&Draw::new(case.default, float, 0))?;
    let nowhere = case::Addresses { x: vec![0; call.inputs.len()], y: vec![0; 8], room: 0 };
    let launches = (call.launches)(&nowhere).map_err(Failure::Failed)?;
    let mut names: Vec<&str> = launches.iter().map(|launch| launch.entry.name).collect();
    names.dedup();
    Ok(names)
}

fn ptx(name: &str) -> Result<(), Failure> {
    let (case, float, entry) = find(name, None)?;
    let entry = match entry {
        Some(entry) => entry,
        None => launched_entries(&case, float)?.last().map_or(String::new(), |name| (*name).to_owned()),
    };
    let all = entries();
    let found = all.iter().find(|known| known.name == entry);
    let found = found.ok_or_else(|| Failure::Usage(format!("no kernel has the entry `{entry}`")))?;
    put!("{}", found.module.ptx())?;
    Ok(())
}

/// The case that a name means, the dtype, and the entry if the name is one.
fn find(name: &str, wanted: Option<Float>) -> Result<(Case, Float, Option<String>), Failure> {
    let mut all = cases::cases();
    if let Some(at) = all.iter().position(|case| case.name == name) {
        let case = all.swap_remove(at);
        let float = wanted.unwrap_or(case.dtypes[0]);
        return Ok((case, float, None));
    }
    for case in all {
        for &float in case.dtypes.iter().filter(|&&float| wanted.is_none_or(|wanted| wanted == float)) {
            if launched_entries(&case, float)?.contains(&name) {
                return Ok((case, float, Some(name.to_owned())));
            }
        }
    }
    let is_entry = entries().iter().any(|entry| entry.name == name);
    let why = if is_entry {
        "is an entry that no family here launches at its default shape"
    } else {
        "is no family and no entry"
    };
    Err(Failure::Usage(format!("`{name}` {why}; `warpsmith kernel list` names what can be run")))
}

fn word(float: Float) -> &'static str {
    match float {
        Float::F32 => "f32",
        Float::F16 => "f16",
        Float::Bf16 => "bf16",
    }
}

fn launch(args: &ArgMatches) -> Result<(), Failure> {
    let flag = |flag: &str| args.get_one::<String>(flag).map(String::as_str);
    let count = |flag: &str| args.get_one::<u64>(flag).copied().unwrap_or(0);
    let dtype = flag("dtype").map(dtype).transpose()?;
    let (case, float, entry) = find(name(args), dtype)?;
    let sizes = flag("shape").map_or_else(|| Ok(case.default.to_vec()), |text| shape(&case, text))?;
    let seed = count("seed");
    let call = (case.make)(&Draw::new(&sizes, float, seed))?;
    let thread = flag("trace").map(|text| pair("--trace", "BLOCK,THREAD", text)).transpose()?;
    let warp = pair("--warp", "BLOCK,WARP", flag("warp").unwrap_or("0,0"))?;
    let stop = flag("break").map(|text| stop(text, warp, count("arrivals"))).transpose()?;
    let replacement = flag("ptx").map(|path| replacement(path, &call)).transpose()?;
    let order = flag("schedule").unwrap_or("forward");
    let mut look = Look { schedule: schedule(order)?, entry, thread: None, stop, ptx: replacement };
    let lane = thread.map_or(0, |(_, thread)| thread as usize % 32);
    look.thread = thread.map(|(block, thread)| Thread { block: [block, 0, 0], thread });
    let (ran, outputs) = stage::run(&call, &look)?;
    check_look(&look, &ran)?;
    let report = Report {
        kernel: case.name,
        dtype: word(float),
        sizes: case.letters.iter().zip(&sizes).map(|(letter, size)| format!("{letter} = {size}")).collect(),
        seed,
        schedule: order.to_owned(),
        total: Tally::from(total(&ran)),
        cost: report::cost(&call)?,
        holds: outputs.iter().all(|output| output.holds),
        outputs,
        launches: ran.iter().map(|ran| report::launched(ran, lane, count("limit") as usize)).collect(),
    };
    if let Some(path) = flag("html") {
        std::fs::write(path, page::page(&report)).map_err(|e| Failure::Failed(format!("{path}: {e}")))?;
    }
    let told = match args.get_flag("json") {
        true => say!("{}", serde_json::to_string_pretty(&report)?),
        false => put!("{}", text::report(&report, args.get_flag("counts"))),
    };
    if report.holds { told } else { Err(Failure::Failed("the kernel's results are wrong".to_owned())) }
}

fn total(ran: &[Ran]) -> Counts {
    let mut total = Counts::default();
    ran.iter().for_each(|ran| total += ran.counts);
    total
}

fn dtype(text: &str) -> Result<Float, Failure> {
    let known = Float::ALL.into_iter().find(|&float| word(float) == text);
    known.ok_or_else(|| Failure::Usage(format!("--dtype: `{text}` is none of f32, f16 and bf16")))
}

fn shape(case: &Case, text: &str) -> Result<Vec<usize>, Failure> {
    let letters = case.letters.join(",");
    let default: Vec<String> = case.default.iter().map(usize::to_string).collect();
    let wrong = |why: &str| {
        let default = default.join(",");
        Failure::Usage(format!("--shape: {} takes {letters}, such as {default}: `{text}` {why}", case.name))
    };
    let sizes: Result<Vec<usize>, _> = text.split([',', 'x']).map(|size| size.trim().parse()).collect();
    let sizes = sizes.map_err(|_| wrong("is no list of sizes"))?;
    if sizes.len() != case.letters.len() {
        return Err(wrong(&format!("has {}", sizes.len())));
    }
    if sizes.contains(&0) {
        return Err(wrong("has a size of 0, which gives the kernel nothing to do"));
    }
    match sizes.iter().try_fold(1usize, |all, &size| all.checked_mul(size)) {
        Some(all) if all <= MOST => Ok(sizes),
        _ => Err(wrong(&format!("multiplies to more than {MOST}, which an emulator should not be given"))),
    }
}

fn pair(flag: &str, form: &str, text: &str) -> Result<(u32, u32), Failure> {
    let both = text.split_once(',').and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
    both.ok_or_else(|| Failure::Usage(format!("{flag} takes {form}, such as 0,5, not `{text}`")))
}

fn stop(text: &str, (block, warp): (u32, u32), most: u64) -> Result<Stop, Failure> {
    let wrong = || Failure::Usage(format!("--break takes FILE:LINE, such as softmax.cu:40, not `{text}`"));
    let (file, line) = text.rsplit_once(':').ok_or_else(wrong)?;
    let line = line.parse().map_err(|_| wrong())?;
    Ok(Stop { file: file.to_owned(), line, block: [block, 0, 0], warp, most: most as usize })
}

fn schedule(text: &str) -> Result<Schedule, Failure> {
    match text {
        "forward" => Ok(Schedule::Forward),
        "reverse" => Ok(Schedule::Reverse),
        _ => text.strip_prefix("seed:").and_then(|seed| seed.parse().ok()).map(Schedule::Seeded).ok_or_else(
            || Failure::Usage(format!("--schedule takes forward, reverse or seed:N, not `{text}`")),
        ),
    }
}

/// The text of a file, in place of the module of the last launch.
fn replacement(path: &str, call: &Call) -> Result<(String, String), Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::Failed(format!("{path}: {e}")))?;
    let nowhere = case::Addresses { x: vec![0; call.inputs.len()], y: vec![0; 8], room: 0 };
    let launches = (call.launches)(&nowhere).map_err(Failure::Usage)?;
    let names = launches.iter().map(|launch| launch.entry.module.name);
    // Which of the call's modules it stands for is told by the entries in it.
    let stands_for =
        |launch: &&warpsmith_kernels::Launch| text.contains(&format!(".entry {}(", launch.entry.name));
    match launches.iter().find(stands_for) {
        Some(launch) => Ok((launch.entry.module.name.to_owned(), text)),
        None => {
            let names: Vec<&str> = names.collect();
            Err(Failure::Usage(format!("{path} has no entry of {}", names.join(", "))))
        }
    }
}

/// Words for a thread or a line that nothing was seen of.
fn check_look(look: &Look, ran: &[Ran]) -> Result<(), Failure> {
    let seen = || ran.iter().filter_map(|ran| Some((ran, ran.seen.as_ref()?)));
    if let Some(thread) = look.thread
        && seen().all(|(_, seen)| seen.trace.is_empty())
    {
        let grids: Vec<String> = seen()
            .map(|(ran, _)| format!("{} has grid {:?}, block {:?}", ran.entry.name, ran.grid, ran.block))
            .collect();
        let (block, thread, grids) = (thread.block[0], thread.thread, grids.join("; "));
        return Err(Failure::Usage(format!("--trace: no thread {thread} of block {block} ran: {grids}")));
    }
    let Some(stop) = &look.stop else { return Ok(()) };
    if seen().any(|(_, seen)| seen.arrived > 0) {
        return Ok(());
    }
    let lines: std::collections::BTreeSet<u32> =
        seen().flat_map(|(_, seen)| seen.listing.source_lines(&stop.file)).collect();
    let sentence = if lines.is_empty() {
        let files: std::collections::BTreeSet<&str> =
            seen().flat_map(|(_, seen)| seen.listing.files()).collect();
        let files: Vec<&str> = files.into_iter().collect();
        format!("--break: no instruction comes from `{}`, but from {}", stop.file, files.join(", "))
    } else if lines.contains(&stop.line) {
        let (block, warp) = (stop.block[0], stop.warp);
        format!("--break: warp {warp} of block {block} never came to {}:{}", stop.file, stop.line)
    } else {
        let lines: Vec<String> = lines.iter().map(u32::to_string).collect();
        format!("--break: {} has instructions for lines {}", stop.file, lines.join(", "))
    };
    Err(Failure::Usage(sentence))
}
