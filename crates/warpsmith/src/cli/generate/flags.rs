//! The flags of `warpsmith generate`, named as Hugging Face's `generate` names them, and what they ask for together.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use warpsmith::model::{BeamSearch, EarlyStopping, Penalties, Sampling};
use warpsmith::tensor::Seed;
use warpsmith::text::{Corpus, StopStrings};

use super::Failure;
use super::writer::LongPrompt;
use crate::cli::{device, flags};

/// What the flags ask for.
pub enum Way {
    /// Tokens drawn one by one.
    Draw(Sampling),
    /// The likeliest texts.
    Search(BeamSearch),
}

/// All that is asked for.
pub struct Asked {
    pub way: Way,
    pub prompts: Vec<String>,
    pub stops: StopStrings,
    /// How many texts behind each prompt, if they are drawn.
    pub count: usize,
    pub batch_size: usize,
    pub long_prompt: LongPrompt,
    /// Whether log-probabilities are told, and of how many of the likeliest tokens.
    pub top_logprobs: Option<usize>,
    pub prompt_logprobs: bool,
}

/// The flags that a search has no use for.
const OF_DRAWS: [&str; 7] = ["temperature", "top_k", "top_p", "min_p", "typical_p", "seed", "stop"];
/// The flags that only a search has a use for.
const OF_SEARCHES: [&str; 2] = ["length_penalty", "early_stopping"];

/// The command.
pub fn command() -> Command {
    Command::new("generate")
        .about("Writes on from a prompt")
        .after_help(format!("The sampler's steps, in order: {}.", Sampling::order()))
        .arg(flags::decoder())
        .arg(device::arg())
        .arg(flags::dtype())
        .args(prompts())
        .args(choices())
        .args(penalties())
        .args(searches())
        .args(told())
        .arg(flags::json("Print one JSON object for each text."))
}

fn prompts() -> [Arg; 4] {
    [
        flag(
            "prompt",
            "TEXT|FILE:PATH",
            "What to write on from, or to answer; FILE:PATH reads it from a file; may be given several times.",
        )
        .action(ArgAction::Append),
        flag("prompts", "FILE", "A prompt on each line.").conflicts_with("prompt"),
        count("batch_size", "How many texts are written at a time [default: 8]."),
        flag(
            "long_prompt",
            "refuse|truncate|slide",
            "What becomes of a prompt that the model cannot see whole: an error; its start is left out, so that prompt and \
             text fit; or the model goes on over the newest half of what it sees [default: refuse].",
        )
        .value_parser(LongPrompt::from_name),
    ]
}

fn told() -> [Arg; 3] {
    [
        switch(
            "logprobs",
            "Tells the log-probability of each token, before penalties, temperature and cuts (--json).",
        ),
        count("top_logprobs", "The same of the N likeliest tokens in its place (--json)."),
        switch("prompt_logprobs", "The same of the prompt's tokens (--json)."),
    ]
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).alias(name.replace('_', "-")).action(ArgAction::SetTrue).help(help)
}

fn flag(name: &'static str, value: &'static str, help: impl Into<String>) -> Arg {
    Arg::new(name).long(name).alias(name.replace('_', "-")).value_name(value).help(help.into())
}

fn real(name: &'static str, help: impl Into<String>) -> Arg {
    flag(name, "X", help).value_parser(value_parser!(f64))
}

fn count(name: &'static str, help: impl Into<String>) -> Arg {
    flag(name, "N", help).value_parser(value_parser!(usize))
}

fn choices() -> [Arg; 10] {
    let default = Sampling::default();
    [
        count("max_new_tokens", format!("Tokens to write at most [default: {}].", default.max_new_tokens)),
        flag("do_sample", "true|false", "false: always the likeliest token, as --temperature 0.")
            .value_parser(value_parser!(bool)),
        real("temperature", format!("0 takes the likeliest token [default: {}].", default.temperature)),
        count("top_k", "Only the N likeliest tokens; 0: all."),
        real("top_p", "Only the likeliest tokens that together reach this probability."),
        real("min_p", "Only tokens with this share of the likeliest one's probability."),
        real(
            "typical_p",
            "Only tokens of nearly the expected surprise, that together reach this probability.",
        ),
        flag("seed", "N", format!("The same seed writes the same text [default: {}].", default.seed.0))
            .value_parser(value_parser!(u64)),
        count("num_return_sequences", "How many texts: the i-th uses seed + i; of a search the best.")
            .visible_alias("num_samples"),
        flag("stop", "TEXT", "The text ends before this; may be given several times.")
            .alias("stop_strings")
            .action(ArgAction::Append),
    ]
}

