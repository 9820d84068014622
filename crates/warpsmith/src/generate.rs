//! From text to text: a model and its tokenizer together.

use warpsmith_model::{CausalModel, Decoder, Sampling};
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
    ) -> Result<()>;
}

impl<M: CausalModel> Generate for M {
    fn generate_stream(
        &self,
        tokenizer: &Tokenizer,
        prompt: &str,
        sampling: &Sampling,
        piece: &mut dyn FnMut(&str) -> bool,
    ) -> Result<()> {
        (self as &dyn CausalModel).generate_stream(tokenizer, prompt, sampling, piece)
    }
}

impl Generate for dyn CausalModel + '_ {
    fn generate_stream(
        &self,
        tokenizer: &Tokenizer,
        prompt: &str,
        sampling: &Sampling,
        piece: &mut dyn FnMut(&str) -> bool,
    ) -> Result<()> {
        let prompt = tokenizer.encode(prompt)?;
        let mut decoder = Decoder::new(self, &prompt, sampling, tokenizer.eos())?;
        let mut stream = tokenizer.stream();
        while let Ok(token) = decoder.next_token()? {
            if let Some(text) = stream.push(token)?
                && !piece(&text)
            {
                return Ok(());
            }
        }
        if let Some(text) = stream.finish()? {
            piece(&text);
        }
        Ok(())
    }
}
