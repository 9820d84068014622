//! Model folders in the layout of the Hugging Face hub: `config.json`, `model.safetensors`, `tokenizer.json`,
//! `generation_config.json`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use warpsmith_model::{Gpt, GptConfig, from_safetensors, to_safetensors};
use warpsmith_tensor::{Device, Seed};
use warpsmith_text::Tokenizer;

use crate::atomic::write_atomic;
use crate::{Error, Result};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const TOKENIZER: &str = "tokenizer.json";
const GENERATION: &str = "generation_config.json";

/// What a model folder holds.
pub struct ModelFolder {
    /// The model.
    pub model: Gpt,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
}

/// The bytes of `model.safetensors`.
pub(crate) fn weight_bytes(model: &Gpt) -> Result<Vec<u8>> {
    Ok(to_safetensors(&model.state(), &[("format", "pt")])?)
}

/// Writes everything but the weights.
pub fn write_description(dir: &Path, config: &GptConfig, tokenizer: &Tokenizer) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    let write = |name: &str, text: &str| write_atomic(&dir.join(name), |out| out.write_all(text.as_bytes()));
    write(CONFIG, &config.to_json())?;
    write(TOKENIZER, &tokenizer.to_json()?)?;
    let eos = tokenizer.eos().map_or("null".into(), |id| id.to_string());
    write(
        GENERATION,
        &format!("{{\n  \"do_sample\": true,\n  \"eos_token_id\": {eos},\n  \"max_new_tokens\": 100\n}}\n"),
    )
}

/// Writes the weights. The old file stands until the new one is whole.
pub fn write_weights(dir: &Path, model: &Gpt) -> Result<()> {
    let bytes = weight_bytes(model)?;
    write_atomic(&dir.join(WEIGHTS), |out| out.write_all(&bytes))
}

/// Reads a file whole.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    file.read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    Ok(bytes)
}

/// Reads the weights of `path` into `model`.
///
/// # Errors
/// If the file is damaged or belongs to a model of another shape: the model is then as before.
pub(crate) fn load_weights(model: &Gpt, path: &Path) -> Result<()> {
    let in_file = |e: warpsmith_tensor::Error| Error::Run(format!("{}: {e}", path.display()));
    let tensors = from_safetensors(&read(path)?, model.device()).map_err(in_file)?;
    model.load_state(&tensors).map_err(in_file)
}

impl ModelFolder {
    /// Reads a model folder.
    ///
    /// # Errors
    /// If the folder or a file is missing, a file is damaged, or the files do not belong together.
    pub fn open(dir: &Path, device: &Device) -> Result<Self> {
        if !dir.is_dir() {
            let problem = format!("{} is not a folder; give the folder that holds {CONFIG}", dir.display());
            return Err(Error::Run(problem));
        }
        let config_path = dir.join(CONFIG);
        let text = String::from_utf8_lossy(&read(&config_path)?).into_owned();
        let config =
            GptConfig::from_json(&text).map_err(|e| Error::Run(format!("{}: {e}", config_path.display())))?;
        let tokenizer = Tokenizer::from_file(dir.join(TOKENIZER))?;
        if tokenizer.vocab_size() > config.vocab_size {
            let problem = format!(
                "{}: the tokenizer has {} tokens, the model {}; are they of one model?",
                dir.display(),
                tokenizer.vocab_size(),
                config.vocab_size
            );
            return Err(Error::Run(problem));
        }
        let model = Gpt::new(config, device, Seed(0))?;
        load_weights(&model, &dir.join(WEIGHTS))?;
        Ok(Self { model, tokenizer })
    }
}
