//! What the encoder reads: [CLS] question [SEP] a part of the text [SEP].

use std::collections::HashSet;
use std::path::Path;

use warpsmith::metrics::tokens::{lower_words, spans};
use warpsmith::model::{BertConfig, BertTask, Task, Weights};
use warpsmith::prelude::*;
use warpsmith::train::folder::{read_config, read_tensors};

use crate::data::Question;
use crate::window::Window;
use crate::words::{END, START, Words};
use crate::{Outcome, small_bert};

/// Tokens of a window; half of it is read again by the next.
pub const WINDOW: usize = 256;
/// Tokens of a question that are read.
const ASKED: usize = 40;

/// Numbers of pieces of text: those of a model that has read before, or the words of the texts that are learned.
enum Vocabulary {
    Folder(Box<Tokenizer>),
    Words(Words),
}

/// A model and how it reads.
pub struct Reader {
    pub model: BertTask,
    vocabulary: Vocabulary,
    cls: u32,
    sep: u32,
}

/// Where words lie, and all other characters but white space: what a BERT cuts first.
fn pieces(text: &str) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = spans(text).collect();
    let is_in_word = {
        let mut inside = vec![false; text.len()];
        found.iter().for_each(|&(start, end)| inside[start..end].fill(true));
        inside
    };
    let others = text.char_indices().filter(|(at, c)| !is_in_word[*at] && !c.is_whitespace());
    found.extend(others.map(|(at, c)| (at, at + c.len_utf8())));
    found.sort_unstable();
    found
}

/// The pieces of a text in lower case.
fn words(text: &str) -> Vec<String> {
    pieces(text).into_iter().map(|(start, end)| text[start..end].to_lowercase()).collect()
}

impl Reader {
    /// A model that has read nothing, with the words of these questions.
    pub fn blank(questions: &[Question], device: &Device) -> Outcome<Self> {
        let texts: Vec<Vec<String>> =
            questions.iter().map(|q| words(&format!("{} {}", q.question, q.context))).collect();
        let vocabulary = Words::of(texts.iter(), 2, 20_000);
        // Question; text; words of the text that are in the question too (Chen et al., 2017, arXiv 1704.00051, §3.2): without
        // that a few thousand questions do not teach to look for them.
        let config = BertConfig { type_vocab_size: 3, ..small_bert::config(vocabulary.known.len(), WINDOW) };
        let config = BertConfig { initializer_range: 0.05, hidden_dropout_prob: 0.1, ..config };
        let model = BertTask::new(config, Task::QuestionAnswering, device, Seed(1))?;
        Ok(Self { model, vocabulary: Vocabulary::Words(vocabulary), cls: START, sep: END })
    }

    /// The model of a folder of a BERT, with a new head.
    pub fn open(dir: &str, device: &Device) -> Outcome<Self> {
        let (dir, tokenizer) = (Path::new(dir), Tokenizer::from_file(dir)?);
        let model = BertTask::with_new_head(
            &read_config(dir)?,
            read_tensors(dir, device)?,
            Task::QuestionAnswering,
            &Weights::random(Seed(1), device),
        )?;
        let [cls, sep] = tokenizer.encode_with_special_tokens("")?[..] else {
            return Err(
                format!("{}: its tokenizer puts no [CLS] and [SEP] around a text", dir.display()).into()
            );
        };
        Ok(Self { model, vocabulary: Vocabulary::Folder(Box::new(tokenizer)), cls, sep })
    }

    fn ids(&self, piece: &str) -> Outcome<Vec<u32>> {
        match &self.vocabulary {
            Vocabulary::Folder(tokenizer) => Ok(tokenizer.encode(piece)?),
            Vocabulary::Words(words) => Ok(words.ids(&[piece.to_lowercase()])),
        }
    }

    /// The windows of a question's text.
    pub fn windows(&self, question: &Question) -> Outcome<Vec<Window>> {
        let mut head = vec![self.cls];
        for word in words(&question.question) {
            head.extend(self.ids(&word)?);
        }
        head.truncate(ASKED);
        head.push(self.sep);
        let asked: HashSet<String> = lower_words(&question.question).into_iter().collect();
        let mut text = Vec::new();
        for (start, end) in pieces(&question.context) {
            let piece = &question.context[start..end];
            let is_asked =
                matches!(self.vocabulary, Vocabulary::Words(_)) && asked.contains(&piece.to_lowercase());
            text.extend(self.ids(piece)?.into_iter().map(|id| (id, 1 + u32::from(is_asked), (start, end))));
        }
        let room = WINDOW - head.len() - 1;
        let starts =
            (0..text.len().max(1)).step_by(room / 2).filter(|&at| at == 0 || at + room / 2 < text.len());
        let window = |at: usize| {
            let part = &text[at..text.len().min(at + room)];
            let ids =
                head.iter().copied().chain(part.iter().map(|token| token.0)).chain([self.sep]).collect();
            let types = std::iter::repeat_n(0, head.len())
                .chain(part.iter().map(|token| token.1))
                .chain([1])
                .collect();
            let bytes = std::iter::repeat_n(None, head.len())
                .chain(part.iter().map(|token| Some(token.2)))
                .chain([None]);
            Window { ids, types, bytes: bytes.collect() }
        };
        Ok(starts.map(window).collect())
    }
}
