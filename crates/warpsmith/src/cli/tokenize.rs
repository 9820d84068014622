//! `warpsmith tokenize`: the tokens of texts.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::Serialize;
use warpsmith::train::folder::read_tokenizer;

use super::{Failure, flags};

/// The flags.
pub fn command() -> Command {
    Command::new("tokenize")
        .about("The tokens of texts")
        .arg(flags::model("Model folder, GGUF file or tokenizer.json.").value_name("DIR|FILE"))
        .arg(
            Arg::new("special")
                .long("special")
                .action(ArgAction::SetTrue)
                .help("With the special tokens that a model wants around a text."),
        )
        .arg(flags::json("Print one JSON object for each text."))
        .arg(
            Arg::new("texts")
                .value_name("TEXT")
                .num_args(0..)
                .allow_hyphen_values(true)
                .help("Texts; without any, the lines of standard input."),
        )
}

/// A text as `--json` tells of it.
#[derive(Serialize)]
struct Told<'a> {
    text: &'a str,
    ids: &'a [u32],
    /// As the vocabulary spells them.
    tokens: Vec<String>,
}

/// `warpsmith tokenize`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let tokenizer = read_tokenizer(flags::model_path(args))?;
    for text in flags::texts(args)? {
        let ids = match args.get_flag("special") {
            true => tokenizer.encode_with_special_tokens(&text)?,
            false => tokenizer.encode(&text)?,
        };
        let tokens: Vec<String> =
            ids.iter().map(|&id| tokenizer.id_to_token(id).unwrap_or_default()).collect();
        match args.get_flag("json") {
            true => {
                let line = serde_json::to_string(&Told { text: &text, ids: &ids, tokens })?;
                say!("{line}")?;
            }
            false => {
                let pairs: Vec<String> =
                    ids.iter().zip(&tokens).map(|(id, token)| format!("{id} {token:?}")).collect();
                say!("{}", pairs.join("  "))?;
            }
        }
    }
    Ok(())
}
