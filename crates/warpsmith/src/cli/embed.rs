//! `warpsmith embed`: a vector for each text, by a model that reads it, and how near the texts are to each other.

use clap::{Arg, ArgMatches, Command};
use serde::Serialize;
use warpsmith::metrics::similarity::cosine;
use warpsmith::model::{Held, Pooling};
use warpsmith::train::{Embedding, SentenceEncoder};

use super::failure::require_numbers;
use super::{Failure, device, flags};

/// The flags.
pub fn command() -> Command {
    Command::new("embed")
        .about("Vectors of texts, and the cosine between each two of them")
        .arg(flags::model("Folder or GGUF file of a BERT, a GPT-2 or a model of Llama's kind."))
        .arg(device::arg())
        .arg(flags::dtype())
        .arg(
            Arg::new("pooling")
                .long("pooling")
                .value_name("mean|first|last")
                .value_parser(pooling)
                .help("From which hidden states a vector comes [default: what the model says, or mean]."),
        )
        .arg(
            Arg::new("prompt_name")
                .long("prompt_name")
                .alias("prompt-name")
                .value_name("NAME")
                .help("Which of the model's prompts stands before each text, such as query [default: what the model says]."),
        )
        .arg(
            Arg::new("prompt")
                .long("prompt")
                .value_name("TEXT")
                .conflicts_with("prompt_name")
                .help("What stands before each text; empty for nothing."),
        )
        .arg(flags::json("Print one JSON object for each text, with its vector."))
        .arg(
            Arg::new("texts")
                .value_name("TEXT")
                .num_args(0..)
                .help("Texts; without any, the lines of standard input."),
        )
}

fn pooling(word: &str) -> Result<Pooling, String> {
    match word {
        "mean" => Ok(Pooling::Mean),
        // The names of sentence-transformers, too.
        "first" | "cls" => Ok(Pooling::First),
        "last" | "lasttoken" => Ok(Pooling::Last),
        _ => Err("write mean, first (or cls) or last (or lasttoken)".into()),
    }
}

/// A text as `--json` tells of it.
#[derive(Serialize)]
struct Told<'a> {
    text: &'a str,
    tokens: usize,
    cut: usize,
    embedding: &'a [f32],
}

/// `warpsmith embed`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let mut encoder = SentenceEncoder::open(
        flags::model_path(args),
        flags::policy(args, Held::AsStored),
        &device::of(args)?,
    )?;
    if let Some(pooling) = args.get_one("pooling") {
        encoder.pooling = *pooling;
    }
    if let Some(name) = args.get_one::<String>("prompt_name") {
        encoder.prompt = encoder.prompts.get(name)?.to_owned();
    }
    if let Some(prompt) = args.get_one::<String>("prompt") {
        encoder.prompt.clone_from(prompt);
    }
    let texts = flags::texts(args)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let found = encoder.embed(&texts)?;
    require_numbers(texts.iter().zip(found.iter().map(|one| &one.vector[..])))?;
    for (text, found) in texts.iter().zip(&found).filter(|(_, found)| found.cut > 0) {
        let start: String = text.chars().take(40).collect();
        note!("note: {} tokens of `{start}…` were cut off: the model reads {}", found.cut, found.tokens);
    }
    match args.get_flag("json") {
        true => texts.iter().zip(&found).try_for_each(|(text, found)| {
            let told = Told { text, tokens: found.tokens, cut: found.cut, embedding: &found.vector };
            say!("{}", serde_json::to_string(&told)?)
        }),
        false => table(&texts, &found),
    }
}

/// A row for each text: its number of tokens, its cosines with all texts, and how it begins.
fn table(texts: &[&str], found: &[Embedding]) -> Result<(), Failure> {
    say!("tokens  cosines with text {}", (1..=texts.len()).map(|i| format!("{i:<7}")).collect::<String>())?;
    for (text, one) in texts.iter().zip(found) {
        let row: String =
            found.iter().map(|other| format!("{:8.4}", cosine(&one.vector, &other.vector))).collect();
        say!("{:>6} {row}  {text}", one.tokens)?;
    }
    Ok(())
}
