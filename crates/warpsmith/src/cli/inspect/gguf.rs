//! What a GGUF file holds: its metadata and its tensors. The tensors are looked at and not read.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use warpsmith::train::GgufFile;
use warpsmith_gguf::{Gguf, Value};

use super::{Vocabulary, size};
use crate::cli::Failure;
use crate::cli::print::plain;

/// Of an array no more values are told than this.
const MOST: usize = 8;

#[derive(Serialize)]
struct Inspection {
    metadata: Map<String, Json>,
    tensors: Vec<Row>,
    /// Bytes of all tensors.
    stored: usize,
    /// Bytes of the same numbers as f32.
    as_f32: usize,
    /// Bytes of the keys and values of a decoder, for each position of a sequence and for the whole context, if the metadata
    /// say what they depend on.
    cache_per_position: Option<usize>,
    cache_of_context: Option<usize>,
    /// If there is one that can be used here.
    tokenizer: Option<Vocabulary>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    /// The slowest axis first.
    shape: Vec<usize>,
    kind: &'static str,
    bytes: usize,
}

/// Tells of the file at `path`.
pub fn run(path: &Path, json: bool) -> Result<(), Failure> {
    let file = GgufFile::open(path)?;
    let file = file.parse()?;
    let row = |info: &warpsmith_gguf::TensorInfo<'_>| Row {
        name: info.name().into(),
        shape: info.shape(),
        kind: info.kind().name(),
        bytes: info.size(),
    };
    let tensors: Vec<Row> = file.tensors().iter().map(row).collect();
    let cache_per_position = cache_per_position(&file);
    let context = of_architecture(&file, "context_length");
    let found = Inspection {
        cache_per_position,
        cache_of_context: cache_per_position.zip(context).and_then(|(bytes, t)| bytes.checked_mul(t)),
        tokenizer: Vocabulary::of_gguf(&file),
        metadata: file.metadata().iter().map(|(key, value)| (key.to_string(), told(value))).collect(),
        stored: tensors.iter().map(|row| row.bytes).sum(),
        as_f32: tensors.iter().map(|row| 4 * row.shape.iter().product::<usize>()).sum(),
        tensors,
    };
    match json {
        true => say!("{}", serde_json::to_string(&found)?),
        false => print(&found),
    }
}

/// A number of the metadata under the name of the architecture.
fn of_architecture(file: &Gguf<'_>, name: &str) -> Option<usize> {
    let architecture = file.get("general.architecture", Value::as_text).ok()?;
    let number = file.get(&format!("{architecture}.{name}"), Value::as_unsigned).ok()?;
    number.try_into().ok()
}

/// Of each block a key and a value of f32, as wide as the heads that have their own. An encoder has none.
fn cache_per_position(file: &Gguf<'_>) -> Option<usize> {
    let number = |name: &str| of_architecture(file, name);
    if file.get("general.architecture", Value::as_text).ok()? == "bert" {
        return None;
    }
    let (blocks, width, heads) =
        (number("block_count")?, number("embedding_length")?, number("attention.head_count")?);
    let own = number("attention.head_count_kv").unwrap_or(heads);
    let of_head = number("attention.key_length").or_else(|| width.checked_div(heads))?;
    [2, 4, own, of_head].into_iter().try_fold(blocks, usize::checked_mul)
}

/// A value, of a long array its length and its first ones.
fn told(value: &Value<'_>) -> Json {
    match value {
        Value::Unsigned(n) => json!(n),
        Value::Signed(n) => json!(n),
        // JSON has no such number, and `null` would be none at all.
        Value::Real(n) if !n.is_finite() => json!(n.to_string()),
        Value::Real(n) => json!(n),
        Value::Truth(is_so) => json!(is_so),
        Value::Text(text) => json!(text),
        Value::Array(array) if array.len() > MOST => {
            let first: Vec<Json> = array.iter().take(MOST).map(|v| told(&v)).collect();
            json!({ "len": array.len(), "first": first })
        }
        Value::Array(array) => array.iter().map(|v| told(&v)).collect(),
    }
}

fn print(found: &Inspection) -> Result<(), Failure> {
    for (key, value) in &found.metadata {
        let text = value.to_string();
        // A chat template is long.
        let start: String = text.chars().take(100).collect();
        say!("{} = {start}{}", plain(key), if start.len() < text.len() { "…" } else { "" })?;
    }
    let width = found.tensors.iter().map(|row| plain(&row.name).len()).max().unwrap_or(0);
    say!("\n{:<width$}  {:>16} {:>12}  kind", "tensor", "shape", "bytes")?;
    for Row { name, shape, kind, bytes } in &found.tensors {
        say!("{:<width$}  {:>16} {bytes:>12}  {kind}", plain(name), format!("{shape:?}"))?;
    }
    say!("\nmemory     weights {} stored, {} as f32", size(found.stored), size(found.as_f32))?;
    super::print_cache(found.cache_per_position, found.cache_of_context)?;
    super::print_tokenizer(found.tokenizer.as_ref(), "none in the file that can be used")
}
