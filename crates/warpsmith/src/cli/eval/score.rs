//! `warpsmith eval --metric`: answers in a file against what is right in others.

mod choices;

use std::path::Path;

use clap::{Arg, ArgMatches, value_parser};
use warpsmith::data::read::parallel;
use warpsmith::metrics::bleu::{Bleu, Tokenizer};
use warpsmith::metrics::classification::{Average, Confusion, Labels, Scores, ZeroDivision};
use warpsmith::metrics::rouge::{self, Words};
use warpsmith::metrics::similarity::cosine;
use warpsmith::metrics::{calibration, diversity, tokens};
use warpsmith::model::Held;
use warpsmith::train::SentenceEncoder;

use super::super::answers::Answers;
use super::super::{Failure, device, flags};

/// Names of the metrics, and what they need.
const METRICS: &str = "accuracy, f1, confusion (labels), calibration (probabilities against 0 and 1), bleu, rouge, similarity (texts; \
    the last with --model ENCODER), distinct, repeated (hypotheses alone), choices (--model and --data FILE.bin of llm.c)";

/// The flags.
pub fn args() -> [Arg; 9] {
    let arg = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    [
        arg("metric", "NAME,...")
            .value_delimiter(',')
            .help(format!("Score answers in place of a text: {METRICS}.")),
        arg("hypotheses", "FILE")
            .help("The answers, one a line, or a TSV or CSV file with --hypothesis_column."),
        arg("references", "FILE")
            .num_args(1..)
            .help("What is right, in the same form; for BLEU one file or more."),
        arg("hypothesis_column", "NAME").help("The column of the answers."),
        arg("reference_column", "NAME").help("The column of what is right."),
        arg("labels", "A,B,...").value_delimiter(',').help("The labels there may be; any other is an error."),
        arg("zero_division", "0|1|nan").default_value("0").help("What a share of nothing is."),
        arg("tokenize", "13a|zh|none|char").default_value("13a").help("BLEU's words; zh for Chinese."),
        arg("bins", "N")
            .default_value("10")
            .value_parser(value_parser!(usize))
            .help("Intervals of calibration."),
    ]
}

/// A number with its name.
type Row = (String, f64);

/// `warpsmith eval --metric`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    if args.get_many::<String>("data").is_some_and(|data| data.len() > 1) {
        return Err(Failure::Usage("--metric takes one file of --data".into()));
    }
    let mut told = serde_json::Map::new();
    for metric in args.get_many::<String>("metric").into_iter().flatten() {
        let (rows, signature) = score(metric, args)?;
        for (name, value) in &rows {
            told.insert(name.clone(), (*value).into());
        }
        if let Some(signature) = &signature {
            told.insert(format!("{metric} signature"), signature.as_str().into());
        }
        if !args.get_flag("json") {
            rows.iter().try_for_each(|(name, value)| say!("{name:<36} {value:.6}"))?;
            signature
                .iter()
                .try_for_each(|signature| say!("{:<36} {signature}", format!("{metric} signature")))?;
        }
    }
    if args.get_flag("json") {
        say!("{}", serde_json::Value::Object(told))?;
    }
    Ok(())
}

fn score(metric: &str, args: &ArgMatches) -> Result<(Vec<Row>, Option<String>), Failure> {
    let plain = |rows: Result<Vec<Row>, Failure>| Ok((rows?, None));
    match metric {
        "accuracy" | "f1" | "confusion" => plain(labels(metric, args)),
        "calibration" => plain(forecasts(args)),
        "bleu" => bleu(args),
        "rouge" => {
            let rows = rouge_rows(args)?;
            Ok((rows, Some("mean over texts; words in lower case, a Han character or kana is one".into())))
        }
        "similarity" => plain(similarity(args)),
        "distinct" | "repeated" => plain(variety(metric, args)),
        "choices" => plain(choices::rows(args)),
        _ => Err(Failure::Usage(format!("--metric: unknown metric `{metric}`; there are {METRICS}"))),
    }
}

