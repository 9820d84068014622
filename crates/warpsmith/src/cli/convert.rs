//! `warpsmith convert`: model folders from the files of other programs.

use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use warpsmith::model::{CausalModel, Family, Held, causal_model, from_llama2c};
use warpsmith::tensor::Device;
use warpsmith::text::Pieces;
use warpsmith::train::ModelFolder;
use warpsmith::train::folder::{read, write_folder};

use super::Failure;

/// The flags.
pub fn command() -> Command {
    let path = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("convert")
        .about("Makes a model folder of a GGUF file or of a llama2.c checkpoint")
        .arg(
            path(
                "from",
                "FILE.gguf|FILE.bin",
                "A GGUF file, whose weights become f32, or a checkpoint in the layout of llama2.c's first version (f32).",
            )
            .required(true),
        )
        .arg(path("tokenizer", "FILE.bin", "The tokenizer of llama2.c that belongs to a checkpoint."))
        .arg(path("out", "DIR", "The folder to write.").required(true))
}

/// `warpsmith convert`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let path = |name: &str| args.get_one::<String>(name).map(Path::new);
    let (Some(from), Some(out)) = (path("from"), path("out")) else {
        return Err(Failure::Usage("give --from and --out".into()));
    };
    let bytes = read(from)?;
    let model = match (bytes.starts_with(b"GGUF"), path("tokenizer")) {
        (true, None) => {
            let ModelFolder { model, tokenizer, ends, .. } =
                ModelFolder::open_gguf(from, Held::AsF32, &Device::Cpu)?;
            write_folder(out, &*model, &tokenizer, &ends)?;
            model
        }
        (true, Some(_)) => {
            return Err(Failure::Usage("a GGUF file has its tokenizer: no --tokenizer".into()));
        }
        (false, Some(tokenizer)) => of_llama2c(from, &bytes, tokenizer, out)?,
        (false, None) => {
            let problem =
                format!("{} is no GGUF file: --tokenizer names the one of llama2.c", from.display());
            return Err(Failure::Usage(problem));
        }
    };
    let count: usize = model.parameters().iter().map(|p| p.shape().numel()).sum();
    let family = Family::of(&model.config_json())?;
    println!("{}: a {family} of {count} parameters, {} tokens", out.display(), model.vocab_size());
    Ok(())
}

fn of_llama2c(
    from: &Path,
    bytes: &[u8],
    tokenizer: &Path,
    out: &Path,
) -> Result<Box<dyn CausalModel>, Failure> {
    let in_file = |e: warpsmith::tensor::Error| Failure::Failed(format!("{}: {e}", from.display()));
    let (config, tensors) = from_llama2c(bytes).map_err(in_file)?;
    let pieces = Pieces::from_llama2c(&read(tokenizer)?, config.vocab_size)?;
    let model = causal_model(&config.to_json(), tensors, &Device::Cpu).map_err(in_file)?;
    // llama2.c ends a story where the next would begin.
    write_folder(out, &*model, &pieces.tokenizer()?, &[pieces.bos, pieces.eos])?;
    Ok(model)
}
