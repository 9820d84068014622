//! Model folders in the layout of the Hugging Face hub: `config.json`, `model.safetensors` (or shards and their index),
//! `tokenizer.json`, `generation_config.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use serde_json::json;
use warpsmith_gguf::{Gguf, Value};
use warpsmith_model::{
    CausalModel, Family, Gpt, GptConfig, Policy, Weights, causal_model_from, gguf_model, read_safetensors,
    to_safetensors,
};
use warpsmith_tensor::{Device, Tensor};
use warpsmith_text::{ChatTemplate, Tokenizer};

use crate::atomic::write_atomic;
use crate::on_disk::{GgufFile, OnDisk, open_file};
use crate::{Error, Result};

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
const GENERATION: &str = "generation_config.json";
pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const CHAT_TEMPLATE: &str = "chat_template.jinja";

/// What a model folder holds.
pub struct ModelFolder {
    /// The model.
    pub model: Box<dyn CausalModel>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The tokens that end a text, see [`ends`].
    pub ends: Vec<u32>,
    /// How the model reads a chat, if it was taught to.
    pub chat_template: Option<ChatTemplate>,
}

/// The bytes of `model.safetensors`.
pub(crate) fn weight_bytes(model: &dyn CausalModel) -> Result<Vec<u8>> {
    Ok(to_safetensors(&model.state(), &[("format", "pt")])?)
}

/// Writes everything but the weights.
pub fn write_description(dir: &Path, config: &GptConfig, tokenizer: &Tokenizer) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    write_text(dir, CONFIG, &config.to_json())?;
    write_text(dir, TOKENIZER, &tokenizer.to_json()?)?;
    let eos = tokenizer.eos().map_or("null".into(), |id| id.to_string());
    write_text(
        dir,
        GENERATION,
        &format!("{{\n  \"do_sample\": true,\n  \"eos_token_id\": {eos},\n  \"max_new_tokens\": 100\n}}\n"),
    )
}

/// Writes the weights. The old file stands until the new one is whole.
pub fn write_weights(dir: &Path, model: &dyn CausalModel) -> Result<()> {
    write_state(dir, &model.state())
}

/// Writes the tensors of a model, as [`write_weights`] does.
pub(crate) fn write_state(dir: &Path, state: &BTreeMap<String, Tensor>) -> Result<()> {
    let bytes = to_safetensors(state, &[("format", "pt")])?;
    write_atomic(&dir.join(WEIGHTS), |out| out.write_all(&bytes))
}

/// What stands in a folder beside config and weights.
#[derive(Clone, Copy)]
pub struct Texts<'a> {
    /// The tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The tokens that end a text.
    pub ends: &'a [u32],
    /// How the model reads a chat, if it was taught to.
    pub chat_template: Option<&'a ChatTemplate>,
}

/// Writes a model of any family with its tokenizer and chat template.
///
/// # Errors
/// If a file cannot be written.
pub fn write_folder(dir: &Path, model: &dyn CausalModel, texts: Texts<'_>) -> Result<()> {
    write_model(dir, model)?;
    let Texts { tokenizer, ends, chat_template } = texts;
    write_text(dir, TOKENIZER, &tokenizer.to_json()?)?;
    let generation = json!({ "bos_token_id": tokenizer.bos(), "eos_token_id": ends });
    write_text(dir, GENERATION, &format!("{generation:#}\n"))?;
    let Some(template) = chat_template else { return Ok(()) };
    let (bos, eos) = template.edges();
    let token = |text: &str| if text.is_empty() { serde_json::Value::Null } else { json!(text) };
    // The class that reads a tokenizer.json as it is.
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": token(bos), "eos_token": token(eos),
    });
    write_text(dir, TOKENIZER_CONFIG, &format!("{config:#}\n"))?;
    write_text(dir, CHAT_TEMPLATE, template.source())
}

pub(crate) fn write_text(dir: &Path, name: &str, text: &str) -> Result<()> {
    write_atomic(&dir.join(name), |out| out.write_all(text.as_bytes()))
}

/// The tokens that end a text: those that a folder's `generation_config.json` names, else its `config.json`, else the
/// tokenizer's.
///
/// # Errors
/// If one of these files is damaged.
pub fn ends(dir: &Path, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    for name in [GENERATION, CONFIG] {
        if let Some(ends) = ends_in(&dir.join(name))? {
            return Ok(ends);
        }
    }
    Ok(tokenizer.eos().into_iter().collect())
}

