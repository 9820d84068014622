//! `warpsmith runs compare`: which settings differ, and which model predicts a text better.

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};
use warpsmith::model::Held;
use warpsmith::selection::bootstrap::{Comparison, Part, paired};
use warpsmith::text::Corpus;
use warpsmith::train::runs::{RunSummary, is_run, summary};
use warpsmith::train::{Evaluation, ModelFolder, TrainConfig, evaluate_pieces};

use super::super::{Failure, device, flags, table, texts};
use super::answers;

/// The flags.
pub fn command() -> Command {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("N")
            .value_parser(value_parser!(usize))
            .default_value(default)
            .help(help)
    };
    Command::new("compare")
        .about("Holds two runs, two models that write text, or two files of answers against each other")
        .after_help(
            "Each text is cut into pieces of whole lines, and each piece is scored for itself, so that models of different \
             tokens and contexts see the same. The bootstrap draws pieces with replacement and says how the difference would \
             move from text to text of the kind. With two texts, of the kind that a model was trained on and of another, the \
             table shows the gap between them.\n\
             With --metric A and B are answers to the same questions, and the bootstrap draws questions:\n  \
             warpsmith runs compare a.txt b.txt --metric bleu --references right.txt\n  \
             warpsmith runs compare a.jsonl b.jsonl --metric accuracy --hypothesis_column label --references test.tsv \
             --reference_column label\n\
             p is the share of draws that lie at least as far from the difference as that does from 0.",
        )
        .arg(Arg::new("a").value_name("A").required(true).help("A run, a model folder or a GGUF file; with --metric a file."))
        .arg(Arg::new("b").value_name("B").required(true).help("Another."))
        .arg(
            Arg::new("data")
                .long("data")
                .value_name("FILE")
                .action(ArgAction::Append)
                .help("A text file or folder to predict; may be given several times."),
        )
        .arg(number("piece", "1000", "Bytes of a piece, at least."))
        .arg(number("draws", "2000", "Draws of the bootstrap."))
        .arg(flags::seed("The same seed, the same draws."))
        .args(answers::args())
        .arg(device::arg())
        .arg(flags::json("Print one JSON object."))
}

/// `warpsmith runs compare`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let path = |name: &str| Path::new(args.get_one::<String>(name).map_or("", String::as_str));
    let (a, b) = (path("a"), path("b"));
    if let Some(metric) = args.get_one::<String>("metric") {
        return answers::run(args, metric, [a, b]);
    }
    let for_answers = ["references", "hypothesis_column", "reference_column"];
    if let Some(name) = for_answers.into_iter().find(|name| args.contains_id(name)) {
        return Err(Failure::Usage(format!("--{name} is for answers in files: give --metric with it")));
    }
    let texts: Vec<&String> = args.get_many("data").into_iter().flatten().collect();
    let runs = match (is_run(a), is_run(b)) {
        (true, true) => Some([summary(a)?, summary(b)?]),
        _ if texts.is_empty() => {
            let other = if is_run(a) { b } else { a };
            return Err(Failure::Usage(format!(
                "{} is no run folder, so there are no settings to compare: give a text with --data",
                other.display()
            )));
        }
        _ => None,
    };
    let rows = match texts.is_empty() {
        true => Vec::new(),
        false => on_texts(args, [a, b], &texts)?,
    };
    if args.get_flag("json") {
        let settings = runs.as_ref().map(|[a, b]| settings(&a.config, &b.config));
        let results = runs.as_ref().map(|runs| runs.each_ref().map(result));
        let texts: Vec<Value> = rows.iter().map(|(text, found)| as_json(text, found)).collect();
        let told = json!({
            "a": a, "b": b, "settings": settings, "results": results, "texts": texts, "seed": flags::seed_of(args),
        });
        say!("{told}")?;
        return Ok(());
    }
    if let Some([a, b]) = &runs {
        put!("{}", of_runs(a, b))?;
    }
    if !rows.is_empty() {
        let gap = if runs.is_some() { "\n" } else { "" };
        put!("{gap}{}", of_texts(&rows))?;
        let draws = Draws::of(args).words();
        say!("\nBits per byte, the less the better. A is {}, B is {}; {draws}.", a.display(), b.display())?;
    }
    Ok(())
}

/// The draws of the bootstrap.
#[derive(Clone, Copy)]
pub struct Draws {
    pub count: usize,
    pub seed: u64,
}

impl Draws {
    pub fn of(args: &ArgMatches) -> Self {
        Self { count: args.get_one("draws").copied().unwrap_or(0), seed: flags::seed_of(args) }
    }

    pub fn words(self) -> String {
        format!("paired bootstrap of {} draws, seed {}", self.count, self.seed)
    }
}

