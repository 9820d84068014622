//! Flags of commands that read texts with classes.

use std::collections::HashSet;

use clap::{Arg, ArgMatches};
use warpsmith::LabelledTexts;
use warpsmith::data::Error;
use warpsmith::data::read::ReadOptions;
use warpsmith::metrics::classification::{Confusion, Scores, ZeroDivision};
use warpsmith::train::ClassifierFolder;
use warpsmith::train::finetune::{ClassScores, Labelled};

use super::Failure;

/// The flags.
pub fn args() -> [Arg; 5] {
    let arg = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    [
        arg("text", "NAME")
            .default_value("text")
            .help("Field of JSONL or column of a table that holds the text."),
        arg("label", "NAME").help("Field or column that holds the class."),
        arg("columns", "A,B,...")
            .value_delimiter(',')
            .help("Names of the columns of tables without a header line."),
        arg("empty", "refuse|drop")
            .value_parser(["refuse", "drop"])
            .default_value("refuse")
            .help("Texts without a character."),
        arg("max_tokens", "N")
            .value_parser(clap::value_parser!(usize))
            .help("Tokens of a text that are read [default: what the folder says, or the model's context]."),
    ]
}

/// How to read, with `label` as the field of classes.
pub fn options(args: &ArgMatches, label: Option<&str>) -> ReadOptions {
    let columns = args.get_many::<String>("columns").map(|names| names.cloned().collect());
    ReadOptions {
        text: args.get_one::<String>("text").cloned().unwrap_or_default(),
        label: label.map(str::to_string),
        columns,
        drop_empty: args.get_one::<String>("empty").is_some_and(|word| word == "drop"),
        ..ReadOptions::default()
    }
}

/// Lets the model read fewer tokens if `--max_tokens` says so.
pub fn limit(args: &ArgMatches, folder: &mut ClassifierFolder) -> Result<(), Failure> {
    let Some(&most) = args.get_one::<usize>("max_tokens") else { return Ok(()) };
    // The marks around an encoder's text are two.
    let (least, context) = (if folder.model.keeps_last() { 3 } else { 1 }, folder.model.context());
    if !(least..=context).contains(&most) {
        return Err(Failure::Usage(format!("--max_tokens: {most} is not in {least}..={context}")));
    }
    folder.max_tokens = most;
    Ok(())
}

/// The tokens of all texts with their classes; says how many were cut.
pub fn examples(folder: &ClassifierFolder, texts: &LabelledTexts) -> Result<Vec<Labelled>, Failure> {
    let (labels, mut cut) = (texts.numbers(folder.model.labels())?, 0);
    let example = |((index, text), label): ((usize, &str), usize)| -> Result<Labelled, Error> {
        let (ids, lost) = folder.read(text).map_err(|e| texts.problem(index, e.to_string()))?;
        cut += usize::from(lost > 0);
        Ok(Labelled { ids, label })
    };
    let found = texts.texts().enumerate().zip(labels).map(example).collect::<Result<Vec<_>, _>>()?;
    if cut > 0 {
        note!("note: {cut} of {} texts were cut: the model reads {} tokens", found.len(), folder.max_tokens);
    }
    Ok(found)
}

/// The tokens of texts whose class nobody asks for, but for those that stand in `except` too; says how many those were.
pub fn unlabelled(
    folder: &ClassifierFolder,
    texts: &LabelledTexts,
    except: &LabelledTexts,
) -> Result<Vec<Vec<u32>>, Failure> {
    let judged: HashSet<&str> = except.texts().collect();
    let own = texts.texts().enumerate().filter(|(_, text)| !judged.contains(text));
    let ids = |(index, text): (usize, &str)| match folder.read(text) {
        Ok((ids, _)) => Ok(ids),
        Err(error) => Err(texts.problem(index, error.to_string())),
    };
    let found = own.map(ids).collect::<Result<Vec<_>, Error>>()?;
    match texts.texts().len() - found.len() {
        0 => {}
        left_out => {
            note!("note: {left_out} texts without a label are left out: they are among those to judge by")
        }
    }
    Ok(found)
}

/// Accuracy and macro averages in a line.
pub fn line(scores: ClassScores) -> String {
    let ClassScores { accuracy, macro_average: Scores { precision, recall, f1 } } = scores;
    format!("accuracy {accuracy:.4} | macro precision {precision:.4} | recall {recall:.4} | F1 {f1:.4}")
}

/// The same as an object.
pub fn json(scores: ClassScores) -> serde_json::Value {
    let ClassScores { accuracy, macro_average: Scores { precision, recall, f1 } } = scores;
    serde_json::json!({ "accuracy": accuracy, "precision": precision, "recall": recall, "f1": f1 })
}

/// A row for each class: precision, recall, F1, how many there are.
pub fn table(labels: &[String], confusion: &Confusion) -> String {
    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0).max(5);
    let mut table = format!("{:<width$}  precision  recall      F1  texts\n", "class");
    for (class, label) in labels.iter().enumerate() {
        let Scores { precision, recall, f1 } = confusion.scores(class, ZeroDivision::Zero);
        let support = confusion.support(class);
        table += &format!("{label:<width$}  {precision:>9.4}  {recall:>6.4}  {f1:>6.4}  {support:>5}\n");
    }
    table
}
