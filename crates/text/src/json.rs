//! Parts of a `tokenizer.json` that several vocabularies have.

use serde_json::{Value, json};

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

/// A post-processor that puts a token before each text.
pub(crate) fn frame(token: &str, id: u32) -> Value {
    let begin = json!({ "SpecialToken": { "id": token, "type_id": 0 } });
    let sequence = |name: &str| json!({ "Sequence": { "id": name, "type_id": 0 } });
    json!({
        "type": "TemplateProcessing",
        "single": [begin, sequence("A")],
        "pair": [begin, sequence("A"), begin, sequence("B")],
        "special_tokens": { token: { "id": token, "ids": [id], "tokens": [token] } },
    })
}