fn hypotheses(args: &ArgMatches) -> Result<Answers, Failure> {
    let path = args.get_one::<String>("hypotheses");
    let path = path.ok_or_else(|| Failure::Usage("--metric needs --hypotheses FILE".into()))?;
    Answers::read(Path::new(path), args.get_one("hypothesis_column"))
}

/// Answers, and sets of what is right, all of one length.
fn both(args: &ArgMatches) -> Result<(Answers, Vec<Answers>), Failure> {
    let hypotheses = hypotheses(args)?;
    let column = args.get_one("reference_column");
    let paths = args.get_many::<String>("references").into_iter().flatten();
    let references: Vec<Answers> =
        paths.map(|path| Answers::read(Path::new(path), column)).collect::<Result<_, _>>()?;
    if references.is_empty() {
        return Err(Failure::Usage("this metric needs --references FILE".into()));
    }
    for set in &references {
        parallel::same_count((&hypotheses.path, hypotheses.lines.len()), (&set.path, set.lines.len()))?;
    }
    Ok((hypotheses, references))
}

/// As [`both`], for metrics that know one right answer.
fn pair(args: &ArgMatches) -> Result<(Answers, Answers), Failure> {
    let (hypotheses, mut references) = both(args)?;
    match (references.pop(), references.is_empty()) {
        (Some(reference), true) => Ok((hypotheses, reference)),
        _ => Err(Failure::Usage("this metric takes one file of --references".into())),
    }
}

fn labels(metric: &str, args: &ArgMatches) -> Result<Vec<Row>, Failure> {
    let (hypotheses, references) = pair(args)?;
    let allowed: Vec<&str> =
        args.get_many::<String>("labels").into_iter().flatten().map(String::as_str).collect();
    let names = match allowed.is_empty() {
        true => Labels::of(hypotheses.texts().into_iter().chain(references.texts()).map(str::trim)),
        false => Labels::of(allowed),
    };
    let id = |name: &str| {
        let known = || format!("unknown label `{name}`: there are {}", names.names().join(", "));
        names.index(name).ok_or_else(known)
    };
    let (truth, predicted) = (references.map(id)?, hypotheses.map(id)?);
    let found = Confusion::of(&truth, &predicted, names.names().len())?;
    let rule = match args.get_one::<String>("zero_division").map(String::as_str) {
        Some("0") => ZeroDivision::Zero,
        Some("1") => ZeroDivision::One,
        Some("nan") => ZeroDivision::Undefined,
        _ => return Err(Failure::Usage("--zero_division: write 0, 1 or nan".into())),
    };
    let rows = |name: &str, scores: Scores| {
        let Scores { precision, recall, f1 } = scores;
        [("precision", precision), ("recall", recall), ("f1", f1)]
            .map(|(part, x)| (format!("{part} {name}"), x))
    };
    let classes = names.names().iter().enumerate();
    Ok(match metric {
        "accuracy" => vec![("accuracy".into(), found.accuracy())],
        "confusion" => classes
            .flat_map(|(t, truth)| {
                names.names().iter().enumerate().map(move |(p, other)| (t, truth, p, other))
            })
            .map(|(t, truth, p, other)| (format!("{truth} called {other}"), found.count(t, p) as f64))
            .collect(),
        _ => [("macro", Average::Macro), ("micro", Average::Micro), ("weighted", Average::Weighted)]
            .into_iter()
            .flat_map(|(name, average)| rows(name, found.average(average, rule)))
            .chain(classes.flat_map(|(class, name)| rows(&format!("of {name}"), found.scores(class, rule))))
            .collect(),
    })
}

