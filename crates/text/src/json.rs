//! Parts of a `tokenizer.json` that several vocabularies have.

use serde_json::{Map, Value, json};

/// A token that is never text.
pub(crate) fn special(id: u32, text: &str) -> Value {
    json!({
        "id": id, "content": text, "special": true,
        "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
    })
}

/// A token that a text is cut at before anything else.
pub(crate) fn added(id: u32, text: &str) -> Value {
    let mut token = special(id, text);
    token["special"] = Value::Bool(false);
    token
}

/// A post-processor that puts tokens before and behind each text; null if there are none.
pub(crate) fn frame(begin: Option<(&str, u32)>, end: Option<(&str, u32)>) -> Value {
    if begin.or(end).is_none() {
        return Value::Null;
    }
    let sign = |token: Option<(&str, u32)>, of: u32| {
        token.map(|(text, _)| json!({ "SpecialToken": { "id": text, "type_id": of } }))
    };
    let text = |name: &str, of: u32| Some(json!({ "Sequence": { "id": name, "type_id": of } }));
    let list = |parts: &[Option<Value>]| parts.iter().flatten().cloned().collect::<Vec<Value>>();
    let single = [sign(begin, 0), text("A", 0), sign(end, 0)];
    // A text that has an end needs no second begin.
    let second = [sign(begin.filter(|_| end.is_none()), 0), text("B", 1), sign(end, 1)];
    let tokens: Map<String, Value> = [begin, end]
        .into_iter()
        .flatten()
        .map(|(text, id)| (text.to_string(), json!({ "id": text, "ids": [id], "tokens": [text] })))
        .collect();
    json!({
        "type": "TemplateProcessing",
        "single": list(&single),
        "pair": list(&[&single[..], &second[..]].concat()),
        "special_tokens": tokens,
    })
}
