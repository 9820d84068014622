//! What a run learns from: a task, a prepared folder, a file of ids, or a text of any kind.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use warpsmith::PreparedFiles;
use warpsmith::data::manifest::Manifest;
use warpsmith::data::shard;
use warpsmith::text::{Corpus, Dataset, Task, Tokenizer, TokenizerSpec};
use warpsmith::train::config::TaskKind;
use warpsmith::train::{TrainConfig, TrainData};

use super::super::{Failure, texts};

/// What the settings name to learn from, and a line about it.
pub fn load(config: &TrainConfig, resumes: bool) -> Result<(TrainData, String), Failure> {
    let task = match config.task {
        TaskKind::None => None,
        TaskKind::Sort => Some(Task::Sort),
        TaskKind::Add => Some(Task::Add),
        TaskKind::Reverse => Some(Task::Reverse),
    };
    if let Some(task) = task {
        return Ok((TrainData::task(task)?, format!("data: {}, made up as it goes", config.task.word())));
    }
    // What is no path would be looked for where the command stands.
    let named = Some(Path::new(&config.data)).filter(|_| !["", "-"].contains(&config.data.as_str()));
    if let Some(folder) = named
        && let Some(manifest) = Manifest::find(folder, &PreparedFiles)?
    {
        return prepared(folder, &manifest);
    }
    if let Some(path) = named.filter(|path| path.extension().is_some_and(|extension| extension == "bin")) {
        return shards(path, &tokenizer_of(config, resumes)?);
    }
    let corpus = match config.data.as_str() {
        "" => Corpus::from_text(warpsmith::corpus::EMBEDDED),
        name => texts::read(name)?,
    };
    of_text(&corpus, config, resumes)
}

/// The parts of a folder that `warpsmith data prepare` has made and finished.
fn prepared(folder: &Path, manifest: &Manifest) -> Result<(TrainData, String), Failure> {
    let (train, val) = (manifest.tokens(folder, "train")?, manifest.tokens(folder, "val")?);
    let dataset = Dataset::of_parts(&train, &val, Tokenizer::from_file(folder)?);
    let name = dataset.tokenizer().name();
    let note = format!("data: {} + {} tokens of {name}, prepared", train.len(), val.len());
    Ok((TrainData::Text(dataset), note))
}

/// A file of ids as nanoGPT or llm.c writes it; to validate on, the file whose name has `val` for `train`, or else its last tenth.
fn shards(path: &Path, tokenizer: &TokenizerSpec) -> Result<(TrainData, String), Failure> {
    let tokenizer = match tokenizer {
        TokenizerSpec::Byte => Tokenizer::byte_level(),
        TokenizerSpec::File(file) => Tokenizer::from_file(file)?,
        _ => {
            let problem = format!(
                "{} holds token ids: say what they mean by --tokenizer FILE (the tokenizer.json of GPT-2, say) or byte",
                path.display()
            );
            return Err(Failure::Usage(problem));
        }
    };
    let read = |path: &Path| {
        let ids = shard::read(path)?;
        match ids.iter().find(|&&id| id as usize >= tokenizer.vocab_size()) {
            None => Ok(ids),
            Some(id) => Err(Failure::Failed(format!(
                "{}: id {id} is none of the {} of this tokenizer: name the one that made the file",
                path.display(),
                tokenizer.vocab_size()
            ))),
        }
    };
    let ids = read(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let val =
        Some(path.with_file_name(name.replace("train", "val"))).filter(|val| val != path && val.is_file());
    let dataset = match val {
        Some(val) => Dataset::of_parts(&ids, &read(&val)?, tokenizer),
        None => Dataset::new(ids, tokenizer),
    };
    let (train, val) = (dataset.train().len(), dataset.val().len());
    let note =
        format!("data: {train} + {val} tokens of {}, as they lie in files", dataset.tokenizer().name());
    Ok((TrainData::Text(dataset), note))
}

/// The tokenizer of the settings. A resumed run keeps the one that its weights were trained with, whatever the text is now.
fn tokenizer_of(config: &TrainConfig, resumes: bool) -> Result<TokenizerSpec, Failure> {
    Ok(match resumes {
        true => TokenizerSpec::File(PathBuf::from(&config.out_dir)),
        false => TokenizerSpec::from_str(&config.tokenizer)?,
    })
}

/// A text, cut into tokens by the tokenizer of the settings, and a line about it.
pub fn of_text(corpus: &Corpus, config: &TrainConfig, resumes: bool) -> Result<(TrainData, String), Failure> {
    let dataset: Dataset = corpus.tokenize(&tokenizer_of(config, resumes)?)?;
    let note = format!(
        "data: {} bytes, {} tokens, {} different ({})",
        corpus.text().len(),
        dataset.tokens().len(),
        dataset.vocab_size(),
        dataset.tokenizer().name()
    );
    Ok((TrainData::Text(dataset), note))
}
