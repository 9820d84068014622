//! Flags that several commands have.

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use warpsmith::model::{Held, Policy, Precision};
use warpsmith::train::ModelFolder;
use warpsmith::train::runs::is_run;

use super::{Failure, device};

/// `--model`, which a command cannot do without.
pub fn model(help: &'static str) -> Arg {
    Arg::new("model").long("model").value_name("DIR").required(true).help(help)
}

/// `--model` of a command that takes a model that writes text, in either form.
pub fn decoder() -> Arg {
    model("Model folder or GGUF file.").value_name("DIR|FILE.gguf")
}

/// `--dtype`, of commands that read a model.
pub fn dtype() -> Arg {
    Arg::new("dtype")
        .long("dtype")
        .value_name(Precision::WORDS.join("|"))
        .value_parser(str::parse::<Precision>)
        .help(
            "bfloat16 rounds what matrix products read [default: float32]; sums and weights keep their form.",
        )
}

/// What [`dtype`] was given, for matrices that lie in this form.
pub fn policy(args: &ArgMatches, held: Held) -> Policy {
    Policy { held, precision: args.get_one("dtype").copied().unwrap_or_default() }
}

/// The folder that the flag of [`model`] names.
pub fn model_path(args: &ArgMatches) -> &Path {
    Path::new(args.get_one::<String>("model").map_or("", String::as_str))
}

/// A decoder with its tokenizer, from that folder, on the device of `--device`.
pub fn open(args: &ArgMatches) -> Result<ModelFolder, Failure> {
    Ok(ModelFolder::open(model_path(args), policy(args, Held::AsStored), &device::of(args)?)?)
}

/// The folder that a command is to write a model to. To be asked before the work: behind hours of it is too late to hear that
/// the place is no good.
pub fn vacant(dir: &Path) -> Result<&Path, Failure> {
    let shown = dir.display();
    if is_run(dir) {
        let problem = format!("{shown} holds a run, which is not written over: choose another --out");
        return Err(Failure::Failed(problem));
    }
    match dir.ancestors().find(|place| place.exists()) {
        Some(place) if !place.is_dir() => Err(Failure::Failed(format!(
            "{shown} cannot be a folder: {} is a file; choose another --out",
            place.display()
        ))),
        _ => Ok(dir),
    }
}

/// `--json`.
pub fn json(help: &'static str) -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help(help)
}

/// `--seed`, of commands that draw nothing but choices.
pub fn seed(help: &'static str) -> Arg {
    Arg::new("seed")
        .long("seed")
        .value_name("N")
        .value_parser(value_parser!(u64))
        .default_value("1337")
        .help(help)
}

/// What [`seed`] was given.
pub fn seed_of(args: &ArgMatches) -> u64 {
    args.get_one("seed").copied().unwrap_or(1337)
}

/// The texts that a command is given as its words `texts`; without any, the lines of standard input.
pub fn texts(args: &ArgMatches) -> Result<Vec<String>, Failure> {
    let given: Vec<String> = args.get_many("texts").into_iter().flatten().cloned().collect();
    if !given.is_empty() {
        return Ok(given);
    }
    let line = |(i, line): (usize, std::io::Result<String>)| {
        line.map_err(|error| Failure::Failed(format!("standard input, line {}: {error}", i + 1)))
    };
    std::io::stdin().lines().enumerate().map(line).collect()
}
