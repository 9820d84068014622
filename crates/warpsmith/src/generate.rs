//! From text to text: a model and its tokenizer together.

use warpsmith_model::{CausalModel, Decoder, Sampling, Stop, TokenLogProb};
use warpsmith_text::Tokenizer;
use warpsmith_train::Result;

/// Writing text with a model.
pub trait Generate {
    /// The text that follows `prompt`, without the prompt.
    ///
    /// # Errors
    /// If the prompt is empty, the tokenizer cannot encode it, or a sampling parameter is out of range.
    fn generate(&self, tokenizer: &Tokenizer, prompt: &str, sampling: &Sampling) -> Result<String> {
        let mut text = String::new();
        self.generate_stream(tokenizer, prompt, sampling, &mut |piece| {
            text.push_str(piece);
            true
        })?;
        Ok(text)
    }

    /// As [`Generate::generate`], handing out each piece of text as soon as it is certain; stops early if `piece` returns
    /// false. A piece never ends in mid-character.
    ///
    /// # Errors
    /// As [`Generate::generate`].
    fn generate_stream(
        &self,
        tokenizer: &Tokenizer,
        prompt: &str,
        sampling: &Sampling,
        piece: &mut dyn FnMut(&str) -> bool,
    ) -> Result<()> {
        let ids = tokenizer.encode_with_special_tokens(prompt)?;
        let mut decoder = Decoder::new(self.causal(), &ids, sampling, tokenizer.eos().as_slice())?;
        write(&mut decoder, tokenizer, &tokenizer.encode(prompt)?, piece).map(drop)
    }

    /// The model that writes.
    fn causal(&self) -> &dyn CausalModel;
}

impl<M: CausalModel> Generate for M {
    fn causal(&self) -> &dyn CausalModel {
        self
    }
}

impl Generate for dyn CausalModel + '_ {
    fn causal(&self) -> &dyn CausalModel {
        self
    }
}

/// What a decoder wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Its tokens, without the prompt.
    pub tokens: Vec<u32>,
    /// What the model thinks of them, if the decoder tells.
    pub log_probs: Vec<TokenLogProb>,
    /// Why it stopped; `None` if nobody wanted more.
    pub stop: Option<Stop>,
}

/// Lets a decoder write to its end behind the text of `shown` (its prompt, without special tokens), handing out each piece
/// of text as soon as it is certain; stops early if `piece` returns false. A piece never ends in mid-character.
///
/// # Errors
/// If the model or the tokenizer fails.
pub fn write(
    decoder: &mut Decoder<'_>,
    tokenizer: &Tokenizer,
    shown: &[u32],
    piece: &mut dyn FnMut(&str) -> bool,
) -> Result<Written> {
    let mut stream = tokenizer.stream_after(shown);
    let (mut tokens, mut log_probs) = (Vec::new(), Vec::new());
    loop {
        match decoder.next_token()? {
            Ok(token) => {
                tokens.push(token);
                log_probs.extend(decoder.log_prob().cloned());
                if stream.push(token)?.is_some_and(|text| !piece(&text)) {
                    return Ok(Written { tokens, log_probs, stop: None });
                }
            }
            Err(stop) => {
                let is_wanted = stream.finish()?.is_none_or(|text| piece(&text));
                return Ok(Written { tokens, log_probs, stop: is_wanted.then_some(stop) });
            }
        }
    }
}
