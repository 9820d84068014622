//! Folders of encoders with decoders (T5, Marian): models that answer a text.

use std::path::Path;

use warpsmith_model::{EncoderDecoder, Policy, answering_model};
use warpsmith_tensor::Device;
use warpsmith_text::Tokenizer;

use crate::folder::{ends, read_config, read_weights};
use crate::{Error, Result};

/// Such a model, its tokenizer, and the tokens that end an answer.
pub struct AnswerFolder {
    /// The model.
    pub model: Box<dyn EncoderDecoder>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The tokens that end an answer.
    pub ends: Vec<u32>,
}

impl AnswerFolder {
    /// Reads such a folder, in the numbers that `policy` says.
    ///
    /// # Errors
    /// If the folder or a file is missing or damaged, or the files do not belong together.
    pub fn open(dir: &Path, policy: impl Into<Policy>, device: &Device) -> Result<Self> {
        let in_folder = Error::at::<String>(dir);
        let config = read_config(dir)?;
        let model = answering_model(&config, &read_weights(dir, policy, device)?);
        let model = model.map_err(|e| in_folder(e.to_string()))?;
        let tokenizer = Tokenizer::from_file(dir)?;
        let (tokens, known) = (tokenizer.vocab_size(), model.vocab_size());
        if tokens > known {
            return Err(in_folder(format!(
                "the tokenizer has {tokens} tokens, the model {known}; are they of one model?"
            )));
        }
        let ends = ends(dir, &tokenizer)?;
        Ok(Self { model, tokenizer, ends })
    }
}
