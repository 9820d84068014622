//! How well a model predicts a text: loss, perplexity, bits per byte, with what they are measured over.

use serde::Serialize;
use warpsmith_autograd::no_grad;
use warpsmith_metrics::language;
use warpsmith_model::CausalModel;
use warpsmith_ops::cross_entropy::CrossEntropy;
use warpsmith_ops::prelude::*;
use warpsmith_text::{Tokenizer, Tokens};

use crate::data::TensorBatch;
use crate::{Error, Result};

/// The result of [`evaluate_text`]. Losses are sums over scored tokens divided by their number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Mean negative log-likelihood per scored token, in nats.
    pub loss: f64,
    /// e^loss.
    pub perplexity: f64,
    /// Loss in bits per byte of the scored text.
    pub bits_per_byte: f64,
    /// e to the loss per byte: 2 to [`Evaluation::bits_per_byte`].
    pub perplexity_per_byte: f64,
    /// e to the loss per word, a word being what [`warpsmith_metrics::tokens::words`] says. NaN if there is none.
    pub perplexity_per_word: f64,
    /// Words of the scored text.
    pub words: usize,
    /// The normaliser: how many tokens were scored (all but the first, which may be a start token).
    pub tokens: usize,
    /// Whether a start token stands before the text, so that the text's first token is scored too.
    pub bos: bool,
    /// Bytes of the scored text.
    pub bytes: usize,
    /// The longest context, in tokens.
    pub context: usize,
    /// By how many tokens the window moves; each token is scored once, in the first window that holds it.
    pub stride: usize,
}

/// Scores `text`, in windows of `context` tokens that move by `stride`.
///
/// # Errors
/// If the text cannot be encoded or has fewer than two tokens, or stride or context are out of range; [`Error::Diverged`] if
/// the loss of a window is NaN. An infinite one is told as it is: a token that the model holds for impossible.
pub fn evaluate_text(
    model: &dyn CausalModel,
    tokenizer: &Tokenizer,
    text: &str,
    context: usize,
    stride: usize,
) -> Result<Evaluation> {
    let ids = tokenizer.encode_with_special_tokens(text)?;
    let bos = ids.first().is_some_and(|first| Some(*first) == tokenizer.bos());
    let first = ids.first().filter(|_| !bos);
    let first = first.map_or(Ok(0), |id| tokenizer.decode_bytes(&[*id]).map(|b| b.len()))?;
    let tokens = Tokens::from(ids);
    let windows = tokens.windows(context.min(model.context()), stride)?;
    let (mut sum, mut scored) = (0.0, 0);
    for window in windows {
        let batch = TensorBatch::new(&window, model.device())?;
        sum += no_grad(|| {
            model.forward(&batch.ids)?.cross_entropy_with(&batch.targets, CrossEntropy::SUM)?.item()
        })?;
        if sum.is_nan() {
            return Err(Error::Diverged(format!(
                "the model's loss on scored tokens {}..{} is NaN: its weights hold NaN, or a number on the way was too large for its dtype; check the checkpoint, or compute in f32",
                scored,
                scored + batch.scored
            )));
        }
        scored += batch.scored;
    }
    let loss = sum / scored.max(1) as f64;
    let bytes = text.len().saturating_sub(first);
    // A first token that ends inside a character takes the whole character with it.
    let behind = (first..=text.len()).find_map(|at| text.get(at..)).unwrap_or("");
    let words = warpsmith_metrics::tokens::words(behind).count();
    Ok(Evaluation {
        loss,
        perplexity: language::perplexity(loss),
        bits_per_byte: language::bits_per_byte(loss, scored, bytes).unwrap_or(f64::NAN),
        perplexity_per_byte: language::perplexity_per(loss, scored, bytes).unwrap_or(f64::NAN),
        perplexity_per_word: language::perplexity_per(loss, scored, words).unwrap_or(f64::NAN),
        words,
        tokens: scored,
        bos,
        bytes,
        context,
        stride,
    })
}

/// Scores a text piece by piece, each for itself: pieces of whole lines, of `bytes` bytes or little more, so that several models
/// can be held against each other on the same pieces, whatever their tokens are. Longer lines are cut.
///
/// # Errors
/// As [`evaluate_text`]; if `bytes` is 0 or there is no text.
pub fn evaluate_pieces(
    model: &dyn CausalModel,
    tokenizer: &Tokenizer,
    text: &str,
    bytes: usize,
) -> Result<Vec<Evaluation>> {
    if bytes == 0 || text.is_empty() {
        return Err(Error::Run(
            "there is no piece of a text to score: give a text, and pieces of at least 1 byte".into(),
        ));
    }
    let context = model.context();
    pieces(text, bytes)
        .into_iter()
        .map(|piece| evaluate_text(model, tokenizer, piece, context, context))
        .collect()
}

