//! `warpsmith classify`: the label of each text, by a model that was taught labels.

use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use serde::Serialize;
use warpsmith::LabelledTexts;
use warpsmith::metrics::classification::Confusion;
use warpsmith::model::Held;
use warpsmith::train::finetune::ClassScores;
use warpsmith::train::{Classified, ClassifierFolder};

use super::failure::require_numbers;
use super::{Failure, device, flags, labelled};

/// The flags.
pub fn command() -> Command {
    Command::new("classify")
        .about("The label of each text, and the probability of every label")
        .after_help("`warpsmith finetune --task classify` makes such a model of a BERT, a GPT-2 or a model of Llama's kind.")
        .arg(flags::model("Folder of a classifier."))
        .arg(device::arg())
        .arg(flags::dtype())
        .arg(
            Arg::new("data")
                .long("data")
                .value_name("FILE")
                .help("Texts of a JSONL, CSV or TSV file; with --label they are scored."),
        )
        .args(labelled::args())
        .arg(flags::json("Print one JSON object for each text, and one with the scores."))
        .arg(
            Arg::new("texts")
                .value_name("TEXT")
                .num_args(0..)
                .conflicts_with("data")
                .help("Texts; without any and without --data, the lines of standard input."),
        )
}

/// A text as `--json` tells of it.
#[derive(Serialize)]
struct Told<'a> {
    text: &'a str,
    label: &'a str,
    probabilities: serde_json::Map<String, serde_json::Value>,
    logits: &'a [f32],
    tokens: usize,
    cut: usize,
}

/// `warpsmith classify`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let label = args.get_one::<String>("label").map(String::as_str);
    if label.is_some() && !args.contains_id("data") {
        return Err(Failure::Usage("--label names a field of a file: give --data with it".into()));
    }
    let mut folder = ClassifierFolder::open(
        flags::model_path(args),
        flags::policy(args, Held::AsStored),
        &device::of(args)?,
    )?;
    labelled::limit(args, &mut folder)?;
    let Some(path) = args.get_one::<String>("data") else {
        let texts = flags::texts(args)?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        return tell(args, &folder, &texts, &folder.classify(&texts)?);
    };
    let data = LabelledTexts::read(Path::new(path), &labelled::options(args, label))?;
    // What is wrong with a text is told with its place, before anything is computed.
    let truth = label.map(|_| data.numbers(folder.model.labels())).transpose()?;
    for (index, text) in data.texts().enumerate() {
        folder.read(text).map_err(|e| data.problem(index, e.to_string()))?;
    }
    let texts: Vec<&str> = data.texts().collect();
    let found = folder.classify(&texts)?;
    tell(args, &folder, &texts, &found)?;
    let Some(truth) = truth else { return Ok(()) };
    let called: Vec<usize> = found.iter().map(|one| one.label).collect();
    score(args, folder.model.labels(), &Confusion::of(&truth, &called, folder.model.labels().len())?)
}

fn tell(
    args: &ArgMatches,
    folder: &ClassifierFolder,
    texts: &[&str],
    found: &[Classified],
) -> Result<(), Failure> {
    require_numbers(texts.iter().zip(found.iter().map(|one| &one.logits[..])))?;
    let labels = folder.model.labels();
    for (text, found) in texts.iter().zip(found) {
        let label = labels.get(found.label).map_or("", String::as_str);
        let of_each = labels.iter().cloned().zip(&found.probabilities);
        let line = match args.get_flag("json") {
            true => serde_json::to_string(&Told {
                text,
                label,
                probabilities: of_each.map(|(label, p)| (label, (*p).into())).collect(),
                logits: &found.logits,
                tokens: found.tokens,
                cut: found.cut,
            })?,
            false => {
                let each: Vec<String> = of_each.map(|(label, p)| format!("{label} {p:.4}")).collect();
                format!("{label}\t{}\t{}", each.join(" "), text.replace(['\n', '\t'], " "))
            }
        };
        say!("{line}")?;
    }
    Ok(())
}

/// How many labels are right, on standard error unless JSON is asked for: texts and labels can be piped on.
fn score(args: &ArgMatches, labels: &[String], confusion: &Confusion) -> Result<(), Failure> {
    let scores = ClassScores::of(confusion);
    if args.get_flag("json") {
        say!("{}", labelled::json(scores))?;
        return Ok(());
    }
    murmur!("{}\n{}", labelled::line(scores), labelled::table(labels, confusion));
    Ok(())
}