/// The tokens that end a text of a GGUF file's model: those that it names, else the tokenizer's.
pub fn gguf_ends(file: &Gguf<'_>, tokenizer: &Tokenizer) -> Vec<u32> {
    let id = |key: &str| {
        let id = file.get(&format!("tokenizer.ggml.{key}"), Value::as_unsigned).ok();
        id.and_then(|id| u32::try_from(id).ok())
    };
    let named: BTreeSet<u32> = ["eos_token_id", "eot_token_id"].into_iter().filter_map(id).collect();
    match named.is_empty() {
        true => tokenizer.eos().into_iter().collect(),
        false => named.into_iter().collect(),
    }
}

/// The `eos_token_id` of a file, if the file is there and says one: a number or a list.
fn ends_in(path: &Path) -> Result<Option<Vec<u32>>> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Ids {
        One(u32),
        Several(Vec<u32>),
    }
    #[derive(serde::Deserialize)]
    struct Ended {
        eos_token_id: Option<Ids>,
    }
    if !path.exists() {
        return Ok(None);
    }
    let parsed: serde_json::Result<Ended> = serde_json::from_slice(&read(path)?);
    let parsed = parsed.map_err(Error::at(path))?;
    Ok(parsed.eos_token_id.map(|ids| match ids {
        Ids::One(id) => vec![id],
        Ids::Several(ids) => ids,
    }))
}

/// Reads a file whole.
///
/// # Errors
/// If it cannot be opened or read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = open_file(path)?;
    file.read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    Ok(bytes)
}

/// Reads the weights of `path` into `model`.
///
/// # Errors
/// If the file is damaged or belongs to a model of another shape: the model is then as before.
pub(crate) fn load_weights(model: &Gpt, path: &Path) -> Result<()> {
    let tensors = tensors_of(path, model.device())?;
    model.load_state(&tensors).map_err(Error::at(path))
}

/// The tensors of a model folder: of its one weight file, or of all shards that its index names.
///
/// # Errors
/// If a file is missing or damaged, or index and shards do not name the same tensors.
pub fn read_tensors(dir: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let index = dir.join(INDEX);
    if dir.join(WEIGHTS).exists() || !index.exists() {
        return tensors_of(&dir.join(WEIGHTS), device);
    }
    let problem = Error::at::<String>(&index);
    let map: ShardIndex = serde_json::from_slice(&read(&index)?).map_err(|e| problem(e.to_string()))?;
    let mut tensors = BTreeMap::new();
    for shard in map.weight_map.values().collect::<BTreeSet<_>>() {
        // A name, not a way out of the folder.
        if Path::new(shard).file_name() != Some(shard.as_ref()) {
            return Err(problem(format!("`{shard}` is no file name")));
        }
        for (name, tensor) in tensors_of(&dir.join(shard), device)? {
            if map.weight_map.get(&name) != Some(shard) {
                return Err(problem(format!("{shard} holds {name}, which the index does not place there")));
            }
            tensors.insert(name, tensor);
        }
    }
    match map.weight_map.keys().find(|name| !tensors.contains_key(*name)) {
        Some(name) => Err(problem(format!("{name} is in none of the shards"))),
        None => Ok(tensors),
    }
}

#[derive(serde::Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

pub(crate) fn tensors_of(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    read_safetensors(&OnDisk::open(path)?, device).map_err(Error::at(path))
}

/// The text of a folder's `config.json`.
///
/// # Errors
/// If the folder or the file is missing.
pub fn read_config(dir: &Path) -> Result<String> {
    if !dir.is_dir() {
        let what = if dir.exists() { "is not a folder" } else { "does not exist" };
        let problem = format!("{} {what}; give the folder that holds {CONFIG}", dir.display());
        return Err(Error::Run(problem));
    }
    Ok(String::from_utf8_lossy(&read(&dir.join(CONFIG))?).into_owned())
}

/// The weights of a model folder, for a model on `device`.
///
/// # Errors
/// As [`read_tensors`].
pub(crate) fn read_weights(dir: &Path, policy: impl Into<Policy>, device: &Device) -> Result<Weights> {
    Ok(Weights::held(read_tensors(dir, &Device::Cpu)?, policy, device))
}

