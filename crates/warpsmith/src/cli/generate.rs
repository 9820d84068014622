//! `warpsmith generate`: writes on from prompts, as it goes, or finds the likeliest texts; a T5 or a Marian answers its prompts.

pub mod flags;
mod output;
mod writer;

use clap::ArgMatches;
use warpsmith::generate::write;
use warpsmith::model::{
    BeamSearch, Completion, Decoder, Found, Request, Sampling, Stop, TokenLogProb, complete,
};
use warpsmith::tensor::Seed;
use warpsmith::text::{StopStrings, StreamDecoder, Tokenizer};

use super::Failure;
pub use flags::command;
use flags::{Asked, Way};
use output::{Output, Told, told};
use writer::{Start, Writer};

/// `warpsmith generate`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let asked = flags::asked(args)?;
    let writer = Writer::open(args)?;
    flags::check_tokens(args, writer.vocab_size())?;
    let mut out = Output::new(args.get_flag("json"));
    match &asked.way {
        Way::Draw(sampling) => {
            note!("sampler: {}", sampling.steps());
            let jobs: Vec<(&str, Sampling)> =
                asked.prompts.iter().flat_map(|p| jobs(p, sampling, asked.count)).collect();
            match &jobs[..] {
                [(prompt, sampling)] => draw(&writer, &asked, prompt, sampling, &mut out)?,
                _ => draw_together(&writer, &asked, &jobs, &mut out)?,
            }
        }
        Way::Search(how) => {
            note!("search: {}", how.steps());
            // A prompt is as many texts as it has beams.
            let chunks = asked.prompts.chunks((asked.batch_size / how.num_beams.max(1)).max(1));
            chunks.into_iter().try_for_each(|prompts| search(&writer, &asked, prompts, how, &mut out))?;
        }
    }
    out.finish()
}

/// The texts that are asked for behind a prompt: the i-th has the seed that is i larger.
fn jobs<'a>(prompt: &'a str, sampling: &Sampling, count: usize) -> impl Iterator<Item = (&'a str, Sampling)> {
    let with = move |i: u64| Sampling { seed: Seed(sampling.seed.0.wrapping_add(i)), ..sampling.clone() };
    (0..count as u64).map(with).map(move |sampling| (prompt, sampling)).collect::<Vec<_>>().into_iter()
}

/// Writes one text, token by token.
fn draw(
    writer: &Writer,
    asked: &Asked,
    prompt: &str,
    sampling: &Sampling,
    out: &mut Output,
) -> Result<(), Failure> {
    let (start, model) = writer.start(prompt, sampling.max_new_tokens, asked.long_prompt)?;
    let mut decoder = Decoder::new(model.causal(), &start.ids, sampling, writer.ends())?;
    if let Some(top) = asked.top_logprobs {
        decoder = decoder.telling(top);
    }
    out.begin(start.echo)?;
    let (mut text, mut is_stopped, mut stops) = (String::new(), false, asked.stops.clone());
    let mut reader = Ok(());
    let written = write(&mut decoder, writer.tokenizer(), &start.shown, &mut |piece| {
        let checked = stops.push(piece);
        text.push_str(&checked.text);
        is_stopped = checked.is_stopped;
        reader = out.piece(&checked.text);
        reader.is_ok() && !is_stopped
    })?;
    if written.stop.is_some() {
        let rest = stops.finish();
        out.piece(&rest)?;
        text.push_str(&rest);
    }
    let stop = match written.stop {
        _ if is_stopped => None,
        // The reader went away, or the disk is full.
        None => return reader,
        stop => stop,
    };
    let tokenizer = writer.tokenizer();
    out.end(&Told {
        prompt,
        text: &text,
        tokens: &written.tokens,
        finish_reason: reason(stop),
        seed: Some(sampling.seed.0),
        score: None,
        logprobs: asked.top_logprobs.map(|_| told(&written.log_probs, tokenizer)),
        prompt_logprobs: prompt_logprobs(writer, asked, &start.ids)?,
    })
}

/// Why a text ended; without a reason of the decoder's, a string ended it.
fn reason(stop: Option<Stop>) -> &'static str {
    match stop {
        None => "stop",
        Some(Stop::EndOfSequence) => "eos",
        Some(Stop::Length) => "length",
    }
}

/// What the model thinks of the prompt, if that is asked for.
fn prompt_logprobs(
    writer: &Writer,
    asked: &Asked,
    ids: &[u32],
) -> Result<Option<Vec<output::ToldToken>>, Failure> {
    if !asked.prompt_logprobs {
        return Ok(None);
    }
    let model = writer.decoder().ok_or_else(|| {
        Failure::Failed("--prompt_logprobs: a model that answers its prompt gives it no probabilities".into())
    })?;
    let found = TokenLogProb::of_prompt(model, ids, asked.top_logprobs.unwrap_or(0))?;
    Ok(Some(told(&found, writer.tokenizer())))
}

