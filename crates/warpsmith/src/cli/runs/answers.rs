//! `warpsmith runs compare --metric`: two files of answers to the same questions.

use std::path::Path;

use clap::{Arg, ArgMatches};
use serde_json::json;
use warpsmith::data::read::parallel::same_count;
use warpsmith::metrics::bleu::{Bleu, Counts, Tokenizer};
use warpsmith::metrics::classification::{Average, Confusion, Labels, ZeroDivision};
use warpsmith::metrics::rouge::{Words, rouge};
use warpsmith::selection::bootstrap::{Comparison, paired_by};

use super::super::answers::Answers;
use super::super::{Failure, table};
use super::compare::{Draws, cells};

/// By what answers are compared. Of all of them more is better.
const METRICS: [&str; 5] = ["accuracy", "f1", "bleu", "rouge-l", "score"];

/// The flags.
pub fn args() -> [Arg; 5] {
    let arg = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    [
        arg("metric", "NAME").value_parser(METRICS).help(
            "A and B are files of answers, one a line: accuracy, f1 (macro), bleu, rouge-l against --references; or score, a \
             number a line, the more the better.",
        ),
        arg("references", "FILE").num_args(1..).help("What is right; for BLEU one file or more."),
        arg("hypothesis_column", "NAME").help("The column of A and B that holds the answers, or the key of JSONL."),
        arg("reference_column", "NAME").help("The column or key of what is right."),
        arg("tokenize", "13a|zh|none|char")
            .value_parser(["13a", "zh", "none", "char"])
            .default_value("13a")
            .help("BLEU's words; zh for Chinese."),
    ]
}

/// Compares and tells.
pub fn run(args: &ArgMatches, metric: &str, paths: [&Path; 2]) -> Result<(), Failure> {
    if args.contains_id("data") {
        let problem = "--data is for models, --metric for answers in files: leave one out";
        return Err(Failure::Usage(problem.into()));
    }
    let column = args.get_one("hypothesis_column");
    let answers = [Answers::read(paths[0], column)?, Answers::read(paths[1], column)?];
    let column = args.get_one("reference_column");
    let files = args.get_many::<String>("references").into_iter().flatten();
    let references: Vec<Answers> =
        files.map(|path| Answers::read(Path::new(path), column)).collect::<Result<_, _>>()?;
    let count = |answers: &Answers| answers.lines.len();
    let wanted = match metric {
        "score" => 0..=0,
        "bleu" => 1..=usize::MAX,
        _ => 1..=1,
    };
    if !wanted.contains(&references.len()) {
        let needs = if metric == "score" { "no --references" } else { "one file of --references" };
        return Err(Failure::Usage(format!("--metric {metric} takes {needs}, not {}", references.len())));
    }
    for other in std::iter::once(&answers[1]).chain(&references) {
        same_count((&answers[0].path, count(&answers[0])), (&other.path, count(other)))?;
    }
    let draws = Draws::of(args);
    let found = compared(args, metric, &answers, &references, draws)?;
    tell(args, metric, paths, &found, draws)
}

fn compared(
    args: &ArgMatches,
    metric: &str,
    answers: &[Answers; 2],
    references: &[Answers],
    draws: Draws,
) -> Result<Comparison, Failure> {
    let n = answers[0].lines.len();
    let on = |scores: &mut dyn FnMut(&[usize]) -> [f64; 2]| {
        paired_by(n, draws.count, draws.seed, scores).map_err(|error| Failure::Failed(error.to_string()))
    };
    // Scores of single answers, whose mean is the score of all.
    let means = |each: [Vec<f64>; 2]| {
        on(&mut |chosen| {
            each.each_ref().map(|own| chosen.iter().map(|&i| own[i]).sum::<f64>() / chosen.len() as f64)
        })
    };
    if metric == "score" {
        let [a, b] = answers.each_ref().map(|file| file.map(number));
        return means([a?, b?]);
    }
    let Some(reference) = references.first() else {
        return Err(Failure::Usage("--references is missing".into()));
    };
    match metric {
        "accuracy" => means(answers.each_ref().map(|file| {
            let pairs = file.texts().into_iter().zip(reference.texts());
            pairs.map(|(said, truth)| f64::from(u8::from(said.trim() == truth.trim()))).collect()
        })),
        "rouge-l" => means(answers.each_ref().map(|file| {
            let pairs = file.texts().into_iter().zip(reference.texts());
            pairs.map(|(said, truth)| rouge(said, truth, Words::Unicode).l.f1).collect()
        })),
        "f1" => {
            let (a, b, truth) = (answers[0].texts(), answers[1].texts(), reference.texts());
            let names = Labels::of(a.iter().chain(&b).chain(&truth).map(|text| text.trim()));
            let ids = |texts: &[&str]| -> Vec<usize> {
                texts.iter().filter_map(|text| names.index(text.trim())).collect()
            };
            let (a, b, truth) = (ids(&a), ids(&b), ids(&truth));
            on(&mut |chosen| {
                let of = |all: &[usize]| chosen.iter().map(|&i| all[i]).collect::<Vec<usize>>();
                let truth = of(&truth);
                [&a, &b].map(|said| match Confusion::of(&truth, &of(said), names.names().len()) {
                    Ok(found) => found.average(Average::Macro, ZeroDivision::Zero).f1,
                    Err(_) => f64::NAN,
                })
            })
        }
        _ => {
            let bleu = bleu(args);
            let sets: Vec<Vec<&str>> = references.iter().map(Answers::texts).collect();
            let counts = answers.each_ref().map(|file| -> Vec<Counts> {
                let counts = |(i, said): (usize, &str)| {
                    bleu.counts(said, &sets.iter().map(|set| set[i]).collect::<Vec<_>>())
                };
                file.texts().into_iter().enumerate().map(counts).collect()
            });
            on(&mut |chosen| {
                counts.each_ref().map(|own| {
                    let mut sum = Counts::default();
                    chosen.iter().for_each(|&i| sum.add(&own[i]));
                    bleu.of_counts(&sum).score
                })
            })
        }
    }
}

fn bleu(args: &ArgMatches) -> Bleu {
    let name = args.get_one::<String>("tokenize").map_or("", String::as_str);
    let tokenizer = Tokenizer::ALL.into_iter().find(|tokenizer| tokenizer.name() == name);
    Bleu { tokenizer: tokenizer.unwrap_or_default(), ..Bleu::default() }
}

fn number(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| format!("`{text}` is no finite number"))
}

fn tell(
    args: &ArgMatches,
    metric: &str,
    [a, b]: [&Path; 2],
    found: &Comparison,
    draws: Draws,
) -> Result<(), Failure> {
    let signature = (metric == "bleu")
        .then(|| bleu(args).signature(args.get_many::<String>("references").map_or(0, |files| files.len())));
    if args.get_flag("json") {
        let told = json!({
            "metric": metric, "a": a, "b": b, "a_score": found.first, "b_score": found.second,
            "difference": found.difference, "interval": [found.interval.0, found.interval.1], "p": found.p,
            "a_better": 1.0 - found.first_below, "answers": found.documents, "draws": found.draws, "seed": draws.seed,
            "signature": signature,
        });
        return say!("{told}");
    }
    let head = ["metric", "A", "B", "A - B", "95 % interval", "p", "A better in", "answers"];
    let row = cells(metric, found, 1.0 - found.first_below);
    put!("{}", table::markdown(head.map(String::from).to_vec(), vec![row]))?;
    say!("\nThe more the better. A is {}, B is {}; {}.", a.display(), b.display(), draws.words())?;
    signature.iter().try_for_each(|signature| say!("{signature}"))
}