/// A text in pieces of at least `bytes` bytes, which end where lines do unless a line is as long as four pieces.
fn pieces(text: &str, bytes: usize) -> Vec<&str> {
    let (mut pieces, mut begin, mut end): (Vec<&str>, usize, usize) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        let mut left = line.len();
        while left > 0 {
            let taken = if line.len() < bytes.saturating_mul(4) { left } else { left.min(bytes) };
            let taken = (taken..=left).find(|&taken| text.is_char_boundary(end + taken)).unwrap_or(left);
            (end, left) = (end + taken, left - taken);
            if end - begin >= bytes {
                pieces.push(&text[begin..end]);
                begin = end;
            }
        }
    }
    if begin < end {
        // What is left over is too little to stand alone.
        let last = pieces.pop().map_or(begin, |last| begin - last.len());
        pieces.push(&text[last..end]);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_lines_and_make_up_the_text() {
        assert_eq!(pieces("one\ntwo\nthree\n", 4), ["one\n", "two\n", "three\n"]);
        assert_eq!(pieces("one\ntwo\nthree", 6), ["one\ntwo\nthree"]);
        assert_eq!(pieces("a\nb\nc\nd\ne", 4), ["a\nb\n", "c\nd\ne"]);
        // 14 bytes in one line are cut, between characters.
        assert_eq!(pieces("abcäöüabcde", 3), ["abc", "äö", "üa", "bcde"]);
        assert_eq!(pieces("short", 100), ["short"]);
        for bytes in 1..40 {
            let text = "ein Satz — und noch einer.\n\nzwei\nübermäßig lange Zeile, ganz ohne Ende und Sinn";
            assert_eq!(pieces(text, bytes).concat(), text);
        }
    }
    use warpsmith_model::{Llama, LlamaConfig};
    use warpsmith_tensor::{Device, Seed, Tensor};
    use warpsmith_text::Pieces;

    #[test]
    fn behind_a_start_token_every_token_of_the_text_is_scored() {
        let model =
            Llama::new(LlamaConfig { vocab_size: 300, ..LlamaConfig::default() }, &Device::Cpu, Seed(1));
        let model = model.unwrap();
        let special = ["<unk>", "<s>", "</s>"].map(|text| (text.to_string(), 0.0));
        let bytes = (0..256).map(|byte| (format!("<0x{byte:02X}>"), 0.0));
        let scored = special.into_iter().chain(bytes).collect();
        let pieces = Pieces::new(scored, 0, 1, 2).tokenizer().unwrap();
        let found = evaluate_text(&model, &pieces, "words", 64, 64).unwrap();
        // A space of three bytes stands before the text.
        assert_eq!((found.bos, found.tokens, found.bytes), (true, 8, 5));
        let found = evaluate_text(&model, &Tokenizer::byte_level(), "words", 64, 64).unwrap();
        assert_eq!((found.bos, found.tokens, found.bytes), (false, 4, 4));
    }

    #[test]
    fn a_loss_that_is_no_number_is_an_error_that_says_where() {
        let model = Llama::new(
            LlamaConfig { vocab_size: 256, tie_word_embeddings: false, ..LlamaConfig::default() },
            &Device::Cpu,
            Seed(1),
        );
        let model = model.unwrap();
        // What `z` is embedded as; the model's head is another matrix.
        let embedding = &model.parameters()[0];
        let mut values = embedding.get().to_vec::<f32>().unwrap();
        let width = values.len() / 256;
        values[usize::from(b'z') * width] = f32::NAN;
        embedding.set(&Tensor::from_slice(&values, &[256, width], &Device::Cpu).unwrap()).unwrap();
        let scored = |text| evaluate_text(&model, &Tokenizer::byte_level(), text, 4, 4);
        assert!(scored("words of no number").unwrap().loss.is_finite());
        // As a target alone it does no harm.
        assert!(scored("words and z").unwrap().loss.is_finite());
        let error = scored("words and z.").unwrap_err().to_string();
        assert!(error.contains("scored tokens 8..11 is NaN"), "{error}");
    }
}
