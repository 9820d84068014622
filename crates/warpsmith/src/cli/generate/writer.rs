//! Who writes, a decoder that goes on from a text or an encoder with a decoder that answers it, and what it begins with.

use clap::ArgMatches;
use warpsmith::model::{Answers, CausalModel, Family, Held};
use warpsmith::text::Tokenizer;
use warpsmith::train::folder::read_config;
use warpsmith::train::{AnswerFolder, ModelFolder};

use super::Failure;
use crate::cli::{device, flags};

/// A model with its tokenizer.
pub enum Writer {
    /// Goes on from a text.
    GoesOn(ModelFolder),
    /// Answers a text.
    Answers(Box<AnswerFolder>),
}

/// What is done with a prompt that is longer than what the model sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LongPrompt {
    /// It is an error.
    #[default]
    Refuse,
    /// Its beginning is left out, so that it and the text fit; a start token stays.
    Truncate,
    /// The model goes on over the newest half of what it sees, as it does with a text that grows too long.
    Slide,
}

/// The beginning of a text.
pub struct Start<'a> {
    /// The tokens that the model goes on from.
    pub ids: Vec<u32>,
    /// Those of them that stand before the text, for spaces between the two.
    pub shown: Vec<u32>,
    /// The prompt, if the text goes on from it.
    pub echo: &'a str,
}

/// What writes behind the beginnings that it was asked for.
pub enum Model<'a> {
    /// Goes on from them.
    Decoder(&'a dyn CausalModel),
    /// Has read the prompts.
    Answers(Box<Answers<'a>>),
}

impl Model<'_> {
    /// What says which token comes next.
    pub fn causal(&self) -> &dyn CausalModel {
        match self {
            Self::Decoder(model) => *model,
            Self::Answers(answers) => &**answers,
        }
    }
}

impl Writer {
    /// The model of `--model` on the device of `--device`.
    pub fn open(args: &ArgMatches) -> Result<Self, Failure> {
        let path = flags::model_path(args);
        // Who is no family at all is told so by the folder's own reader.
        let answers = path.is_dir() && Family::of(&read_config(path)?).is_ok_and(Family::answers);
        match answers {
            true => Ok(Self::Answers(Box::new(AnswerFolder::open(
                path,
                flags::policy(args, Held::AsStored),
                &device::of(args)?,
            )?))),
            false => flags::open(args).map(Self::GoesOn),
        }
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        match self {
            Self::GoesOn(folder) => &folder.tokenizer,
            Self::Answers(folder) => &folder.tokenizer,
        }
    }

    /// How many tokens the model knows.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::GoesOn(folder) => folder.model.vocab_size(),
            Self::Answers(folder) => folder.model.vocab_size(),
        }
    }

    /// The tokens that end a text.
    pub fn ends(&self) -> &[u32] {
        match self {
            Self::GoesOn(folder) => &folder.ends,
            Self::Answers(folder) => &folder.ends,
        }
    }

    /// The decoder, if there is no text to be read before it.
    pub fn decoder(&self) -> Option<&dyn CausalModel> {
        match self {
            Self::GoesOn(folder) => Some(&*folder.model),
            Self::Answers(_) => None,
        }
    }

    /// The beginning of a text of at most `limit` tokens.
    pub fn start<'a>(
        &'a self,
        prompt: &'a str,
        limit: usize,
        long: LongPrompt,
    ) -> Result<(Start<'a>, Model<'a>), Failure> {
        let (mut starts, model) = self.start_together(&[(prompt, limit)], long)?;
        Ok((starts.swap_remove(0), model))
    }

    /// The beginnings of texts behind prompts, each of at most so many tokens, and the model that writes them all.
    pub fn start_together<'a>(
        &'a self,
        prompts: &[(&'a str, usize)],
        long: LongPrompt,
    ) -> Result<(Vec<Start<'a>>, Model<'a>), Failure> {
        let encode = |prompt| self.tokenizer().encode_with_special_tokens(prompt);
        match self {
            Self::GoesOn(folder) => {
                let start = |&(prompt, limit)| {
                    let ids =
                        long.fit(encode(prompt)?, folder.model.context(), limit, folder.tokenizer.bos())?;
                    Ok(Start { ids, shown: folder.tokenizer.encode(prompt)?, echo: prompt })
                };
                let starts = prompts.iter().map(start).collect::<Result<_, Failure>>()?;
                Ok((starts, Model::Decoder(&*folder.model)))
            }
            Self::Answers(folder) => {
                let read = prompts.iter().map(|(prompt, _)| encode(prompt)).collect::<Result<Vec<_>, _>>()?;
                let read: Vec<&[u32]> = read.iter().map(Vec::as_slice).collect();
                let answers = Answers::to(&*folder.model, &read)?;
                let start = |_| Start { ids: vec![answers.start()], shown: Vec::new(), echo: "" };
                Ok((prompts.iter().map(start).collect(), Model::Answers(Box::new(answers))))
            }
        }
    }
}

impl LongPrompt {
    /// The policy of this name.
    pub fn from_name(name: &str) -> Result<Self, String> {
        match name {
            "refuse" => Ok(Self::Refuse),
            "truncate" => Ok(Self::Truncate),
            "slide" => Ok(Self::Slide),
            _ => Err("write refuse, truncate or slide".into()),
        }
    }

    /// The prompt as the model gets it, before a text of at most `limit` tokens; `bos` begins texts.
    fn fit(self, ids: Vec<u32>, context: usize, limit: usize, bos: Option<u32>) -> Result<Vec<u32>, Failure> {
        let count = ids.len();
        match self {
            Self::Refuse if count > context => Err(Failure::Failed(format!(
                "the prompt has {count} tokens, the model sees {context}: shorten it, or give --long_prompt truncate or \
                 --long_prompt slide"
            ))),
            Self::Slide if count > context => {
                let seen = (context / 2).max(1);
                note!("note: of {count} tokens of the prompt the model sees the last {seen}");
                Ok(ids)
            }
            Self::Truncate => {
                let room = context.saturating_sub(limit).max(context / 2).max(1);
                if count <= room {
                    return Ok(ids);
                }
                let start: Vec<u32> =
                    ids.first().copied().filter(|id| Some(*id) == bos && room > 1).into_iter().collect();
                let kept = &ids[count - (room - start.len())..];
                note!("note: the first {} tokens of the prompt were left out", count - room);
                Ok([&start[..], kept].concat())
            }
            _ => Ok(ids),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_that_are_too_long_are_refused_cut_or_left_to_the_decoder() {
        let fit = |long: LongPrompt, count: u32, limit| {
            long.fit((1..=count).collect(), 8, limit, Some(1)).map_err(|_| "refused")
        };
        assert_eq!(fit(LongPrompt::Refuse, 8, 100), Ok((1..=8).collect()));
        assert_eq!(fit(LongPrompt::Refuse, 9, 1), Err("refused"));
        assert_eq!(fit(LongPrompt::Slide, 9, 1), Ok((1..=9).collect()));
        // Room for two tokens of the text, and at most for half of what the model sees.
        assert_eq!(fit(LongPrompt::Truncate, 9, 2), Ok(vec![1, 5, 6, 7, 8, 9]));
        assert_eq!(fit(LongPrompt::Truncate, 9, 100), Ok(vec![1, 7, 8, 9]));
        assert_eq!(fit(LongPrompt::Truncate, 6, 2), Ok((1..=6).collect()));
        let cut = LongPrompt::Truncate.fit((1..=9).collect(), 8, 4, None);
        assert_eq!(cut.map_err(|_| "refused"), Ok(vec![6, 7, 8, 9]));
    }
}