/// Reads the decoder of a model folder, of any family, or of a GGUF file, in the numbers that `policy` says.
///
/// # Errors
/// If the folder or a file is missing, a file is damaged, or config and weights do not belong together.
pub fn read_model(dir: &Path, policy: impl Into<Policy>, device: &Device) -> Result<Box<dyn CausalModel>> {
    if dir.is_file() {
        return model_of(dir, &GgufFile::open(dir)?.parse()?, policy, device);
    }
    let config = read_config(dir)?;
    // A config of no use says so before the weights are read.
    let family = Family::of(&config).and_then(Family::check_causal);
    family.map_err(Error::at(&dir.join(CONFIG)))?;
    causal_model_from(&config, &read_weights(dir, policy, device)?).map_err(Error::at(dir))
}

fn model_of(
    path: &Path,
    file: &Gguf<'_>,
    policy: impl Into<Policy>,
    device: &Device,
) -> Result<Box<dyn CausalModel>> {
    gguf_model(file, policy, device).map_err(Error::at(path))
}

/// Writes a model of any family: its config and its weights, as transformers reads them.
///
/// # Errors
/// If a file cannot be written.
pub fn write_model(dir: &Path, model: &dyn CausalModel) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    write_text(dir, CONFIG, &model.config_json())?;
    write_weights(dir, model)
}

/// How the model of a folder reads a chat, if the folder says it.
fn chat_template(dir: &Path) -> Result<Option<ChatTemplate>> {
    let optional = |name: &str| {
        let path = dir.join(name);
        if path.exists() { read(&path).map(Some) } else { Ok(None) }
    };
    let (config, jinja) = (optional(TOKENIZER_CONFIG)?, optional(CHAT_TEMPLATE)?);
    ChatTemplate::of_folder(config.as_deref(), jinja.as_deref()).map_err(Error::at(dir))
}

/// The tokenizer of a model folder, of a GGUF file, or of a `tokenizer.json`.
///
/// # Errors
/// If a file is missing or damaged, or a kind of vocabulary is not known.
pub fn read_tokenizer(path: &Path) -> Result<Tokenizer> {
    let is_gguf = path.extension().is_some_and(|name| name == "gguf");
    if !is_gguf {
        return Ok(Tokenizer::from_file(path)?);
    }
    Tokenizer::from_gguf(&GgufFile::open(path)?.parse()?).map_err(Error::at(path))
}

impl ModelFolder {
    /// Reads a model folder, a decoder of any family and its tokenizer, or a GGUF file, in the numbers that `policy`
    /// says.
    ///
    /// # Errors
    /// If the folder or a file is missing, a file is damaged, or the files do not belong together.
    pub fn open(dir: &Path, policy: impl Into<Policy>, device: &Device) -> Result<Self> {
        if dir.is_file() {
            return Self::open_gguf(dir, policy.into(), device);
        }
        let model = read_model(dir, policy, device)?;
        let tokenizer = Tokenizer::from_file(dir)?;
        let ends = ends(dir, &tokenizer)?;
        let chat_template = chat_template(dir)?;
        Self { model, tokenizer, ends, chat_template }.checked(dir)
    }

    fn open_gguf(path: &Path, policy: Policy, device: &Device) -> Result<Self> {
        let file = GgufFile::open(path)?;
        let file = file.parse()?;
        let model = model_of(path, &file, policy, device)?;
        let tokenizer = Tokenizer::from_gguf(&file);
        let tokenizer = tokenizer.map_err(Error::at(path))?;
        let ends = gguf_ends(&file, &tokenizer);
        let chat_template = ChatTemplate::from_gguf(&file).map_err(Error::at(path))?;
        Self { model, tokenizer, ends, chat_template }.checked(path)
    }

