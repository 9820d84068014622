//! `warpsmith inspect`: what a model folder or a GGUF file holds, and what memory it needs.

mod gguf;

use std::collections::BTreeMap;
use std::path::Path;

use clap::{ArgMatches, Command};
use serde::Serialize;
use warpsmith::model::{BertTask, Family, Held, Kept, Weights, answering_model, causal_model_from};
use warpsmith::tensor::{Device, Tensor};
use warpsmith::text::Tokenizer;
use warpsmith::train::folder::{ends, gguf_ends, read_config, read_tensors};
use warpsmith::train::memory;
use warpsmith_gguf::Gguf;

use super::{Failure, flags};

/// The flags.
pub fn command() -> Command {
    Command::new("inspect")
        .about("What a model folder or a GGUF file holds: parameters, memory, tokenizer")
        .arg(flags::decoder())
        .arg(flags::json("Print one JSON object."))
}

/// What there is to say of a folder.
#[derive(Serialize)]
struct Inspection {
    family: String,
    /// Ids that the model knows.
    vocab_size: usize,
    /// The longest sequence, if there is a limit.
    context: Option<usize>,
    parameters: Vec<Row>,
    memory: Memory,
    /// If the folder has one.
    tokenizer: Option<Vocabulary>,
}

/// A parameter; tied ones are named once.
#[derive(Serialize)]
struct Row {
    name: String,
    shape: Vec<usize>,
    numbers: usize,
    /// As the model holds it.
    dtype: String,
    /// As the file holds it.
    stored: String,
}

/// Bytes.
#[derive(Serialize)]
struct Memory {
    weights: usize,
    /// Keys and values of a decoder, for each position of a sequence.
    cache_per_position: Option<usize>,
    /// The same for a whole context.
    cache_of_context: Option<usize>,
    /// Weights, gradients and AdamW's two moments; activations come on top.
    training: usize,
}

#[derive(Serialize)]
struct Vocabulary {
    name: String,
    vocab_size: usize,
    bos: Option<u32>,
    eos: Option<u32>,
    /// The tokens that end a text.
    ends: Vec<u32>,
    /// What is put around a text: the ids of an empty one.
    frame: Vec<u32>,
}

/// A model of any family, as far as it is looked at here.
struct Model {
    vocab_size: usize,
    context: Option<usize>,
    state: BTreeMap<String, Tensor>,
    /// The matrices that are held as the file has them.
    kept: BTreeMap<String, Kept>,
    cache_per_position: Option<usize>,
}

/// `warpsmith inspect`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let dir = flags::model_path(args);
    if dir.is_file() {
        return gguf::run(dir, args.get_flag("json"));
    }
    let found = inspect(dir)?;
    match args.get_flag("json") {
        true => say!("{}", serde_json::to_string(&found)?),
        false => print(&found),
    }
}

fn inspect(dir: &Path) -> Result<Inspection, Failure> {
    let in_folder = |e: warpsmith::tensor::Error| Failure::Failed(format!("{}: {e}", dir.display()));
    let config = read_config(dir)?;
    let family = Family::of(&config).map_err(in_folder)?;
    let tensors = read_tensors(dir, &Device::Cpu)?;
    let stored: BTreeMap<String, String> =
        tensors.iter().map(|(name, t)| (name.clone(), t.dtype().to_string())).collect();
    // As the commands hold it that train nothing.
    let weights = Weights::held(tensors, Held::AsStored, &Device::Cpu);
    let model = build(family, &config, &weights).map_err(in_folder)?;
    let row = |name: &String, shape: &[usize], dtype: String| Row {
        name: name.clone(),
        shape: shape.to_vec(),
        numbers: shape.iter().product(),
        dtype,
        stored: stored_as(&stored, name),
    };
    let numbers = model.state.iter().map(|(name, t)| row(name, t.dims(), t.dtype().to_string()));
    let kept = model
        .kept
        .iter()
        .map(|(name, Kept { dims, rows })| row(name, dims, rows.kind().name().to_lowercase()));
    let mut parameters: Vec<Row> = numbers.chain(kept).collect();
    parameters.sort_by(|a, b| a.name.cmp(&b.name));
    let bytes = model.state.values().map(|t| t.shape().numel() * t.dtype().size()).sum::<usize>()
        + model.kept.values().map(|kept| kept.rows.size()).sum::<usize>();
    Ok(Inspection {
        family: family.to_string(),
        vocab_size: model.vocab_size,
        context: model.context,
        memory: Memory {
            weights: bytes,
            cache_per_position: model.cache_per_position,
            cache_of_context: model.cache_per_position.zip(model.context).map(|(b, t)| b.saturating_mul(t)),
            training: memory::to_learn(parameters.iter().map(|row| row.numbers).sum()),
        },
        parameters,
        tokenizer: vocabulary(dir)?,
    })
}

