//! JSONL: an object a line.

use serde_json::{Map, Value};

use super::Sink;
use crate::{Error, Result};

pub(super) fn read(sink: &mut Sink) -> Result<()> {
    let mut lines = sink.lines()?;
    while let Some(line) = lines.next_line()? {
        let number = lines.number();
        if line.trim().is_empty() {
            continue;
        }
        let at = |problem: String| Error::line(sink.path, number, problem);
        let object: Map<String, Value> = serde_json::from_str(&line).map_err(|e| at(object_problem(&e)))?;
        let text = field(&object, &sink.options.text, "--text").map_err(at)?;
        let label = sink.options.label.as_ref().map(|name| field(&object, name, "--label")).transpose();
        let label = label.map_err(at)?;
        sink.push(text, label, number)?;
    }
    sink.reading.malformed += lines.malformed();
    Ok(())
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
