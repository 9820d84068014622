//! `warpsmith eval`: how well a model predicts a text, or with `--metric` how good answers are.

mod score;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use warpsmith::text::Corpus;
use warpsmith::train::{Evaluation, evaluate_text};

use super::{Failure, device, flags, table, texts};

/// The flags.
pub fn command() -> Command {
    Command::new("eval")
        .about(
            "Loss, perplexity and bits per byte of a text under a model; BLEU, F1 and their kin of answers",
        )
        .after_help(
            "The gap between domains, of a model that was trained on A: its loss on a part of A that it has not seen, and on B. A \
             vocabulary of bytes or byte pairs reads both.\n  \
             warpsmith train --data a-train.txt --tokenizer bpe:1000 --out run\n  \
             warpsmith eval --model run --data a-test.txt --data b.txt",
        )
        .arg(flags::decoder().required(false).required_unless_present("metric"))
        .arg(device::arg())
        .arg(flags::dtype())
        .arg(
            Arg::new("data")
                .long("data")
                .value_name("FILE")
                .action(ArgAction::Append)
                .required_unless_present("metric")
                .help("Text file or folder, `-` for standard input; several are set beside the first."),
        )
        .arg(
            Arg::new("context")
                .long("context")
                .value_name("N")
                .value_parser(value_parser!(usize))
                .help("Window in tokens [default: the model's context]."),
        )
        .arg(
            Arg::new("stride")
                .long("stride")
                .value_name("N")
                .value_parser(value_parser!(usize))
                .help("Tokens by which the window moves [default: the window]."),
        )
        .args(score::args())
        .arg(flags::json("Print one JSON object."))
}

/// `warpsmith eval`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    if args.contains_id("metric") {
        return score::run(args);
    }
    let folder = flags::open(args)?;
    let limit = folder.model.context();
    let context = args.get_one("context").copied().unwrap_or(limit);
    if !(1..=limit).contains(&context) {
        return Err(Failure::Usage(format!(
            "--context must be in 1..={limit}, the model's context; got {context}"
        )));
    }
    let stride = args.get_one("stride").copied().unwrap_or(context);
    let names: Vec<&str> =
        args.get_many::<String>("data").into_iter().flatten().map(String::as_str).collect();
    // What is no text says so before anything is computed.
    let corpora = names.iter().map(|name| texts::read(name)).collect::<Result<Vec<_>, Failure>>()?;
    let of = |(name, corpus): (&&str, &Corpus)| {
        let found = evaluate_text(&*folder.model, &folder.tokenizer, corpus.text(), context, stride);
        // One text needs no name.
        found.map_err(|error| {
            if names.len() > 1 { Failure::Failed(format!("{name}: {error}")) } else { error.into() }
        })
    };
    let found = names.iter().zip(&corpora).map(of).collect::<Result<Vec<Evaluation>, Failure>>()?;
    match (&found[..], args.get_flag("json")) {
        ([one], true) => say!("{}", serde_json::to_string(one)?),
        ([one], false) => tell(one),
        (several, true) => {
            for (name, found) in names.iter().zip(several) {
                let mut told = serde_json::to_value(found)?;
                told["data"] = (*name).into();
                told["gap_in_bits_per_byte"] = gap(found, several).into();
                say!("{told}")?;
            }
            Ok(())
        }
        (several, false) => put!("{}", domains(&names, several)),
    }
}

fn tell(found: &Evaluation) -> Result<(), Failure> {
    say!("loss           {:.6} nats per token", found.loss)?;
    say!(
        "perplexity     {:.4} per token, {:.4} per byte, {:.4} per word ({} words; a Han character or kana is one)",
        found.perplexity,
        found.perplexity_per_byte,
        found.perplexity_per_word,
        found.words
    )?;
    say!("bits per byte  {:.6}", found.bits_per_byte)?;
    say!(
        "normaliser     {} scored tokens ({} bytes) behind {}; context {}, stride {}",
        found.tokens,
        found.bytes,
        if found.bos { "a start token" } else { "the first" },
        found.context,
        found.stride
    )
}

/// By how much a text is harder than the first.
fn gap(found: &Evaluation, all: &[Evaluation]) -> f64 {
    found.bits_per_byte - all.first().map_or(0.0, |first| first.bits_per_byte)
}

/// Several texts in a table: the first is the one that the others are held against.
fn domains(names: &[&str], all: &[Evaluation]) -> String {
    let head = [
        "text",
        "bits per byte",
        "gap",
        "loss (nats per token)",
        "perplexity per token",
        "per word",
        "scored tokens",
        "bytes",
    ];
    let row = |(name, found): (&&str, &Evaluation)| {
        vec![
            name.to_string(),
            format!("{:.4}", found.bits_per_byte),
            format!("{:+.4}", gap(found, all)),
            format!("{:.4}", found.loss),
            format!("{:.4}", found.perplexity),
            format!("{:.4}", found.perplexity_per_word),
            found.tokens.to_string(),
            found.bytes.to_string(),
        ]
    };
    let rows = names.iter().zip(all).map(row).collect();
    let table = table::markdown(head.map(String::from).to_vec(), rows);
    let how = all
        .first()
        .map_or(String::new(), |first| format!("context {}, stride {}", first.context, first.stride));
    format!("{table}\nThe gap is in bits per byte, to the first text; {how}.\n")
}
