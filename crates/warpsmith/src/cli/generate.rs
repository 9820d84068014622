//! `warpsmith generate`: writes on from a prompt, as it goes, or finds the likeliest texts.

pub mod flags;

use std::io::Write;

use clap::ArgMatches;
use serde::Serialize;
use warpsmith::generate::write;
use warpsmith::model::{BeamSearch, Decoder, Sampling, Stop};
use warpsmith::tensor::Seed;
use warpsmith::text::{StopStrings, Tokenizer};
use warpsmith::train::ModelFolder;

use super::Failure;
pub use flags::command;
use flags::{Way, way};

/// A text as `--json` tells of it.
#[derive(Serialize)]
struct Told<'a> {
    prompt: &'a str,
    text: &'a str,
    /// Its tokens; one that ended the text is not among them.
    tokens: &'a [u32],
    /// `length`, `eos` (a token ended it) or `stop` (a string did).
    finish_reason: &'a str,
    /// What it was drawn from, if it was.
    seed: Option<u64>,
    /// Its log-probability over its length to the length penalty, if it was searched for.
    score: Option<f32>,
}

/// What is written, and to whom.
struct Output<'a> {
    out: std::io::StdoutLock<'a>,
    prompt: &'a str,
    json: bool,
    count: usize,
}

impl Output<'_> {
    /// Begins a text: the prompt, behind a line if there was another.
    fn begin(&mut self) -> bool {
        let is_first = self.count == 0;
        self.count += 1;
        let line = if is_first { String::new() } else { format!("\n{}\n", "-".repeat(72)) };
        self.piece(&line) && self.piece(self.prompt)
    }

    /// Writes a piece of a text. A reader that went away (`| head`) is no error: it has what it wanted.
    fn piece(&mut self, text: &str) -> bool {
        self.json || self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).is_ok()
    }

    /// Ends a text.
    fn end(&mut self, told: &Told<'_>) -> Result<(), Failure> {
        if self.json {
            let line = serde_json::to_string(told)?;
            writeln!(self.out, "{line}").or_else(ignore_closed)?;
        }
        Ok(())
    }
}

/// A reader that went away has what it wanted.
pub fn ignore_closed(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

/// `warpsmith generate`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let way = way(args)?;
    let stops = args.get_many::<String>("stop").into_iter().flatten();
    let stops = StopStrings::new(stops).map_err(|e| Failure::Usage(e.to_string()))?;
    let folder = super::flags::open(args)?;
    let prompt = args.get_one::<String>("prompt").map_or("\n", String::as_str);
    let prompt = match prompt.strip_prefix("FILE:") {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|e| Failure::Failed(format!("cannot read {path}: {e}")))?
        }
        None => prompt.to_string(),
    };
    let out = std::io::stdout().lock();
    let mut out = Output { out, prompt: &prompt, json: args.get_flag("json"), count: 0 };
    match way {
        Way::Draw(sampling) => {
            eprintln!("sampler: {}", sampling.steps());
            let count = args.get_one("num_return_sequences").copied().unwrap_or(1usize);
            for i in 0..count as u64 {
                let seed = Seed(sampling.seed.0.wrapping_add(i));
                draw(&folder, &Sampling { seed, ..sampling.clone() }, stops.clone(), &mut out)?;
            }
        }
        Way::Search(how) => {
            eprintln!("search: {}", how.steps());
            search(&folder, &how, &mut out)?;
        }
    }
    if !out.json {
        writeln!(out.out).or_else(ignore_closed)?;
    }
    Ok(())
}

/// Writes one text, token by token.
fn draw(
    folder: &ModelFolder,
    sampling: &Sampling,
    mut stops: StopStrings,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let ids = folder.tokenizer.encode_with_special_tokens(out.prompt)?;
    let decoder = Decoder::new(&*folder.model, &ids, sampling, &folder.ends)?;
    if !out.begin() {
        return Ok(());
    }
    let (mut text, mut is_stopped) = (String::new(), false);
    let shown = folder.tokenizer.encode(out.prompt)?;
    let written = write(decoder, &folder.tokenizer, &shown, &mut |piece| {
        let checked = stops.push(piece);
        text.push_str(&checked.text);
        is_stopped = checked.is_stopped;
        out.piece(&checked.text) && !is_stopped
    })?;
    if written.stop.is_some() {
        let rest = stops.finish();
        out.piece(&rest);
        text.push_str(&rest);
    }
    let finish_reason = match written.stop {
        _ if is_stopped => "stop",
        Some(Stop::EndOfSequence) => "eos",
        Some(Stop::Length) => "length",
        // The reader went away.
        None => return Ok(()),
    };
    let (prompt, seed) = (out.prompt, Some(sampling.seed.0));
    out.end(&Told { prompt, text: &text, tokens: &written.tokens, finish_reason, seed, score: None })
}

/// Finds the likeliest texts.
fn search(folder: &ModelFolder, how: &BeamSearch, out: &mut Output<'_>) -> Result<(), Failure> {
    let ids = folder.tokenizer.encode_with_special_tokens(out.prompt)?;
    let shown = folder.tokenizer.encode(out.prompt)?;
    for found in how.run(&*folder.model, &ids, &folder.ends)? {
        let (tokens, finish_reason) = match found.tokens.split_last() {
            Some((last, rest)) if folder.ends.contains(last) => (rest, "eos"),
            _ => (&found.tokens[..], "length"),
        };
        let text = text_after(&folder.tokenizer, &shown, tokens)?;
        if !(out.begin() && out.piece(&text)) {
            return Ok(());
        }
        let prompt = out.prompt;
        out.end(&Told { prompt, text: &text, tokens, finish_reason, seed: None, score: Some(found.score) })?;
    }
    Ok(())
}

/// The text of tokens that go on from others.
fn text_after(tokenizer: &Tokenizer, shown: &[u32], tokens: &[u32]) -> Result<String, Failure> {
    let mut stream = tokenizer.stream_after(shown);
    let mut text = String::new();
    for &token in tokens {
        text.extend(stream.push(token)?);
    }
    text.extend(stream.finish()?);
    Ok(text)
}
