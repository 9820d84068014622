//! `warpsmith generate`: writes on from a prompt, as it goes.

use std::io::Write;
use std::path::Path;

use clap::{Arg, ArgMatches, Command, value_parser};
use warpsmith::model::Sampling;
use warpsmith::tensor::Seed;
use warpsmith::train::ModelFolder;
use warpsmith::{Generate, train};

use super::{Failure, device};

/// The flags, named as Hugging Face's `generate` names them.
pub fn command() -> Command {
    let number = |name: &'static str, help: String| {
        Arg::new(name).long(name).alias(name.replace('_', "-")).value_name("N").help(help)
    };
    let default = Sampling::default();
    Command::new("generate")
        .about("Writes on from a prompt")
        .after_help(format!("The sampler's steps, in order: {}.", Sampling::order()))
        .arg(Arg::new("model").long("model").value_name("DIR").required(true).help("Model folder."))
        .arg(device::arg())
        .arg(
            Arg::new("prompt")
                .long("prompt")
                .value_name("TEXT|FILE:PATH")
                .default_value("\n")
                .hide_default_value(true)
                .help("What to write on from; FILE:PATH reads it from a file."),
        )
        .arg(
            number(
                "max_new_tokens",
                format!("Tokens to write at most [default: {}].", default.max_new_tokens),
            )
            .value_parser(value_parser!(usize)),
        )
        .arg(
            number("temperature", format!("0 takes the likeliest token [default: {}].", default.temperature))
                .value_parser(value_parser!(f64)),
        )
        .arg(
            number("top_k", "Only the K likeliest tokens; 0: all.".into()).value_parser(value_parser!(usize)),
        )
        .arg(
            number("top_p", "Only the likeliest tokens that together reach this probability.".into())
                .value_parser(value_parser!(f64)),
        )
        .arg(
            number("min_p", "Only tokens with this share of the likeliest one's probability.".into())
                .value_parser(value_parser!(f64)),
        )
        .arg(
            number("repetition_penalty", "Above 1: avoids tokens seen.".into())
                .value_parser(value_parser!(f64)),
        )
        .arg(
            number("seed", format!("The same seed writes the same text [default: {}].", default.seed.0))
                .value_parser(value_parser!(u64)),
        )
        .arg(
            number("num_samples", "How many texts; text i uses seed + i.".into())
                .value_parser(value_parser!(u64)),
        )
}

fn sampling(args: &ArgMatches) -> Sampling {
    let default = Sampling::default();
    let real = |name: &str, default: f64| args.get_one(name).copied().unwrap_or(default);
    let count = |name: &str, default: usize| args.get_one(name).copied().unwrap_or(default);
    Sampling {
        max_new_tokens: count("max_new_tokens", default.max_new_tokens),
        temperature: real("temperature", default.temperature),
        top_k: count("top_k", default.top_k),
        top_p: real("top_p", default.top_p),
        min_p: real("min_p", default.min_p),
        repetition_penalty: real("repetition_penalty", default.repetition_penalty),
        seed: Seed(args.get_one("seed").copied().unwrap_or(default.seed.0)),
    }
}

/// `warpsmith generate`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let sampling = sampling(args);
    sampling.validate().map_err(|e| Failure::Usage(e.to_string()))?;
    let folder = open(args)?;
    let prompt = args.get_one::<String>("prompt").map_or("\n", String::as_str);
    let prompt = match prompt.strip_prefix("FILE:") {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|e| Failure::Failed(format!("cannot read {path}: {e}")))?
        }
        None => prompt.to_string(),
    };
    let samples = args.get_one("num_samples").copied().unwrap_or(1u64);
    let mut out = std::io::stdout().lock();
    for i in 0..samples {
        if i > 0 {
            writeln!(out, "\n{}", "-".repeat(72)).or_else(ignore_closed)?;
        }
        let seed = Seed(sampling.seed.0.wrapping_add(i));
        let one = Sampling { seed, ..sampling.clone() };
        // A reader that went away (`| head`) is no error: it has what it wanted.
        let mut write = |text: &str| out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok();
        if !write(&prompt) {
            return Ok(());
        }
        folder.model.generate_stream(&folder.tokenizer, &prompt, &one, &mut write)?;
    }
    writeln!(out).or_else(ignore_closed)?;
    Ok(())
}

fn ignore_closed(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

/// The model folder that `--model` names.
pub fn open(args: &ArgMatches) -> Result<ModelFolder, Failure> {
    let dir = args.get_one::<String>("model").map_or("", String::as_str);
    let opened: train::Result<ModelFolder> = ModelFolder::open(Path::new(dir), &device::of(args)?);
    Ok(opened?)
}
