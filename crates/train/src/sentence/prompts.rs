//! What stands before a text that is embedded, since a question is not read as a document is.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::optional;
use crate::{Error, Result};

/// The prompts of a folder by name, and the one that is taken if none is asked for.
///
/// Source: sentence-transformers, `SentenceTransformer.encode`, `prompt_name` and `default_prompt_name`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompts {
    /// Each text, as it stands before what is embedded.
    pub named: BTreeMap<String, String>,
    /// The name of the usual one.
    pub default: Option<String>,
}

/// `config_sentence_transformers.json`.
#[derive(Default, Deserialize)]
struct Config {
    prompts: Option<BTreeMap<String, String>>,
    default_prompt_name: Option<String>,
}

impl Prompts {
    /// Those of a folder; none if it says nothing of them.
    ///
    /// # Errors
    /// If the file is damaged, the usual one is not among them, or vectors are to be made without the tokens of the prompt.
    pub(super) fn of(dir: &Path, pooling: &Path) -> Result<Self> {
        let path = dir.join("config_sentence_transformers.json");
        let Config { prompts, default_prompt_name: default } = optional(&path)?.unwrap_or_default();
        let found = Self { named: prompts.unwrap_or_default(), default };
        if let Some(name) = &found.default {
            found.get(name).map_err(|error| Error::Run(format!("{}: {error}", path.display())))?;
        }
        let config: Map<String, Value> = optional(pooling)?.unwrap_or_default();
        let has_text = found.named.values().any(|prompt| !prompt.is_empty());
        if has_text && config.get("include_prompt") == Some(&Value::Bool(false)) {
            let problem =
                "vectors without the tokens of the prompt (include_prompt: false) are not made here";
            return Err(Error::Run(format!("{}: {problem}", pooling.display())));
        }
        Ok(found)
    }

    /// The prompt of this name.
    ///
    /// # Errors
    /// Names those that there are.
    pub fn get(&self, name: &str) -> Result<&str> {
        self.named.get(name).map(String::as_str).ok_or_else(|| {
            let names: Vec<&str> = self.named.keys().map(String::as_str).collect();
            let known =
                if names.is_empty() { "has none".into() } else { format!("has {}", names.join(", ")) };
            Error::Run(format!("there is no prompt {name:?}: the model {known}"))
        })
    }

    /// The one that is taken if none is asked for; empty if there is none.
    pub(super) fn usual(&self) -> &str {
        self.default.as_ref().and_then(|name| self.named.get(name)).map_or("", String::as_str)
    }
}
