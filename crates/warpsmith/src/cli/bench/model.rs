//! `warpsmith bench model`: how fast a model file reads and writes here, beside llama.cpp.

use clap::{Arg, ArgMatches, Command, value_parser};
use warpsmith::model::Held;
use warpsmith::train::folder::read_model;
use warpsmith_bench::Error;
use warpsmith_bench::machine::Machine;
use warpsmith_bench::model::{Lengths, LlamaBench, ModelRecord, Ours, Runner, take_turns};

use super::meter::Emulator;
use crate::cli::{Failure, device, flags};

/// The flags.
pub fn command() -> Command {
    let number = |name: &'static str, usual: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("N")
            .default_value(usual)
            .value_parser(value_parser!(u32).range(0..=1_000_000))
            .help(help)
    };
    Command::new("model")
        .about("How many tokens a second a model reads and writes, as users run it")
        .arg(flags::decoder())
        .arg(device::arg())
        .arg(flags::dtype())
        .arg(number("prompt_tokens", "512", "Tokens that are read at once; 0 leaves reading out."))
        .arg(number("new_tokens", "128", "Tokens that are written; 0 leaves writing out."))
        .arg(number("rounds", "5", "Rounds that count; all take turns in each."))
        .arg(
            Arg::new("vs")
                .long("vs")
                .value_name("PEER")
                .value_parser(["llama.cpp"])
                .help("Also llama-bench on the same GGUF file, from WARPSMITH_LLAMA_BENCH or the path."),
        )
        .arg(flags::json("Print the record as JSON."))
}

/// `warpsmith bench model`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let number = |name: &str| args.get_one::<u32>(name).map_or(0, |n| *n as usize);
    let lengths = Lengths { prompt_tokens: number("prompt_tokens"), new_tokens: number("new_tokens") };
    let (path, rounds) = (flags::model_path(args), number("rounds"));
    if rounds == 0 {
        return Err(Failure::Usage("--rounds takes a number above 0".into()));
    }
    let device = device::of(args)?;
    if Emulator::of(&device).is_there() {
        return Err(Failure::Usage("an emulated device has no speed: time the CPU or a GPU".into()));
    }
    let model = read_model(path, flags::policy(args, Held::AsStored), &device)?;
    let mut runners: Vec<Box<dyn Runner + '_>> = vec![Box::new(Ours::new(&*model, lengths, 1337)?)];
    if args.get_one::<String>("vs").is_some() {
        match peer(path, device.is_cpu()) {
            Ok(peer) => runners.push(Box::new(peer)),
            Err(error) => note!("bench: without llama.cpp: {error}"),
        }
    }
    let (rows, failed) = take_turns(&mut runners, lengths, rounds);
    failed.iter().for_each(|failed| note!("bench: left out: {failed}"));
    if rows.is_empty() {
        return Err(Failure::Failed("nobody was left to be timed".into()));
    }
    let machine = Machine::here(&device, &device.to_string());
    let record = ModelRecord { schema: 1, machine, model: path.display().to_string(), lengths, rounds, rows };
    let text = if args.get_flag("json") {
        serde_json::to_string_pretty(&record).map_err(|error| Failure::Failed(error.to_string()))? + "\n"
    } else {
        record.markdown()
    };
    put!("{text}")
}

fn peer(path: &std::path::Path, on_cpu: bool) -> Result<LlamaBench, Error> {
    if path.extension().is_none_or(|extension| extension != "gguf") {
        return Err(Error::Unsupported(
            "it reads GGUF files; `warpsmith convert --to FILE.gguf` makes one".into(),
        ));
    }
    if !on_cpu {
        return Err(Error::Unsupported("it is asked on the CPU only".into()));
    }
    LlamaBench::new(path)
}
