//! `warpsmith chat`: talks with a model that was taught to answer, turn by turn.

use std::io::{BufRead, IsTerminal};

use clap::{Arg, ArgMatches, Command};
use serde::Serialize;
use warpsmith::generate::write;
use warpsmith::model::{Decoder, Sampling, Stop};
use warpsmith::text::{ChatTemplate, Corpus, Message};
use warpsmith::train::ModelFolder;

use super::generate::flags;
use super::{Failure, device};

/// The flags.
pub fn command() -> Command {
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("chat")
        .about("Talks with a model: a line of standard input is a turn")
        .after_help(format!("The sampler's steps, in order: {}.", Sampling::order()))
        .arg(super::flags::decoder())
        .arg(device::arg())
        .arg(super::flags::dtype())
        .arg(text("system", "TEXT", "What the model is told before the first turn."))
        .arg(text("prompt", "TEXT", "One turn: answers this and ends."))
        .arg(
            text("chat_template", "FILE.jinja", "The template, in place of the model's.")
                .alias("chat-template"),
        )
        .args(flags::of_draws())
        .arg(super::flags::json("Print one JSON object for each answer."))
}

/// An answer as `--json` tells of it.
#[derive(Serialize)]
struct Told<'a> {
    prompt: &'a str,
    text: &'a str,
    /// How many tokens all turns before the answer have.
    prompt_tokens: usize,
    /// How many of them were read in this turn: the others were known from the turns before.
    read_tokens: usize,
    /// The tokens of the answer; one that ended it is not among them.
    tokens: &'a [u32],
    /// `length` or `eos` (a token ended it).
    finish_reason: &'a str,
}

/// What is said, by whom and how.
struct Chat<'a> {
    folder: &'a ModelFolder,
    template: ChatTemplate,
    sampling: Sampling,
    messages: Vec<Message>,
    /// Who wrote the last answer, with all turns until then in its cache.
    decoder: Option<Decoder<'a>>,
    json: bool,
}

/// `warpsmith chat`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let sampling = flags::sampling(args)?;
    sampling.validate().map_err(|e| Failure::Usage(e.to_string()))?;
    let mut folder = super::flags::open(args)?;
    flags::check_tokens(args, folder.model.vocab_size())?;
    let text = |name: &str| args.get_one::<String>(name);
    let template = match text("chat_template") {
        None => folder.chat_template.take().ok_or_else(no_template)?,
        Some(path) => {
            let source = Corpus::from_path(path)?.text().to_string();
            let token =
                |id: Option<u32>| id.and_then(|id| folder.tokenizer.id_to_token(id)).unwrap_or_default();
            ChatTemplate::new(source, token(folder.tokenizer.bos()), token(folder.tokenizer.eos()))?
        }
    };
    note!("sampler: {}", sampling.steps());
    let messages = text("system").map(|text| Message::new("system", text)).into_iter().collect();
    let json = args.get_flag("json");
    let mut chat = Chat { folder: &folder, template, sampling, messages, decoder: None, json };
    match text("prompt") {
        Some(prompt) => chat.turn(prompt),
        None => chat.talk(),
    }
}

fn no_template() -> Failure {
    Failure::Failed(
        "the model has no chat template, so that it is not known how it reads turns: give one with --chat_template \
         FILE.jinja, or let it write on from a text with `warpsmith generate`"
            .into(),
    )
}

impl Chat<'_> {
    /// A turn for each line of standard input.
    fn talk(&mut self) -> Result<(), Failure> {
        let stdin = std::io::stdin();
        let is_asked = stdin.is_terminal();
        loop {
            if is_asked {
                murmur!("> ");
            }
            let mut line = String::new();
            if stdin.lock().read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end_matches(['\r', '\n']);
            if !line.is_empty() {
                self.turn(line)?;
            }
        }
    }

    /// The answer to `prompt`, told as it is written.
    fn turn(&mut self, prompt: &str) -> Result<(), Failure> {
        let tokenizer = &self.folder.tokenizer;
        self.messages.push(Message::new("user", prompt));
        let ids = tokenizer.encode_chat(&self.template, &self.messages, true)?;
        let context = self.folder.model.context();
        if ids.len() >= context {
            let problem =
                format!("{} tokens of turns, and the model sees {context}: begin a new chat", ids.len());
            return Err(Failure::Failed(problem));
        }
        let mut decoder = match self.decoder.take() {
            Some(decoder) => decoder.resume(&ids, &self.sampling)?,
            None => Decoder::new(&*self.folder.model, &ids, &self.sampling, &self.folder.ends)?,
        };
        let unread = decoder.unread();
        let (mut text, json, mut reader) = (String::new(), self.json, Ok(()));
        // What stands before the answer ends with a line or a sign: the answer is a text of its own.
        let written = write(&mut decoder, tokenizer, &[], &mut |piece| {
            text.push_str(piece);
            reader = if json { Ok(()) } else { put!("{piece}") };
            reader.is_ok()
        })?;
        let finish_reason = match written.stop {
            Some(Stop::EndOfSequence) => "eos",
            Some(Stop::Length) => "length",
            // The reader went away, or the disk is full.
            None => return reader,
        };
        let line = match json {
            false => String::new(),
            true => {
                let (prompt_tokens, tokens) = (ids.len(), &written.tokens);
                let told =
                    Told { prompt, text: &text, prompt_tokens, read_tokens: unread, tokens, finish_reason };
                serde_json::to_string(&told)?
            }
        };
        say!("{line}")?;
        self.messages.push(Message::new("assistant", text));
        self.decoder = Some(decoder);
        Ok(())
    }
}
