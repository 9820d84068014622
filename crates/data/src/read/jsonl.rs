//! JSONL: an object a line.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Lines, Sink};
use crate::{Error, Result};

pub(super) fn read(sink: &mut Sink) -> Result<()> {
    let (mut lines, path) = (sink.lines()?, sink.path);
    while let Some((number, object)) = next(&mut lines, path)? {
        let at = |problem: String| Error::line(path, number, problem);
        let text = field(&object, &sink.options.text, "--text").map_err(at)?;
        let label = sink.options.label.as_ref().map(|name| field(&object, name, "--label")).transpose();
        sink.push(text, label.map_err(at)?, number)?;
    }
    sink.reading.malformed += lines.malformed();
    Ok(())
}

/// One field of each object, with its line.
pub(super) fn column<R: Read>(lines: &mut Lines<R>, path: &Path, name: &str) -> Result<Vec<(u64, String)>> {
    let mut found = Vec::new();
    while let Some((number, object)) = next(lines, path)? {
        let value = field(&object, name, "its key").map_err(|problem| Error::line(path, number, problem))?;
        found.push((number, value));
    }
    Ok(found)
}

/// The next object, and its line; lines with nothing on them are passed over.
fn next<R: Read>(lines: &mut Lines<R>, path: &Path) -> Result<Option<(u64, Map<String, Value>)>> {
    while let Some(line) = lines.next_line()? {
        if line.trim().is_empty() {
            continue;
        }
        let number = lines.number();
        let object = serde_json::from_str(&line);
        let object = object.map_err(|error| Error::line(path, number, object_problem(&error)))?;
        return Ok(Some((number, object)));
    }
    Ok(None)
}

/// serde_json counts lines of the text it was given, which here is always one.
fn object_problem(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or("");
    format!("not a JSON object ({said} at column {})", error.column())
}

fn field(object: &Map<String, Value>, name: &str, flag: &str) -> Result<String, String> {
    match object.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
        Some(value) => Err(format!("field `{name}` holds {}: expected text", kind(value))),
        None => {
            let known: Vec<&str> = object.keys().map(String::as_str).collect();
            Err(format!("no field `{name}`: there are {}; name the right one by {flag}", known.join(", ")))
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
        _ => "a plain value",
    }
}