/// Files may leave out the first part of a name, or hold a tied weight under its other name.
fn stored_as(stored: &BTreeMap<String, String>, name: &str) -> String {
    let short = name.split_once('.').map_or(name, |(_, rest)| rest);
    let found = stored.get(name).or_else(|| stored.get(short));
    found.cloned().unwrap_or_else(|| "under another name".into())
}

fn build(family: Family, config: &str, weights: &Weights) -> warpsmith::tensor::Result<Model> {
    match family {
        Family::Gpt | Family::Llama => {
            let model = causal_model_from(config, weights)?;
            let cache_per_position = Some(model.cache(1, 1)?.bytes());
            let (vocab_size, context) = (model.vocab_size(), Some(model.context()));
            Ok(Model { vocab_size, context, state: model.state(), kept: weights.kept(), cache_per_position })
        }
        Family::Bert => {
            let model = BertTask::from_weights(config, weights)?;
            let shape = model.encoder().config();
            let (vocab_size, context) = (shape.vocab_size, Some(shape.max_position_embeddings));
            let kept = weights.kept().into_iter();
            let kept = kept.map(|(name, kept)| (model.name_in_file(name), kept)).collect();
            Ok(Model { vocab_size, context, state: model.state(), kept, cache_per_position: None })
        }
        Family::T5 | Family::Marian => {
            let model = answering_model(config, weights)?;
            // Relative positions have no end.
            let (vocab_size, context) =
                (model.vocab_size(), Some(model.context()).filter(|&c| c != usize::MAX));
            let (state, kept) = (model.state(), weights.kept());
            Ok(Model { vocab_size, context, state, kept, cache_per_position: None })
        }
    }
}

fn vocabulary(dir: &Path) -> Result<Option<Vocabulary>, Failure> {
    if !Tokenizer::is_in(dir) {
        return Ok(None);
    }
    let tokenizer = Tokenizer::from_file(dir)?;
    let ends = ends(dir, &tokenizer)?;
    Vocabulary::of(&tokenizer, ends).map(Some)
}

impl Vocabulary {
    fn of(tokenizer: &Tokenizer, ends: Vec<u32>) -> Result<Self, Failure> {
        Ok(Self {
            name: tokenizer.name(),
            vocab_size: tokenizer.vocab_size(),
            bos: tokenizer.bos(),
            eos: tokenizer.eos(),
            ends,
            frame: tokenizer.encode_with_special_tokens("")?,
        })
    }

    /// That of a GGUF file, unless it has none or one that is not known here.
    fn of_gguf(file: &Gguf<'_>) -> Option<Self> {
        let tokenizer = Tokenizer::from_gguf(file).ok()?;
        Self::of(&tokenizer, gguf_ends(file, &tokenizer)).ok()
    }
}

/// Bytes as a person reads them.
fn size(bytes: usize) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

fn print(found: &Inspection) -> Result<(), Failure> {
    let width = found.parameters.iter().map(|row| row.name.len()).max().unwrap_or(0);
    say!("{:<width$}  {:>16} {:>12}  as     stored", "parameter", "shape", "numbers")?;
    for row in &found.parameters {
        let Row { name, shape, numbers, dtype, stored } = row;
        say!("{name:<width$}  {:>16} {numbers:>12}  {dtype:<6} {stored}", format!("{shape:?}"))?;
    }
    let total: usize = found.parameters.iter().map(|row| row.numbers).sum();
    let context = found.context.map_or("any length".into(), |t| format!("context {t}"));
    say!("\nmodel      {}: {total} parameters, {} ids, {context}", found.family, found.vocab_size)?;
    let memory = &found.memory;
    say!("memory     weights {}", size(memory.weights))?;
    print_cache(memory.cache_per_position, memory.cache_of_context)?;
    say!("           training with AdamW {}, and the activations", size(memory.training))?;
    print_tokenizer(found.tokenizer.as_ref(), "none in the folder")
}

fn print_cache(per_position: Option<usize>, of_context: Option<usize>) -> Result<(), Failure> {
    let (Some(one), Some(all)) = (per_position, of_context) else { return Ok(()) };
    say!("           keys and values {} a position, {} for the whole context", size(one), size(all))
}

fn print_tokenizer(tokenizer: Option<&Vocabulary>, none: &str) -> Result<(), Failure> {
    match tokenizer {
        None => say!("tokenizer  {none}"),
        Some(t) => {
            let id = |id: Option<u32>| id.map_or("none".into(), |id| id.to_string());
            let (bos, eos) = (id(t.bos), id(t.eos));
            say!("tokenizer  {}: {} tokens, start {bos}, end {eos}", t.name, t.vocab_size)?;
            say!("           an empty text is {:?}; a text ends with one of {:?}", t.frame, t.ends)
        }
    }
}
