//! A small BERT learns to classify texts, is saved, and answers in another process.
//!
//! `cargo run --release --example bert_classifier [DATA.tsv [BERT_FOLDER [EPOCHS]]]`
//!
//! The data has columns `text` and `label` (`.tsv`, `.csv` or `.jsonl`); without it, made-up reviews. Without a folder the BERT knows
//! nothing when it begins, not even words.
//!
//! What printed versions of this program often get wrong:
//! - accuracy is measured on texts that were trained on, or the best of many epochs on the test set is the result. Here one text in
//!   ten chooses the epoch, and another in ten, asked once, gives the result;
//! - the padding is attended to (no mask), so that a text's label depends on the texts beside it;
//! - a softmax stands before the cross-entropy, which takes one itself;
//! - "save and load" happens in one process, where the old model is still at hand: labels, their order, the tokenizer and the length
//!   that texts were cut to are forgotten without anybody noticing. Here a new process has nothing but the folder.

#[path = "fixtures/reviews.rs"]
mod reviews;
#[path = "fixtures/small_bert.rs"]
mod small_bert;

use std::path::Path;
use std::process::Command;

use warpsmith::LabelledTexts;
use warpsmith::data::read::ReadOptions;
use warpsmith::model::{BertTask, Held, Task, Weights, to_safetensors};
use warpsmith::prelude::*;
use warpsmith::train::finetune::{
    ClassScores, FinetuneConfig, Labelled, Progress, finetune_classifier, judge,
};
use warpsmith::train::{Classified, ClassifierFolder};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The word that asks this program to be the other process.
const ANSWER: &str = "--answer";

/// A folder of a BERT that has learned nothing, with a vocabulary of its own.
fn blank(dir: &Path, texts: &[&str]) -> Outcome<()> {
    let tokenizer = Tokenizer::train_bpe(&texts.join("\n"), 400)?;
    let config = small_bert::config(tokenizer.vocab_size(), 64);
    let model = BertTask::new(config, Task::Encode, &Device::best()?, Seed(1))?;
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join("config.json"), model.config_json())?;
    std::fs::write(dir.join("model.safetensors"), to_safetensors(&model.state(), &[])?)?;
    Ok(tokenizer.save(dir.join("tokenizer.json"))?)
}

fn examples(folder: &ClassifierFolder, texts: &LabelledTexts) -> Outcome<Vec<Labelled>> {
    let labels = texts.numbers(folder.model.labels())?;
    texts.texts().zip(labels).map(|(text, label)| Ok(Labelled { ids: folder.read(text)?.0, label })).collect()
}

fn told(scores: ClassScores) -> String {
    let (accuracy, s) = (scores.accuracy, scores.macro_average);
    format!("accuracy {accuracy:.3}  precision {:.3}  recall {:.3}  F1 {:.3}", s.precision, s.recall, s.f1)
}

/// A text's label and logits in a line, every digit of them.
fn answer(folder: &ClassifierFolder, found: &Classified) -> String {
    format!("{} {:?}", folder.model.labels()[found.label], found.logits)
}

/// What the other process does: opens the folder and answers.
fn be_asked(dir: &str, texts: &[String]) -> Outcome<()> {
    let folder = ClassifierFolder::open(Path::new(dir), Held::AsStored, &Device::best()?)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    folder.classify(&texts)?.iter().for_each(|found| println!("{}", answer(&folder, found)));
    Ok(())
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, dir, texts @ ..] = &arguments[..]
        && first == ANSWER
    {
        return be_asked(dir, texts);
    }
    let place = std::env::temp_dir().join(format!("bert_classifier-{}", std::process::id()));
    let done = learn(&arguments, &place);
    std::fs::remove_dir_all(&place)?;
    done
}

fn learn(arguments: &[String], place: &Path) -> Outcome<()> {
    let (made, base, tuned) = (place.join("reviews.tsv"), place.join("blank"), place.join("tuned"));
    let rows = reviews::reviews(900, 7).into_iter().map(|(text, label)| format!("{text}\t{label}\n"));
    std::fs::create_dir_all(place)?;
    std::fs::write(&made, "text\tlabel\n".to_string() + &rows.collect::<String>())?;
    let data = arguments.first().map_or(made.as_path(), Path::new);
    let options = ReadOptions { label: Some("label".into()), ..ReadOptions::default() };
    let (rest, test) = LabelledTexts::read(data, &options)?.hold_out(0.1, 1)?;
    let (train, val) = rest.hold_out(0.1, 2)?;
    let base = match arguments.get(1) {
        Some(folder) => Path::new(folder),
        None => {
            blank(&base, &train.texts().collect::<Vec<_>>())?;
            &base
        }
    };
    let epochs = arguments.get(2).map_or(Ok(3), |epochs| epochs.parse())?;
    let learning_rate = if arguments.len() > 1 { 5e-5 } else { 2e-3 };
    let (folder, _) =
        ClassifierFolder::for_labels(base, &train.labels()?, &Weights::random(Seed(1), &Device::best()?))?;
    let config = FinetuneConfig { epochs, learning_rate, batch_size: 16, patience: 3, ..Default::default() };
    let (train, val, unseen) =
        (examples(&folder, &train)?, examples(&folder, &val)?, examples(&folder, &test)?);
    println!("{} texts to learn from, {} to choose by, {} for the end", train.len(), val.len(), unseen.len());
    finetune_classifier(&folder.model, &train, &val, &config, &mut |progress| {
        if let Progress::Epoch { epoch, val_loss, scores: Some(scores), .. } = progress {
            println!("epoch {epoch:>2}  loss {val_loss:.3}  {}", told(scores));
        }
        true
    })?;
    println!("at the end         {}", told(ClassScores::of(&judge(&folder.model, &unseen, 32)?.1)));

    folder.write(&tuned)?;
    let texts: Vec<&str> = test.texts().take(3).collect();
    let here: Vec<String> = folder.classify(&texts)?.iter().map(|found| answer(&folder, found)).collect();
    let there = Command::new(std::env::current_exe()?).arg(ANSWER).arg(&tuned).args(&texts).output()?;
    let there = String::from_utf8(there.stdout)?;
    texts.iter().zip(there.lines()).for_each(|(text, answer)| println!("{text}\n  {answer}"));
    let is_same = there.lines().eq(here.iter().map(String::as_str));
    println!("another process gives the same numbers, to the last digit: {is_same}");
    if is_same { Ok(()) } else { Err(format!("there: {there}here: {here:?}").into()) }
}
