//! What a run learns from: a task, a prepared folder, or a text of any kind.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use warpsmith::PreparedFiles;
use warpsmith::data::manifest::Manifest;
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

/// A text, cut into tokens by the tokenizer of the settings, and a line about it.
pub fn of_text(corpus: &Corpus, config: &TrainConfig, resumes: bool) -> Result<(TrainData, String), Failure> {
    // A resumed run keeps the tokenizer that its weights were trained with, whatever the text is now.
    let tokenizer = match resumes {
        true => TokenizerSpec::File(PathBuf::from(&config.out_dir)),
        false => TokenizerSpec::from_str(&config.tokenizer)?,
    };
    let dataset: Dataset = corpus.tokenize(&tokenizer)?;
    let note = format!(
        "data: {} bytes, {} tokens, {} different ({})",
        corpus.text().len(),
        dataset.tokens().len(),
        dataset.vocab_size(),
        dataset.tokenizer().name()
    );
    Ok((TrainData::Text(dataset), note))
}
