//! The pairs of a file, with BLEU on texts that were kept back.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use warpsmith::metrics::bleu::{Bleu, Tokenizer as Cut};
use warpsmith::metrics::tokens::is_unspaced;
use warpsmith::model::classical::{Translator, TranslatorConfig};
use warpsmith::prelude::*;

use crate::sequences::{self, Pair, START, Words, joined, spelled};
use crate::{Outcome, map, pair_file};

/// Longer texts are not learned, and translations end here.
const LONGEST: usize = 30;
/// One text of so many is kept back.
const KEPT_BACK: u32 = 40;
/// So many of those are shown.
const SHOWN: usize = 4;

/// A text and its translation, as they stand in the file.
type Lines = Vec<(String, String)>;

/// Pairs to learn from and pairs that are kept back: no text of these, and no translation, is among those.
fn split(lines: Lines) -> (Lines, Lines) {
    let is_kept_back = |(text, _): &(String, String)| {
        let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        (text.to_lowercase().bytes().fold(0x811C_9DC5, hash) >> 7) % KEPT_BACK == 0
    };
    let (kept_back, rest): (Lines, Lines) = lines.into_iter().partition(is_kept_back);
    let answers: HashSet<&str> = kept_back.iter().map(|pair| pair.1.as_str()).collect();
    let rest = rest.into_iter().filter(|pair| !answers.contains(pair.1.as_str())).collect();
    // Of several translations of a text, the first is the reference.
    let once: BTreeMap<String, String> = kept_back.iter().rev().cloned().collect();
    (rest, once.into_iter().collect())
}

fn cut(text: &str) -> Vec<String> {
    Cut::Zh.split(&text.to_lowercase())
}

fn numbered(lines: &Lines, source: &Words, target: &Words) -> Vec<Pair> {
    lines.iter().map(|(a, b)| (source.ids(&cut(a)), target.ids(&cut(b)))).collect()
}

/// What a file's pairs teach in so many epochs, and what it is worth.
pub fn run(path: &str, arguments: &[String]) -> Outcome<()> {
    let (device, began) = (Device::best()?, Instant::now());
    let epochs: usize = arguments.first().map_or(Ok(1), |epochs| epochs.parse())?;
    let (mut train, test) = split(pair_file::read(path, |text| !text.is_empty())?);
    let count = train.len();
    train.retain(|(a, b)| cut(a).len().max(cut(b).len()) <= LONGEST);
    if train.is_empty() || test.is_empty() {
        return Err(format!(
            "{path}: {count} pairs to learn from and {} to keep back are too few",
            test.len()
        )
        .into());
    }
    let cuts: Vec<[Vec<String>; 2]> = train.iter().map(|(a, b)| [cut(a), cut(b)]).collect();
    let [source, target] = [0, 1].map(|side| Words::of(cuts.iter().map(|pair| &pair[side]), 2, 20_000));
    let config = TranslatorConfig {
        source_vocab: source.known.len(),
        target_vocab: target.known.len(),
        embedding_size: 128,
        hidden_size: 256,
        attention: true,
    };
    let model = Translator::new(&config, &device, Seed(3))?;
    let numbers: usize = model.parameters().iter().map(|p| p.shape().numel()).sum();
    println!(
        "{} pairs to learn from ({} are too long), {} texts kept back",
        train.len(),
        count - train.len(),
        test.len()
    );
    println!("{} words and {}, {numbers} numbers", source.known.len(), target.known.len());
    let (learned, kept_back) = (numbered(&train, &source, &target), numbered(&test, &source, &target));
    sequences::learn(&model, &learned, (epochs, 2e-3), |epoch, loss| {
        let held_out = sequences::held_out(&model, &kept_back)?;
        println!(
            "epoch {epoch:>2}  loss {loss:.3}  kept back {held_out:.3}  {:.0} s",
            began.elapsed().as_secs_f64()
        );
        Ok(())
    })?;

    let sources: Vec<&[u32]> = kept_back.iter().map(|pair| pair.0.as_slice()).collect();
    let written = sequences::answers(&model, &sources, LONGEST)?;
    let hypotheses: Vec<String> = written.iter().map(|ids| joined(&spelled(&target, ids))).collect();
    let references: Vec<&str> = test.iter().map(|pair| pair.1.as_str()).collect();
    let is_chinese = references.iter().any(|text| text.contains(is_unspaced));
    let tokenizer = if is_chinese { Cut::Zh } else { Cut::Mteval13a };
    let bleu = Bleu { tokenizer, lowercase: true, ..Bleu::default() };
    let score = bleu.corpus(&hypotheses, &[references])?;
    println!("BLEU {:.2}  {}", score.score, bleu.signature(1));

    let mut maps = Vec::new();
    for at in (0..SHOWN.min(test.len())).map(|i| i * test.len() / SHOWN) {
        println!("\n{}\n  reference   {}\n  translation {}", test[at].0, test[at].1, hypotheses[at]);
        // Who has written nothing has looked at nothing.
        if written[at].is_empty() {
            continue;
        }
        if let Some(weights) = model.alignment(sources[at], &written[at], START)? {
            let (words, written) = (spelled(&source, sources[at]), spelled(&target, &written[at]));
            println!("{}", map::text(&words, &written, &weights));
            maps.push((words, written, weights));
        }
    }
    if let Some(page) = arguments.get(1) {
        std::fs::write(page, map::page(&maps)).map_err(|e| format!("{page}: {e}"))?;
    }
    Ok(())
}