/// Both models on each text.
fn on_texts<'t>(
    args: &ArgMatches,
    paths: [&Path; 2],
    texts: &[&'t String],
) -> Result<Vec<(&'t str, Comparison)>, Failure> {
    let (piece, draws) = (args.get_one("piece").copied().unwrap_or(0), Draws::of(args));
    let device = device::of(args)?;
    let corpora = texts
        .iter()
        .map(|text| Ok((text.as_str(), texts::read(text)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let mut scores: Vec<[Vec<Part>; 2]> = vec![[Vec::new(), Vec::new()]; corpora.len()];
    for (model, path) in paths.into_iter().enumerate() {
        // One after the other: two large models need not fit together.
        let folder = ModelFolder::open(path, Held::AsStored, &device)?;
        for ((text, corpus), parts) in corpora.iter().zip(&mut scores) {
            let on = |error| Failure::Failed(format!("{text}: {error}"));
            let pieces =
                evaluate_pieces(&*folder.model, &folder.tokenizer, corpus.text(), piece).map_err(on)?;
            parts[model] = pieces.iter().map(part).collect();
        }
    }
    let compare = |((text, _), [a, b]): (&(&'t str, Corpus), &[Vec<Part>; 2])| {
        let found = paired(a, b, draws.count, draws.seed)
            .map_err(|error| Failure::Failed(format!("{text}: {error}")));
        Ok((*text, found?))
    };
    corpora.iter().zip(&scores).map(compare).collect()
}

/// The bits of a piece, and its bytes.
fn part(piece: &Evaluation) -> Part {
    let bits = piece.loss * piece.tokens as f64 / std::f64::consts::LN_2;
    Part { sum: bits, weight: piece.bytes as f64 }
}

/// The settings that two runs do not share.
fn settings(a: &TrainConfig, b: &TrainConfig) -> Vec<(&'static str, String, String)> {
    let fields = TrainConfig::fields().iter().filter(|field| field.name != "out_dir");
    let both = fields.map(|field| (field.name, (field.get)(a), (field.get)(b)));
    both.filter(|(_, a, b)| a != b).collect()
}

fn result(run: &RunSummary) -> Value {
    json!({
        "steps": run.steps, "parameters": run.parameters, "val_loss": run.best_val,
        "bits_per_byte": run.best_bits_per_byte, "seconds": run.seconds, "state": run.state.words(),
    })
}

fn of_runs(a: &RunSummary, b: &RunSummary) -> String {
    let number = |number: Option<f64>| number.map_or("-".into(), |number| format!("{number:.4}"));
    let row = |name: &str, of: &dyn Fn(&RunSummary) -> String| vec![name.to_string(), of(a), of(b)];
    let mut rows: Vec<Vec<String>> =
        settings(&a.config, &b.config).into_iter().map(|(name, a, b)| vec![name.to_string(), a, b]).collect();
    rows.extend([
        row("parameters", &|run| run.parameters.map_or("-".into(), |numbers| numbers.to_string())),
        row("steps", &|run| run.steps.to_string()),
        row("best val loss", &|run| number(run.best_val)),
        row("its bits per byte", &|run| number(run.best_bits_per_byte)),
        row("time (s)", &|run| format!("{:.1}", run.seconds)),
        row("state", &|run| run.state.words().to_string()),
    ]);
    let head =
        vec!["settings that differ".into(), a.path.display().to_string(), b.path.display().to_string()];
    table::markdown(head, rows)
}

fn of_texts(rows: &[(&str, Comparison)]) -> String {
    let head = ["text", "A", "B", "A - B", "95 % interval", "p", "A better in", "pieces"];
    let row = |(text, found): &(&str, Comparison)| cells(text, found, found.first_below);
    table::markdown(head.map(String::from).to_vec(), rows.iter().map(row).collect())
}

/// A comparison as cells of a table; `better` is the share of draws in which A is.
pub fn cells(name: &str, found: &Comparison, better: f64) -> Vec<String> {
    let (low, high) = found.interval;
    vec![
        name.to_string(),
        format!("{:.4}", found.first),
        format!("{:.4}", found.second),
        format!("{:+.4}", found.difference),
        format!("{low:+.4} to {high:+.4}"),
        format!("{:.4}", found.p),
        format!("{:.1} % of {} draws", 100.0 * better, found.draws),
        found.documents.to_string(),
    ]
}

fn as_json(text: &str, found: &Comparison) -> Value {
    json!({
        "text": text, "a_bits_per_byte": found.first, "b_bits_per_byte": found.second,
        "difference": found.difference, "interval": [found.interval.0, found.interval.1], "p": found.p,
        "a_better": found.first_below, "pieces": found.documents, "draws": found.draws,
    })
}