/// The flags of a command that draws one text.
pub fn of_draws() -> impl Iterator<Item = Arg> {
    let is_for_one = |arg: &Arg| !["num_return_sequences", "stop"].contains(&arg.get_id().as_str());
    choices().into_iter().filter(is_for_one).chain(penalties())
}

fn penalties() -> [Arg; 5] {
    [
        real("repetition_penalty", "Above 1: avoids the tokens of prompt and text."),
        real("presence_penalty", "Taken from the logits of the text's tokens."),
        real(
            "frequency_penalty",
            "Taken from the logits of the text's tokens, once for each time they came.",
        ),
        count("no_repeat_ngram_size", "No run of N tokens comes twice; 0: any may."),
        flag(
            "logit_bias",
            "ID:X",
            "Added to the logit of a token, -inf forbids it; may be given several times.",
        )
        .value_parser(bias)
        .action(ArgAction::Append),
    ]
}

fn searches() -> [Arg; 3] {
    let default = BeamSearch::default();
    [
        count("num_beams", "Above 1: the likeliest texts, following so many at a time [default: 1]."),
        real(
            "length_penalty",
            format!("A text's score is its log-probability over its length to this power [default: {}].", default.length_penalty),
        ),
        flag(
            "early_stopping",
            "true|false|never",
            "true: ends once as many texts as beams are found; never: once no better can come [default: false].",
        )
        .value_parser(early_stopping),
    ]
}

fn bias(word: &str) -> Result<(u32, f32), String> {
    let parts = word.split_once(':').and_then(|(id, bias)| Some((id.parse().ok()?, bias.parse().ok()?)));
    parts.ok_or_else(|| "write ID:X, a token's id and a number".into())
}

fn early_stopping(word: &str) -> Result<EarlyStopping, String> {
    match word {
        "true" => Ok(EarlyStopping::AsSoonAsFull),
        "false" => Ok(EarlyStopping::Heuristic),
        "never" => Ok(EarlyStopping::Never),
        _ => Err("write true, false or never".into()),
    }
}

/// What the flags ask for.
pub fn asked(args: &ArgMatches) -> Result<Asked, Failure> {
    let way = way(args)?;
    let stops = args.get_many::<String>("stop").into_iter().flatten();
    let stops = StopStrings::new(stops).map_err(|e| Failure::Usage(e.to_string()))?;
    let (logprobs, prompt_logprobs) = (args.get_flag("logprobs"), args.get_flag("prompt_logprobs"));
    let top: Option<usize> = args.get_one("top_logprobs").copied();
    let is_told = logprobs || prompt_logprobs || top.is_some();
    if is_told && !args.get_flag("json") {
        return Err(Failure::Usage("log-probabilities are told as JSON: add --json".into()));
    }
    if is_told && matches!(way, Way::Search(_)) {
        return Err(Failure::Usage(
            "log-probabilities are told of texts that are drawn, not of a search".into(),
        ));
    }
    let batch_size = args.get_one("batch_size").copied().unwrap_or(8);
    let count = args.get_one("num_return_sequences").copied().unwrap_or(1);
    for (name, number) in [("batch_size", batch_size), ("num_return_sequences", count)] {
        if number == 0 {
            return Err(Failure::Usage(format!("--{name} must be at least 1")));
        }
    }
    Ok(Asked {
        way,
        prompts: read_prompts(args)?,
        stops,
        count,
        batch_size,
        long_prompt: args.get_one("long_prompt").copied().unwrap_or_default(),
        top_logprobs: (logprobs || top.is_some()).then(|| top.unwrap_or(0)),
        prompt_logprobs,
    })
}

/// The prompts: a line break if none is given.
fn read_prompts(args: &ArgMatches) -> Result<Vec<String>, Failure> {
    let read = |path: &str| Ok::<_, Failure>(Corpus::from_path(path)?.text().to_string());
    if let Some(path) = args.get_one::<String>("prompts") {
        let prompts: Vec<String> = read(path)?.lines().map(Into::into).collect();
        return match prompts.is_empty() {
            true => Err(Failure::Failed(format!("{path} has no line"))),
            false => Ok(prompts),
        };
    }
    let given = args.get_many::<String>("prompt").into_iter().flatten();
    let text = |prompt: &String| match prompt.strip_prefix("FILE:") {
        Some(path) => read(path),
        None => Ok(prompt.clone()),
    };
    let prompts = given.map(text).collect::<Result<Vec<_>, _>>()?;
    Ok(if prompts.is_empty() { vec!["\n".into()] } else { prompts })
}

