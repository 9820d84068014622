//! What stands beside a vocabulary: `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`.
//!
//! Source: `PreTrainedTokenizer.from_pretrained` of Hugging Face transformers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::json::special;

/// Keys under which a special token stands.
const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
const MORE: &str = "additional_special_tokens";

/// The settings of a folder; each part is an object, empty if there is no file.
pub(crate) struct Settings {
    config: Value,
    map: Value,
    added: Value,
}

impl Settings {
    /// From the bytes of the three files, in the order of the module's first line.
    ///
    /// # Errors
    /// If one of them is no JSON object: the error names it.
    pub fn new(files: [Option<&[u8]>; 3]) -> Result<Self, String> {
        let names = ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"];
        let read = |i: usize| match files[i] {
            None => Ok(json!({})),
            Some(bytes) => match serde_json::from_slice(bytes) {
                Ok(Value::Object(fields)) => Ok(Value::Object(fields)),
                Ok(_) => Err(format!("{}: the outermost value is not an object", names[i])),
                Err(error) => Err(format!("{}: {error}", names[i])),
            },
        };
        Ok(Self { config: read(0)?, map: read(1)?, added: read(2)? })
    }

    /// The class of the tokenizer, without the word for the fast ones.
    pub fn class(&self) -> Option<&str> {
        self.config["tokenizer_class"].as_str().map(|name| name.strip_suffix("Fast").unwrap_or(name))
    }

    /// A truth value, if there is one of this name.
    ///
    /// # Errors
    /// If it is something else.
    pub fn truth(&self, name: &str) -> Result<Option<bool>, String> {
        match &self.config[name] {
            Value::Null => Ok(None),
            Value::Bool(is_so) => Ok(Some(*is_so)),
            other => Err(format!("tokenizer_config.json: {name} is {other}, and not true or false")),
        }
    }

    /// The text of a special token, such as `bos_token`, if it is named.
    pub fn token(&self, name: &str) -> Option<&str> {
        content(&self.config[name]).or_else(|| content(&self.map[name]))
    }

    /// All special tokens that are named.
    pub fn named(&self) -> Vec<&str> {
        let more = [&self.config, &self.map].into_iter().flat_map(|part| part[MORE].as_array());
        let more = more.flatten().filter_map(content);
        NAMED.into_iter().filter_map(|name| self.token(name)).chain(more).collect()
    }

    /// Entries of `added_tokens`, in the order of ids: what the files add, and those of the named tokens whose id `id_of`
    /// knows. A token that is named and has no id is in no text: it is left out.
    ///
    /// # Errors
    /// If an id is none.
    pub fn added(&self, id_of: impl Fn(&str) -> Option<u32>) -> Result<Vec<Value>, String> {
        let mut tokens = BTreeMap::new();
        let id = |value: &Value| {
            let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
            id.ok_or_else(|| format!("{value} is no id of an added token"))
        };
        for (text, value) in self.added.as_object().into_iter().flatten() {
            let mut token = special(id(value)?, text);
            token["special"] = json!(self.named().contains(&text.as_str()));
            tokens.insert(id(value)?, token);
        }
        for (key, entry) in self.config["added_tokens_decoder"].as_object().into_iter().flatten() {
            let number = id(&serde_json::from_str(key).unwrap_or(json!(key)))?;
            let text = content(entry).ok_or_else(|| format!("the added token {key} has no text"))?;
            let mut token = special(number, text);
            for flag in ["special", "single_word", "lstrip", "rstrip", "normalized"] {
                if let Some(is_so) = entry[flag].as_bool() {
                    token[flag] = json!(is_so);
                }
            }
            tokens.insert(number, token);
        }
        for text in self.named() {
            if let Some(id) = id_of(text) {
                tokens.entry(id).or_insert_with(|| special(id, text));
            }
        }
        Ok(tokens.into_values().collect())
    }
}

/// A token is a text, or an object that holds it.
pub(crate) fn content(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token["content"].as_str())
}
