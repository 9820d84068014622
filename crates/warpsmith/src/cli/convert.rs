//! `warpsmith convert`: model folders from the files of other programs.

use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use warpsmith::model::{Family, causal_model, from_llama2c};
use warpsmith::tensor::Device;
use warpsmith::text::Pieces;
use warpsmith::train::folder::{read, write_folder};

use super::Failure;

/// The flags.
pub fn command() -> Command {
    let path = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).required(true).help(help)
    };
    Command::new("convert")
        .about("Makes a model folder of a llama2.c checkpoint")
        .arg(path("from", "FILE.bin", "The checkpoint, in the layout of llama2.c's first version (f32)."))
        .arg(path("tokenizer", "FILE.bin", "The tokenizer of llama2.c that belongs to it."))
        .arg(path("out", "DIR", "The folder to write."))
}

/// `warpsmith convert`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let path = |name: &str| Path::new(args.get_one::<String>(name).map_or("", String::as_str));
    let (from, out) = (path("from"), path("out"));
    let in_file = |e: warpsmith::tensor::Error| Failure::Failed(format!("{}: {e}", from.display()));
    let (config, tensors) = from_llama2c(&read(from)?).map_err(in_file)?;
    let pieces = Pieces::from_llama2c(&read(path("tokenizer"))?, config.vocab_size)?;
    let model = causal_model(&config.to_json(), tensors, &Device::Cpu).map_err(in_file)?;
    // llama2.c ends a story where the next would begin.
    write_folder(out, &*model, &pieces.tokenizer()?, &[pieces.bos, pieces.eos])?;
    let count: usize = model.parameters().iter().map(|p| p.shape().numel()).sum();
    println!("{}: a {} of {count} parameters, {} tokens", out.display(), Family::Llama, config.vocab_size);
    Ok(())
}
