//! `warpsmith convert`: model folders and GGUF files from each other, and from the files of llama2.c.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use serde::Serialize;
use warpsmith::model::{Family, Held, causal_model, from_llama2c, write_gguf};
use warpsmith::tensor::Device;
use warpsmith::text::Pieces;
use warpsmith::train::ModelFolder;
use warpsmith::train::atomic::write_atomic;
use warpsmith::train::folder::{read, write_folder};
use warpsmith_gguf::Kind;

use super::{Failure, flags};

/// The flags.
pub fn command() -> Command {
    let path = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("convert")
        .about("Makes a model folder or a GGUF file of the other, or of a llama2.c checkpoint")
        .arg(
            path(
                "from",
                "DIR|FILE.gguf|FILE.bin",
                "A model folder, a GGUF file, whose weights become f32, or a checkpoint in the layout of llama2.c's first \
                 version (f32).",
            )
            .required(true),
        )
        .arg(path("tokenizer", "FILE.bin", "The tokenizer of llama2.c that belongs to a checkpoint."))
        .arg(path("out", "DIR", "The folder to write.").required_unless_present("to"))
        .arg(path("to", "FILE.gguf", "The GGUF file to write.").conflicts_with("out"))
        .arg(
            path("type", "f32|f16|bf16|q8_0", "How the matrices of a GGUF file are stored [default: f16].")
                .value_parser(kind)
                .requires("to"),
        )
        .arg(flags::json("Print one JSON object."))
}

/// What `--json` tells.
#[derive(Serialize)]
struct Told {
    out: String,
    family: String,
    parameters: usize,
    vocab_size: usize,
}

fn kind(word: &str) -> Result<Kind, String> {
    match word {
        "f32" => Ok(Kind::F32),
        "f16" => Ok(Kind::F16),
        "bf16" => Ok(Kind::Bf16),
        "q8_0" => Ok(Kind::Q8_0),
        _ => Err("write f32, f16, bf16 or q8_0".into()),
    }
}

/// `warpsmith convert`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let path = |name: &str| args.get_one::<String>(name).map(Path::new);
    let Some(from) = path("from") else { return Err(Failure::Usage("give --from".into())) };
    let folder = source(from, path("tokenizer"))?;
    let model = &*folder.model;
    let out = match (path("out"), path("to")) {
        (Some(out), _) => {
            write_folder(flags::vacant(out)?, model, folder.texts())?;
            out
        }
        (None, Some(to)) => {
            let bytes = gguf(&folder, args.get_one("type").copied().unwrap_or(Kind::F16))?;
            write_atomic(to, |file| file.write_all(&bytes))?;
            to
        }
        (None, None) => return Err(Failure::Usage("give --out or --to".into())),
    };
    let told = Told {
        out: out.display().to_string(),
        family: Family::of(&model.config_json())?.to_string(),
        parameters: model.parameters().iter().map(|p| p.shape().numel()).sum(),
        vocab_size: model.vocab_size(),
    };
    let Told { out, family, parameters, vocab_size } = &told;
    match args.get_flag("json") {
        true => say!("{}", serde_json::to_string(&told)?)?,
        false => say!("{out}: a {family} of {parameters} parameters, {vocab_size} tokens")?,
    }
    Ok(())
}

/// What is to be converted.
fn source(from: &Path, tokenizer: Option<&Path>) -> Result<ModelFolder, Failure> {
    let has_tokenizer = |what: &str| Failure::Usage(format!("a {what} has its tokenizer: no --tokenizer"));
    if from.is_dir() {
        return match tokenizer {
            None => Ok(ModelFolder::open(from, Held::AsF32, &Device::Cpu)?),
            Some(_) => Err(has_tokenizer("model folder")),
        };
    }
    match (is_gguf(from)?, tokenizer) {
        (true, None) => Ok(ModelFolder::open(from, Held::AsF32, &Device::Cpu)?),
        (true, Some(_)) => Err(has_tokenizer("GGUF file")),
        (false, Some(tokenizer)) => of_llama2c(from, &read(from)?, tokenizer),
        (false, None) => {
            let problem =
                format!("{} is no GGUF file: --tokenizer names the one of llama2.c", from.display());
            Err(Failure::Usage(problem))
        }
    }
}

/// Whether a file begins as a GGUF file does.
fn is_gguf(path: &Path) -> Result<bool, Failure> {
    let failed = |e| Failure::Failed(format!("{} cannot be read: {e}", path.display()));
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(4).read_to_end(&mut start)).map_err(failed)?;
    Ok(start == b"GGUF")
}

fn of_llama2c(from: &Path, bytes: &[u8], tokenizer: &Path) -> Result<ModelFolder, Failure> {
    let in_file = |e: warpsmith::tensor::Error| Failure::Failed(format!("{}: {e}", from.display()));
    let (config, tensors) = from_llama2c(bytes).map_err(in_file)?;
    let pieces = Pieces::from_llama2c(&read(tokenizer)?, config.vocab_size)?;
    let model = causal_model(&config.to_json(), tensors, &Device::Cpu).map_err(in_file)?;
    // llama2.c ends a story where the next would begin.
    let ends = vec![pieces.bos, pieces.eos];
    Ok(ModelFolder { model, tokenizer: pieces.tokenizer()?, ends, chat_template: None })
}

/// The bytes of a GGUF file. Ids that the tokenizer lacks are the model's own affair: its table says how many there are.
fn gguf(folder: &ModelFolder, kind: Kind) -> Result<Vec<u8>, Failure> {
    let mut writer = write_gguf(&*folder.model, kind)?;
    writer.unsigned(
        "general.file_type",
        match kind {
            Kind::F32 => 0,
            Kind::F16 => 1,
            _ => 7,
        },
    );
    writer.unsigned("general.quantization_version", 2);
    folder.tokenizer.write_gguf(&mut writer, &folder.ends)?;
    if let Some(template) = &folder.chat_template {
        template.write_gguf(&mut writer);
    }
    Ok(writer.finish())
}