fn forecasts(args: &ArgMatches) -> Result<Vec<Row>, Failure> {
    let (hypotheses, references) = pair(args)?;
    let probability = |text: &str| {
        let p = text.parse().ok().filter(|p: &f64| (0.0..=1.0).contains(p));
        p.ok_or_else(|| format!("`{text}` is no probability in 0..=1"))
    };
    let outcome = |text: &str| match text {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => Err(format!("`{text}` is no outcome: write 1 if it came true, else 0")),
    };
    let (p, came) = (hypotheses.map(probability)?, references.map(outcome)?);
    let bins = calibration::reliability(&p, &came, args.get_one("bins").copied().unwrap_or(10))?;
    let mut rows = vec![
        ("expected calibration error".to_string(), calibration::expected_error(&bins)),
        ("Brier score".to_string(), calibration::brier(&p, &came)?),
    ];
    for bin in bins.iter().filter(|bin| bin.count > 0) {
        let name = |what: &str| format!("{what} in {:.3}..{:.3}", bin.low, bin.high);
        rows.extend([
            (name("count"), bin.count as f64),
            (name("confidence"), bin.confidence),
            (name("accuracy"), bin.accuracy),
        ]);
    }
    Ok(rows)
}

fn bleu(args: &ArgMatches) -> Result<(Vec<Row>, Option<String>), Failure> {
    let (hypotheses, references) = both(args)?;
    let name = args.get_one::<String>("tokenize").map_or("", String::as_str);
    let tokenizer = Tokenizer::ALL.into_iter().find(|tokenizer| tokenizer.name() == name);
    let tokenizer = tokenizer
        .ok_or_else(|| Failure::Usage(format!("--tokenize: 13a, zh, none or char, not `{name}`")))?;
    let bleu = Bleu { tokenizer, ..Bleu::default() };
    let references: Vec<Vec<&str>> = references.iter().map(Answers::texts).collect();
    let found = bleu.corpus(&hypotheses.texts(), &references)?;
    let mut rows = vec![("bleu".to_string(), found.score)];
    rows.extend(found.precisions.iter().enumerate().map(|(n, p)| (format!("bleu precision {}", n + 1), *p)));
    rows.push(("bleu brevity penalty".into(), found.brevity_penalty));
    Ok((rows, Some(bleu.signature(references.len()))))
}

fn rouge_rows(args: &ArgMatches) -> Result<Vec<Row>, Failure> {
    let (hypotheses, references) = pair(args)?;
    let found = rouge::mean(&hypotheses.texts(), &references.texts(), Words::Unicode)?;
    let rows = [("rouge-1", found.one), ("rouge-2", found.two), ("rouge-l", found.l)].into_iter().flat_map(
        |(name, score)| {
            [("precision", score.precision), ("recall", score.recall), ("f1", score.f1)]
                .map(|(part, x)| (format!("{name} {part}"), x))
        },
    );
    Ok(rows.collect())
}

fn similarity(args: &ArgMatches) -> Result<Vec<Row>, Failure> {
    let (hypotheses, references) = pair(args)?;
    if !args.contains_id("model") {
        return Err(Failure::Usage("similarity needs --model, the folder of an encoder".into()));
    }
    let encoder = SentenceEncoder::open(
        flags::model_path(args),
        flags::policy(args, Held::AsStored),
        &device::of(args)?,
    )?;
    let (a, b) = (encoder.embed(&hypotheses.texts())?, encoder.embed(&references.texts())?);
    let cosines = a.iter().zip(&b).map(|(a, b)| cosine(&a.vector, &b.vector));
    Ok(vec![("mean cosine".into(), cosines.sum::<f64>() / a.len() as f64)])
}

fn variety(metric: &str, args: &ArgMatches) -> Result<Vec<Row>, Failure> {
    let hypotheses = hypotheses(args)?;
    let words: Vec<Vec<String>> = hypotheses.texts().into_iter().map(tokens::lower_words).collect();
    let words: Vec<&[String]> = words.iter().map(Vec::as_slice).collect();
    let share = if metric == "distinct" { diversity::distinct } else { diversity::repeated };
    // A text that is too short for any run of n words has no share.
    Ok((1..=4).map(|n| (format!("{metric}-{n}"), share(&words, n).unwrap_or(f64::NAN))).collect())
}