    /// What the folder holds beside config and weights.
    pub fn texts(&self) -> Texts<'_> {
        Texts { tokenizer: &self.tokenizer, ends: &self.ends, chat_template: self.chat_template.as_ref() }
    }

    /// An error if the tokenizer has more tokens than the model.
    fn checked(self, dir: &Path) -> Result<Self> {
        if self.tokenizer.vocab_size() > self.model.vocab_size() {
            let problem = format!(
                "{}: the tokenizer has {} tokens, the model {}; are they of one model?",
                dir.display(),
                self.tokenizer.vocab_size(),
                self.model.vocab_size()
            );
            return Err(Error::Run(problem));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warpsmith_model::{Held, Llama, LlamaConfig};
    use warpsmith_tensor::Seed;

    fn golden(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/families").join(name)
    }

    /// Folders that transformers wrote: bf16 in four shards, and a GPT-2 with transposed projections and a tied head.
    #[test]
    fn folders_of_transformers_have_its_logits() {
        for name in ["llama_sharded", "gpt2_saved"] {
            let model = read_model(&golden(name), Held::AsF32, &Device::Cpu).unwrap();
            let ids = Tensor::from_vec((0..8u32).collect(), &[1, 8], &Device::Cpu).unwrap();
            let ours = model.forward(&ids).unwrap().to_vec::<f32>().unwrap();
            let truth = tensors_of(&golden(&format!("{name}.safetensors")), &Device::Cpu).unwrap();
            let truth = truth["logits"].to_vec::<f32>().unwrap();
            assert_eq!(ours.len(), truth.len());
            let largest = truth.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            for (ours, truth) in ours.iter().zip(&truth) {
                assert!((ours - truth).abs() <= 1e-5 * largest, "{name}: {ours}, not {truth}");
            }
        }
    }

    /// A copy of the sharded folder, for tests to damage.
    fn copy() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(golden("llama_sharded")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
        }
        dir
    }

    #[test]
    fn shards_that_do_not_fit_their_index_are_named() {
        let fails = |edit: &dyn Fn(&Path)| {
            let dir = copy();
            edit(dir.path());
            read_model(dir.path(), Held::AsStored, &Device::Cpu).err().unwrap().to_string()
        };
        let index = |from: &'static str, to: &'static str| {
            move |dir: &Path| {
                let text = std::fs::read_to_string(dir.join(INDEX)).unwrap();
                assert!(text.contains(from));
                std::fs::write(dir.join(INDEX), text.replacen(from, to, 1)).unwrap();
            }
        };
        let shard = "model-00002-of-00004.safetensors";
        let gone = fails(&|dir| std::fs::remove_file(dir.join(shard)).unwrap());
        assert!(gone.contains(shard), "{gone}");
        let outside = fails(&index("model-00001-of", "../model-00001-of"));
        assert!(outside.contains("is no file name"), "{outside}");
        let misplaced = fails(&index("\"lm_head.weight\"", "\"lm_head.wait\""));
        assert!(misplaced.contains("lm_head.weight"), "{misplaced}");
        let added = fails(&index(
            "\"weight_map\": {",
            "\"weight_map\": {\n\"x\": \"model-00001-of-00004.safetensors\",",
        ));
        assert!(added.contains("x is in none of the shards"), "{added}");
        let cut = fails(&|dir| {
            let bytes = std::fs::read(dir.join(shard)).unwrap();
            std::fs::write(dir.join(shard), &bytes[..bytes.len() - 1]).unwrap();
        });
        assert!(cut.contains(shard) && cut.contains("damaged"), "{cut}");
        let other = fails(&|dir| {
            let config = std::fs::read_to_string(dir.join(CONFIG)).unwrap();
            std::fs::write(
                dir.join(CONFIG),
                config.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1"),
            )
            .unwrap();
        });
        assert!(other.contains("unexpected: [model.layers.1.input_layernorm.weight"), "{other}");
    }

    #[test]
    fn a_model_written_and_read_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let model = Llama::new(LlamaConfig::default(), &Device::Cpu, Seed(1)).unwrap();
        write_model(dir.path(), &model).unwrap();
        let again = read_model(dir.path(), Held::AsF32, &Device::Cpu).unwrap();
        let ids = Tensor::from_slice(&[1u32, 2, 3], &[1, 3], &Device::Cpu).unwrap();
        let logits = |m: &dyn CausalModel| m.forward(&ids).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(logits(&*again), logits(&model));
    }

    #[test]
    fn a_text_ends_with_the_tokens_that_the_folder_names() {
        let dir = tempfile::tempdir().unwrap();
        let model = Llama::new(LlamaConfig::default(), &Device::Cpu, Seed(1)).unwrap();
        let tokenizer = &Tokenizer::byte_level();
        let texts = Texts { tokenizer, ends: &[1, 2], chat_template: None };
        write_folder(dir.path(), &model, texts).unwrap();
        let ends = || ModelFolder::open(dir.path(), Held::AsF32, &Device::Cpu).map(|folder| folder.ends);
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(ends().unwrap(), [1, 2]);
        write(GENERATION, r#"{"eos_token_id": 7}"#);
        assert_eq!(ends().unwrap(), [7]);
        write(GENERATION, r#"{"eos_token_id": null}"#);
        assert_eq!(ends().unwrap(), [0; 0], "bytes have no token for it");
        write(CONFIG, &model.config_json().replacen('{', r#"{"eos_token_id": [3, 4],"#, 1));
        assert_eq!(ends().unwrap(), [3, 4]);
        write(GENERATION, r#"{"eos_token_id": "#);
        assert!(ends().unwrap_err().to_string().contains(GENERATION));
    }
}
