//! `warpsmith eval`: how well a model predicts a text, or with `--metric` how good answers are.

mod score;

use clap::{Arg, ArgMatches, Command, value_parser};
use warpsmith::text::Corpus;
use warpsmith::train::evaluate_text;

use super::{Failure, device, flags};

/// The flags.
pub fn command() -> Command {
    Command::new("eval")
        .about(
            "Loss, perplexity and bits per byte of a text under a model; BLEU, F1 and their kin of answers",
        )
        .arg(flags::decoder().required(false).required_unless_present("metric"))
        .arg(device::arg())
        .arg(
            Arg::new("data")
                .long("data")
                .value_name("FILE")
                .required_unless_present("metric")
                .help("Text file or folder, `-` for standard input."),
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
    let data = args.get_one::<String>("data").map_or("", String::as_str);
    let corpus = match data {
        "-" => Corpus::from_reader(std::io::stdin().lock(), "-")?,
        path => Corpus::from_path(path)?,
    };
    let limit = folder.model.context();
    let context = args.get_one("context").copied().unwrap_or(limit);
    if !(1..=limit).contains(&context) {
        return Err(Failure::Usage(format!(
            "--context must be in 1..={limit}, the model's context; got {context}"
        )));
    }
    let stride = args.get_one("stride").copied().unwrap_or(context);
    let result = evaluate_text(&*folder.model, &folder.tokenizer, corpus.text(), context, stride)?;
    if args.get_flag("json") {
        let json = serde_json::to_string(&result)?;
        println!("{json}");
        return Ok(());
    }
    println!("loss           {:.6} nats per token", result.loss);
    println!(
        "perplexity     {:.4} per token, {:.4} per word ({} words; a Han character or kana is one)",
        result.perplexity, result.perplexity_per_word, result.words
    );
    println!("bits per byte  {:.6}", result.bits_per_byte);
    println!(
        "normaliser     {} scored tokens ({} bytes) behind {}; context {}, stride {}",
        result.tokens,
        result.bytes,
        if result.bos { "a start token" } else { "the first" },
        result.context,
        result.stride
    );
    Ok(())
}