/// How the texts are found.
fn way(args: &ArgMatches) -> Result<Way, Failure> {
    let number = |name: &str, default: f64| args.get_one(name).copied().unwrap_or(default);
    let count = |name: &str, default: usize| args.get_one(name).copied().unwrap_or(default);
    let num_beams = count("num_beams", 1);
    let is_search = num_beams != 1;
    let given = |names: &[&'static str]| names.iter().copied().find(|name| args.contains_id(name));
    if let Some(name) = given(if is_search { &OF_DRAWS } else { &OF_SEARCHES }) {
        return Err(Failure::Usage(match is_search {
            true => format!("--{name} is for texts drawn token by token: leave it out, or --num_beams"),
            false => format!("--{name} is for a search: give --num_beams above 1 with it"),
        }));
    }
    let do_sample: Option<bool> = args.get_one("do_sample").copied();
    let way = match is_search {
        true => Way::Search(BeamSearch {
            num_beams,
            max_new_tokens: count("max_new_tokens", Sampling::default().max_new_tokens),
            length_penalty: number("length_penalty", 1.0),
            early_stopping: args.get_one("early_stopping").copied().unwrap_or_default(),
            num_return_sequences: count("num_return_sequences", 1),
            penalties: penalties_of(args),
        }),
        false => Way::Draw(sampling(args)?),
    };
    let valid = match &way {
        Way::Draw(sampling) => sampling.validate(),
        Way::Search(_) if do_sample == Some(true) => {
            return Err(Failure::Usage(
                "--num_beams searches and does not draw: leave out --do_sample".into(),
            ));
        }
        Way::Search(search) => search.validate(),
    };
    valid.map(|()| way).map_err(|e| Failure::Usage(e.to_string()))
}

/// How the flags want tokens to be drawn.
pub fn sampling(args: &ArgMatches) -> Result<Sampling, Failure> {
    let number = |name: &str, default: f64| args.get_one(name).copied().unwrap_or(default);
    let count = |name: &str, default: usize| args.get_one(name).copied().unwrap_or(default);
    let (default, do_sample) = (Sampling::default(), args.get_one::<bool>("do_sample").copied());
    let temperature = if do_sample == Some(false) { 0.0 } else { default.temperature };
    let temperature = number("temperature", temperature);
    if do_sample.is_some_and(|drawn| drawn != (temperature > 0.0)) {
        let told = format!("--do_sample and --temperature {temperature} contradict each other");
        return Err(Failure::Usage(told));
    }
    Ok(Sampling {
        max_new_tokens: count("max_new_tokens", default.max_new_tokens),
        temperature,
        top_k: count("top_k", default.top_k),
        top_p: number("top_p", default.top_p),
        min_p: number("min_p", default.min_p),
        typical_p: number("typical_p", default.typical_p),
        penalties: penalties_of(args),
        seed: Seed(args.get_one("seed").copied().unwrap_or(default.seed.0)),
    })
}

/// Fails if a flag names a token that a model of so many does not have.
pub fn check_tokens(args: &ArgMatches, known: usize) -> Result<(), Failure> {
    match penalties_of(args).logit_bias.into_keys().find(|&id| id as usize >= known) {
        Some(id) => {
            Err(Failure::Usage(format!("--logit_bias {id}: the model has the tokens 0 to {}", known - 1)))
        }
        None => Ok(()),
    }
}

fn penalties_of(args: &ArgMatches) -> Penalties {
    let default = Penalties::default();
    let number = |name: &str, default: f64| args.get_one(name).copied().unwrap_or(default);
    let biases = args.get_many::<(u32, f32)>("logit_bias").into_iter().flatten();
    Penalties {
        logit_bias: biases.copied().collect::<BTreeMap<_, _>>(),
        repetition_penalty: number("repetition_penalty", default.repetition_penalty),
        presence_penalty: number("presence_penalty", default.presence_penalty),
        frequency_penalty: number("frequency_penalty", default.frequency_penalty),
        no_repeat_ngram_size: args.get_one("no_repeat_ngram_size").copied().unwrap_or(0),
    }
}
