//! What a prepared folder holds: ids or texts, the tokenizer, the data card, and the manifest.

use std::io::Write;

use serde::Serialize;
use warpsmith_text::{Fit, Tokenizer, TokenizerSpec};

use super::Preparation;
use crate::balance::Balance;
use crate::card::card;
use crate::files::{Files, write_bytes};
use crate::manifest::{CARD, Manifest, Part, TOKENIZER, TokenizerNote};
use crate::read::Document;
use crate::shard::Layout;
use crate::split::PARTS;
use crate::{Error, Result};

/// What is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// `train.bin`, `val.bin`, `test.bin` in nanoGPT's layout, and `tokenizer.json`.
    #[default]
    NanoGpt,
    /// `train_000000.bin` … in llm.c's layout, and `tokenizer.json`.
    LlmC,
    /// `train.jsonl` … with `text` and, if there are classes, `label`.
    Jsonl,
}

/// What stands between documents if the tokenizer has no end-of-text token.
const BETWEEN: &str = "\n\n";

pub(super) fn write(
    job: &Preparation,
    documents: &[Document],
    parts: &[usize],
    manifest: &mut Manifest,
    files: &dyn Files,
) -> Result<()> {
    let texts = |part: usize| {
        documents.iter().zip(parts).filter(move |(_, of)| **of == part).map(|(document, _)| document)
    };
    let mut names = Vec::new();
    let tokenizer = match job.output {
        Output::Jsonl => None,
        _ => Some(fit(&job.tokenizer, documents, parts)?),
    };
    for (index, name) in PARTS.into_iter().enumerate() {
        let of_part: Vec<&Document> = texts(index).collect();
        if of_part.is_empty() {
            continue;
        }
        let mut part = Part {
            name: name.into(),
            files: Vec::new(),
            documents: of_part.len(),
            characters: of_part.iter().map(|document| document.text.chars().count()).sum(),
            tokens: None,
            classes: classes(&of_part),
        };
        match &tokenizer {
            None => part.files.push(write_texts(job, name, &of_part, files)?),
            Some(tokenizer) => {
                let ids = encode(tokenizer, &of_part, job.output)?;
                part.tokens = Some(ids.len());
                part.files = write_ids(job, name, &ids, tokenizer.vocab_size(), files)?;
            }
        }
        names.extend(part.files.iter().cloned());
        manifest.parts.push(part);
    }
    if let Some(tokenizer) = tokenizer {
        let json = tokenizer.to_json()?;
        write_bytes(files, &job.out.join(TOKENIZER), json.as_bytes())?;
        names.push(TOKENIZER.into());
        let between = match tokenizer.eos() {
            Some(eos) => {
                format!("token {eos}, {} each", if job.output == Output::LlmC { "before" } else { "behind" })
            }
            None => "a blank line".into(),
        };
        let (name, vocab_size) = (tokenizer.name(), tokenizer.vocab_size());
        manifest.tokenizer = Some(TokenizerNote { name, vocab_size, between });
    }
    write_bytes(files, &job.out.join(CARD), card(manifest).as_bytes())?;
    names.push(CARD.into());
    manifest.write(&job.out, &names, files)
}

fn classes(documents: &[&Document]) -> Option<Balance> {
    let labels: Vec<&str> = documents.iter().filter_map(|document| document.label.as_deref()).collect();
    (!labels.is_empty()).then(|| Balance::of(labels))
}

/// A character tokenizer knows every character there is; others learn from what is to train on alone.
fn fit(spec: &TokenizerSpec, documents: &[Document], parts: &[usize]) -> Result<Tokenizer> {
    let is_char = *spec == TokenizerSpec::Char;
    let learned = documents.iter().zip(parts).filter(|(_, part)| is_char || **part == 0);
    let texts: Vec<&str> = learned.map(|(document, _)| document.text.as_str()).collect();
    // What stands between texts has to be in the alphabet, even of one text.
    Ok(spec.fit(&(texts.join(BETWEEN) + BETWEEN))?)
}

fn encode(tokenizer: &Tokenizer, documents: &[&Document], output: Output) -> Result<Vec<u32>> {
    let Some(eos) = tokenizer.eos() else {
        let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
        return Ok(tokenizer.encode(&texts.join(BETWEEN))?);
    };
    let mut ids = Vec::new();
    for document in documents {
        let text = tokenizer.encode(&document.text)?;
        // Each layout after the custom of its program.
        match output {
            Output::LlmC => ids.extend(std::iter::once(eos).chain(text)),
            _ => ids.extend(text.into_iter().chain([eos])),
        }
    }
    Ok(ids)
}

fn write_ids(
    job: &Preparation,
    part: &str,
    ids: &[u32],
    vocab_size: usize,
    files: &dyn Files,
) -> Result<Vec<String>> {
    let (layout, shards) = match job.output {
        Output::LlmC if vocab_size > 1 << 16 => (Layout::LlmC32, job.shard_tokens),
        Output::LlmC => (Layout::LlmC16, job.shard_tokens),
        _ => (Layout::NanoGpt, ids.len().max(1)),
    };
    layout.check(vocab_size)?;
    let mut names = Vec::new();
    for (index, shard) in ids.chunks(shards).enumerate() {
        let name =
            if job.output == Output::LlmC { format!("{part}_{index:06}.bin") } else { format!("{part}.bin") };
        files.write(&job.out.join(&name), &mut |out| layout.write(shard, out)).map_err(Error::Write)?;
        names.push(name);
    }
    Ok(names)
}

/// A line of JSONL.
#[derive(Serialize)]
struct Line<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
}

fn write_texts(job: &Preparation, part: &str, documents: &[&Document], files: &dyn Files) -> Result<String> {
    let name = format!("{part}.jsonl");
    let mut write = |out: &mut dyn Write| {
        for document in documents {
            let line = Line { text: &document.text, label: document.label.as_deref() };
            serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    };
    files.write(&job.out.join(&name), &mut write).map_err(Error::Write)?;
    Ok(name)
}