/// Writes several texts, a batch at a time, and tells of each when its batch is done.
fn draw_together(
    writer: &Writer,
    asked: &Asked,
    jobs: &[(&str, Sampling)],
    out: &mut Output,
) -> Result<(), Failure> {
    for jobs in jobs.chunks(asked.batch_size) {
        let prompts: Vec<(&str, usize)> = jobs.iter().map(|(p, how)| (*p, how.max_new_tokens)).collect();
        let (starts, model) = writer.start_together(&prompts, asked.long_prompt)?;
        let text = |start: &Start<'_>| Text::new(writer.tokenizer(), &start.shown, asked.stops.clone());
        let mut texts: Vec<Text> = starts.iter().map(text).collect();
        let request = |(start, (_, sampling)): (&Start<'_>, &(&str, Sampling))| Request {
            prompt: start.ids.clone(),
            sampling: sampling.clone(),
        };
        let requests: Vec<Request> = starts.iter().zip(jobs).map(request).collect();
        let mut failed = None;
        let done =
            complete(model.causal(), &requests, writer.ends(), asked.top_logprobs, &mut |i, token| {
                texts[i].push(token).unwrap_or_else(|failure| {
                    failed = Some(failure);
                    false
                })
            })?;
        if let Some(failure) = failed {
            return Err(failure);
        }
        for (i, completion) in done.iter().enumerate() {
            let (prompt, sampling) = &jobs[i];
            let Completion { tokens, log_probs, stop } = completion;
            texts[i].finish(stop.is_some())?;
            let Text { text, is_stopped, .. } = &texts[i];
            out.begin(starts[i].echo)?;
            out.piece(text)?;
            out.end(&Told {
                prompt,
                text,
                tokens,
                finish_reason: reason(stop.filter(|_| !is_stopped)),
                seed: Some(sampling.seed.0),
                score: None,
                logprobs: asked.top_logprobs.map(|_| told(log_probs, writer.tokenizer())),
                prompt_logprobs: prompt_logprobs(writer, asked, &starts[i].ids)?,
            })?;
        }
    }
    Ok(())
}

/// A text that grows by tokens until a stop string comes.
struct Text {
    stream: StreamDecoder,
    stops: StopStrings,
    text: String,
    is_stopped: bool,
}

impl Text {
    fn new(tokenizer: &Tokenizer, shown: &[u32], stops: StopStrings) -> Self {
        Self { stream: tokenizer.stream_after(shown), stops, text: String::new(), is_stopped: false }
    }

    /// Takes a token; whether there may be more.
    fn push(&mut self, token: u32) -> Result<bool, Failure> {
        if let Some(piece) = self.stream.push(token)? {
            self.take(&piece);
        }
        Ok(!self.is_stopped)
    }

    fn take(&mut self, piece: &str) {
        let checked = self.stops.push(piece);
        self.text.push_str(&checked.text);
        self.is_stopped = checked.is_stopped;
    }

    /// Adds what was held back, if nothing stopped the text.
    fn finish(&mut self, is_whole: bool) -> Result<(), Failure> {
        if is_whole && let Some(rest) = self.stream.finish()? {
            self.take(&rest);
        }
        if is_whole && !self.is_stopped {
            self.text.push_str(&self.stops.finish());
        }
        Ok(())
    }
}

/// Finds the likeliest texts behind each prompt.
fn search(
    writer: &Writer,
    asked: &Asked,
    prompts: &[String],
    how: &BeamSearch,
    out: &mut Output,
) -> Result<(), Failure> {
    let limited: Vec<(&str, usize)> = prompts.iter().map(|p| (p.as_str(), how.max_new_tokens)).collect();
    let (starts, model) = writer.start_together(&limited, asked.long_prompt)?;
    let ids: Vec<&[u32]> = starts.iter().map(|start| &start.ids[..]).collect();
    let found = how.run_together(model.causal(), &ids, writer.ends())?;
    for ((prompt, start), found) in prompts.iter().zip(&starts).zip(found) {
        for found in found {
            tell_found(writer, prompt, start, &found, out)?;
        }
    }
    Ok(())
}

/// Tells of one of the likeliest texts.
fn tell_found(
    writer: &Writer,
    prompt: &str,
    start: &Start<'_>,
    found: &Found,
    out: &mut Output,
) -> Result<(), Failure> {
    let (tokens, stop) = match found.tokens.split_last() {
        Some((last, rest)) if writer.ends().contains(last) => (rest, Stop::EndOfSequence),
        _ => (&found.tokens[..], Stop::Length),
    };
    let mut text = Text::new(writer.tokenizer(), &start.shown, StopStrings::default());
    tokens.iter().try_for_each(|&token| text.push(token).map(drop))?;
    text.finish(true)?;
    let text = &text.text;
    out.begin(start.echo)?;
    out.piece(text)?;
    let (finish_reason, score) = (reason(Some(stop)), Some(found.score));
    out.end(&Told {
        prompt,
        text,
        tokens,
        finish_reason,
        seed: None,
        score,
        logprobs: None,
        prompt_logprobs: None,
    })
}
