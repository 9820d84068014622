//! What a model is to learn to write: lines of JSON, each with a `text`, with `messages`, or with `prompt` and `completion`.
//!
//! Of a `text` every token is learned, of a prompt none, of a completion all, of messages what the assistant says. The token
//! that ends a text is learned behind all of them.

use serde::Deserialize;
use warpsmith_tensor::{Device, Tensor};
use warpsmith_text::{ChatTemplate, IGNORE_INDEX, Message, Tokenizer};

use crate::{Error, ModelFolder, Result, TensorBatch};

/// The tokens of one line, and which of them are learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    ids: Vec<u32>,
    is_learned: Vec<bool>,
}

/// What a line may hold.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Text { text: String },
    Messages { messages: Vec<Said> },
    Completion { prompt: String, completion: String },
}

#[derive(Deserialize)]
struct Said {
    role: String,
    content: String,
}

impl Example {
    /// The examples of the lines of a JSONL file, each with its number; empty lines are none. One that is longer than the model's
    /// context is cut.
    ///
    /// # Errors
    /// If a line is none of the three kinds, or has messages and the folder has no chat template: the error names the line.
    pub fn read<'t>(
        lines: impl IntoIterator<Item = (u64, &'t str)>,
        folder: &ModelFolder,
    ) -> Result<Vec<Self>> {
        let lines = lines.into_iter().filter(|(_, line)| !line.trim().is_empty());
        let example = |(number, line): (u64, &str)| {
            let in_line = |what: String| Error::Run(format!("line {number}: {what}"));
            let line = serde_json::from_str(line).map_err(|e| {
                // What serde says of kinds is about the names of ours.
                let what = if e.is_data() { "an object of no kind that is known".into() } else { e.to_string() };
                in_line(format!("{what}; write {{\"text\": …}}, {{\"messages\": […]}} or {{\"prompt\": …, \"completion\": …}}"))
            })?;
            let mut example = Self::of(line, folder).map_err(|e| in_line(e.to_string()))?;
            example.cut(folder.model.context() + 1);
            match example.learned() {
                0 => Err(in_line("nothing of it is learned".into())),
                _ => Ok(example),
            }
        };
        lines.map(example).collect()
    }

    fn of(line: Line, folder: &ModelFolder) -> Result<Self> {
        let (tokenizer, end) = (&folder.tokenizer, folder.ends.first().copied());
        match line {
            Line::Text { text } => {
                let ids = tokenizer.encode_with_special_tokens(&text)?;
                Ok(Self::parts([(ids, true), (end.into_iter().collect(), true)]))
            }
            Line::Completion { prompt, completion } => {
                let prompt = tokenizer.encode_with_special_tokens(&prompt)?;
                let completion = tokenizer.encode(&completion)?;
                Ok(Self::parts([(prompt, false), (completion, true), (end.into_iter().collect(), true)]))
            }
            Line::Messages { messages } => {
                let template = folder.chat_template.as_ref();
                let template = template.ok_or_else(|| Error::Run("the model has no chat template".into()))?;
                let messages: Vec<Message> =
                    messages.into_iter().map(|said| Message::new(said.role, said.content)).collect();
                Self::of_chat(tokenizer, template, &messages)
            }
        }
    }

    /// What the assistant says is what each of its turns adds to the turns before and the sign to speak.
    fn of_chat(tokenizer: &Tokenizer, template: &ChatTemplate, messages: &[Message]) -> Result<Self> {
        let mut whole = Self { ids: Vec::new(), is_learned: Vec::new() };
        for (i, _) in messages.iter().enumerate().filter(|(_, message)| message.role == "assistant") {
            let asked = tokenizer.encode_chat(template, &messages[..i], true)?;
            let said = tokenizer.encode_chat(template, &messages[..=i], false)?;
            if !asked.starts_with(&whole.ids) || !said.starts_with(&asked) {
                let problem = "the chat template changes earlier turns when a later one comes: use prompt and completion";
                return Err(Error::Run(problem.into()));
            }
            let learned = asked.len();
            whole.is_learned.resize(learned, false);
            whole.is_learned.resize(said.len(), true);
            whole.ids = said;
        }
        Ok(whole)
    }

    fn parts<const N: usize>(parts: [(Vec<u32>, bool); N]) -> Self {
        let is_learned = parts.iter().flat_map(|(ids, learned)| std::iter::repeat_n(*learned, ids.len()));
        Self { is_learned: is_learned.collect(), ids: parts.into_iter().flat_map(|(ids, _)| ids).collect() }
    }

    fn cut(&mut self, longest: usize) {
        self.ids.truncate(longest);
        self.is_learned.truncate(longest);
    }

    /// How many tokens are learned. The first never is: nothing stands before it.
    pub fn learned(&self) -> usize {
        self.is_learned.iter().skip(1).filter(|learned| **learned).count()
    }

    /// Tokens that another one follows.
    pub(super) fn positions(&self) -> usize {
        self.ids.len().saturating_sub(1)
    }

    /// Examples as one batch. What stands behind the end of a short one is seen by none of its tokens, and is not learned.
    pub(super) fn batch(examples: &[&Self], device: &Device) -> Result<TensorBatch> {
        let t = examples.iter().map(|e| e.positions()).max().unwrap_or(0);
        let (mut ids, mut targets) = (Vec::new(), Vec::new());
        for example in examples {
            let pairs = example.ids.windows(2).zip(example.is_learned.iter().skip(1));
            let learned = pairs
                .map(|(pair, learned)| (pair[0], if *learned { i64::from(pair[1]) } else { IGNORE_INDEX }));
            let (row, of_row): (Vec<u32>, Vec<i64>) =
                learned.chain(std::iter::repeat((0, IGNORE_INDEX))).take(t).unzip();
            ids.extend(row);
            targets.extend(of_row);
        }
        let dims = [examples.len(), t];
        Ok(TensorBatch {
            scored: targets.iter().filter(|target| **target != IGNORE_INDEX).count(),
            ids: Tensor::from_vec(ids, &dims, device)?,
            targets: Tensor::from_vec(targets, &dims, device)?,
        })
    }
}
