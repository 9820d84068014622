//! What a GGUF file holds: its metadata and its tensors. The tensors are looked at and not read.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use warpsmith::train::GgufFile;
use warpsmith_gguf::Value;

use crate::cli::Failure;

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
    let found = Inspection {
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

/// A value, of a long array its length and its first ones.
fn told(value: &Value<'_>) -> Json {
    match value {
        Value::Unsigned(n) => json!(n),
        Value::Signed(n) => json!(n),
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
        say!("{key} = {start}{}", if start.len() < text.len() { "…" } else { "" })?;
    }
    let width = found.tensors.iter().map(|row| row.name.len()).max().unwrap_or(0);
    say!("\n{:<width$}  {:>16} {:>12}  kind", "tensor", "shape", "bytes")?;
    for Row { name, shape, kind, bytes } in &found.tensors {
        say!("{name:<width$}  {:>16} {bytes:>12}  {kind}", format!("{shape:?}"))?;
    }
    say!("\nmemory  {} stored, {} as f32", super::size(found.stored), super::size(found.as_f32))
}
