//! The names of classes, as a `config.json` holds them: `id2label` and `label2id`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use warpsmith_tensor::{Error, Result};

/// The labels in the order of their numbers; transformers names two where a config names none.
pub(crate) fn read(by_id: Option<BTreeMap<String, String>>) -> Result<Vec<String>> {
    let Some(by_id) = by_id else { return Ok(vec!["LABEL_0".into(), "LABEL_1".into()]) };
    let mut labels = vec![None; by_id.len()];
    for (id, label) in by_id {
        let place = id.parse::<usize>().ok().and_then(|i| labels.get_mut(i));
        match place {
            Some(place) => *place = Some(label),
            None => {
                return Err(Error::value("config.json", format!("id2label has the number `{id}`"))
                    .hint("labels are numbered from 0, without gaps"));
            }
        }
    }
    // As many numbers as places, all different and in range: none is empty.
    Ok(labels.into_iter().flatten().collect())
}

/// `id2label` and `label2id`.
pub(crate) fn to_json(labels: &[String]) -> (Value, Value) {
    let numbered = || labels.iter().enumerate();
    let by_id: BTreeMap<String, &String> = numbered().map(|(i, label)| (i.to_string(), label)).collect();
    let by_label: BTreeMap<&String, usize> = numbered().map(|(i, label)| (label, i)).collect();
    (json!(by_id), json!(by_label))
}
