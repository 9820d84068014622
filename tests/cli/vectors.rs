//! `warpsmith embed` of decoders: folders as sentence-transformers saves them, and GGUF files.

use serde_json::Value;
use warpsmith::model::{LlamaKind, Pooling};
use warpsmith::prelude::*;
use warpsmith::train::SentenceEncoder;

use super::families::folder;
use super::{Place, refused, succeeded};
use crate::Checked;

const TEXTS: [&str; 3] = ["one", "a longer text", "!"];

/// The vectors that the command prints for the texts.
fn embed(
    place: &Place,
    model: &str,
    more: &[&str],
    texts: &[&str],
) -> Result<Vec<Vec<f32>>, serde_json::Error> {
    let words = ["embed", "--model", model, "--device", "cpu", "--json"];
    let told = succeeded(&place.run(&[&words[..], more, texts].concat()));
    told.lines()
        .map(|line| serde_json::from_value(serde_json::from_str::<Value>(line)?["embedding"].clone()))
        .collect()
}

#[test]
fn a_folder_says_how_its_vectors_are_made() -> Checked {
    let place = Place::new();
    folder(&place, LlamaKind::Qwen3)?;
    let library = |pooling: Pooling, normalise: bool| -> Result<Vec<Vec<f32>>, Box<dyn std::error::Error>> {
        let mut encoder = SentenceEncoder::open(&place.path("qwen3"), Held::AsStored, &Device::Cpu)?;
        (encoder.pooling, encoder.normalise) = (pooling, normalise);
        Ok(encoder.embed(&TEXTS)?.into_iter().map(|found| found.vector).collect())
    };
    let command = |more: &[&str]| embed(&place, "qwen3", more, &TEXTS);
    // Nothing is said: as in sentence-transformers.
    assert_eq!(command(&[])?, library(Pooling::Mean, false)?);
    std::fs::create_dir_all(place.path("qwen3/1_Pooling"))?;
    place.write(
        "qwen3/modules.json",
        br#"[{"type": "a.Transformer"}, {"type": "a.Pooling"}, {"type": "a.Normalize"}]"#,
    );
    let last = library(Pooling::Last, true)?;
    for says in [
        r#"{"pooling_mode": "lasttoken", "include_prompt": true}"#,
        r#"{"pooling_mode": ["lasttoken"]}"#,
        r#"{"pooling_mode_mean_tokens": false, "pooling_mode_lasttoken": true}"#,
    ] {
        place.write("qwen3/1_Pooling/config.json", says.as_bytes());
        assert_eq!(command(&[])?, last, "{says}");
    }
    for (word, pooling) in [("mean", Pooling::Mean), ("cls", Pooling::First), ("last", Pooling::Last)] {
        assert_eq!(command(&["--pooling", word])?, library(pooling, true)?, "{word}");
    }
    // Each alone has the bits that it has beside others.
    for (text, vector) in TEXTS.iter().zip(last) {
        assert_eq!(embed(&place, "qwen3", &[], &[text])?, [vector], "{text}");
    }
    Ok(())
}

/// As sentence-transformers takes them: a name that is asked for, else the default, else none.
#[test]
fn a_prompt_stands_before_each_text() -> Checked {
    let place = Place::new();
    folder(&place, LlamaKind::Qwen3)?;
    let behind = |prompt: &str| {
        let texts = TEXTS.map(|text| format!("{prompt}{text}"));
        embed(&place, "qwen3", &["--prompt", ""], &texts.each_ref().map(String::as_str))
    };
    let (none, query, document) = (behind("")?, behind("find: ")?, behind("a ")?);
    assert!(none != query && query != document);
    let told = |more: &[&str]| embed(&place, "qwen3", more, &TEXTS);
    let says = |default: &str| {
        let text = format!(
            r#"{{"prompts": {{"query": "find: ", "document": "a "}}, "default_prompt_name": {default}, "similarity_fn_name": "cosine"}}"#
        );
        place.write("qwen3/config_sentence_transformers.json", text.as_bytes());
    };
    assert_eq!(told(&[])?, none);
    says("null");
    assert_eq!(told(&[])?, none);
    assert_eq!(told(&["--prompt_name", "query"])?, query);
    assert_eq!(told(&["--prompt", "find: "])?, query);
    says("\"document\"");
    assert_eq!(told(&[])?, document);
    assert_eq!(told(&["--prompt_name", "query"])?, query);
    assert_eq!(told(&["--prompt", ""])?, none);
    let error = refused(&place.run(&["embed", "--model", "qwen3", "--prompt_name", "qeury", "x"]), 1);
    assert!(error.contains("\"qeury\": the model has document, query"), "{error}");
    says("\"none\"");
    let error = refused(&place.run(&["embed", "--model", "qwen3", "x"]), 1);
    assert!(error.contains("config_sentence_transformers.json: there is no prompt \"none\""), "{error}");
    says("null");
    std::fs::create_dir_all(place.path("qwen3/1_Pooling"))?;
    place.write("qwen3/1_Pooling/config.json", br#"{"pooling_mode": "mean", "include_prompt": false}"#);
    let error = refused(&place.run(&["embed", "--model", "qwen3", "x"]), 1);
    assert!(error.contains("1_Pooling") && error.contains("include_prompt"), "{error}");
    Ok(())
}

#[test]
fn what_makes_other_vectors_is_refused() -> Checked {
    let place = Place::new();
    folder(&place, LlamaKind::Llama)?;
    std::fs::create_dir_all(place.path("llama/1_Pooling"))?;
    for says in [
        r#"{"pooling_mode": "weightedmean"}"#,
        r#"{"pooling_mode": ["mean", "max"]}"#,
        r#"{"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true}"#,
        r#"{"pooling_mode_mean_tokens": false}"#,
    ] {
        place.write("llama/1_Pooling/config.json", says.as_bytes());
        let error = refused(&place.run(&["embed", "--model", "llama", "x"]), 1);
        assert!(error.contains("1_Pooling") && error.contains("lasttoken are"), "{says}: {error}");
    }
    std::fs::remove_dir_all(place.path("llama/1_Pooling"))?;
    place.write(
        "llama/modules.json",
        br#"[{"type": "a.Transformer"}, {"type": "sentence_transformers.models.Dense"}]"#,
    );
    let error = refused(&place.run(&["embed", "--model", "llama", "x"]), 1);
    assert!(error.contains("modules.json") && error.contains("models.Dense"), "{error}");
    let error = refused(&place.run(&["embed", "--model", "llama", "--pooling", "max", "x"]), 2);
    assert!(error.contains("lasttoken"), "{error}");
    Ok(())
}

/// A text beyond what the model sees loses its end: decoders have no mark there.
#[test]
fn the_end_of_a_long_text_is_cut_off() -> Checked {
    let place = Place::new();
    folder(&place, LlamaKind::Llama)?;
    let encoder = SentenceEncoder::open(&place.path("llama"), Held::AsStored, &Device::Cpu)?;
    let text = "0123456789".repeat(4);
    let found = &encoder.embed(&[&text, &text[..32]])?;
    assert_eq!((found[0].tokens, found[0].cut), (32, 8));
    assert_eq!(found[0].vector, found[1].vector);
    // The tokenizer may ask for less, and sentence-transformers for less again.
    for (file, says, tokens) in [
        ("tokenizer_config.json", r#"{"model_max_length": 9}"#, 9),
        ("sentence_bert_config.json", r#"{"max_seq_length": 4}"#, 4),
    ] {
        place.write(&format!("llama/{file}"), says.as_bytes());
        let encoder = SentenceEncoder::open(&place.path("llama"), Held::AsStored, &Device::Cpu)?;
        assert_eq!(encoder.embed(&[&text])?[0].tokens, tokens);
    }
    Ok(())
}

/// A file of the folder makes the same vectors, divided by their length as llama.cpp's are.
#[test]
fn a_gguf_file_makes_the_vectors_of_its_folder() -> Checked {
    let place = Place::new();
    folder(&place, LlamaKind::Qwen3)?;
    succeeded(&place.run(&["convert", "--from", "qwen3", "--to", "m.gguf", "--type", "f32"]));
    place.write("qwen3/modules.json", br#"[{"type": "a.Normalize"}]"#);
    for pooling in ["mean", "last"] {
        let flags = ["--pooling", pooling];
        assert_eq!(
            embed(&place, "m.gguf", &flags, &TEXTS)?,
            embed(&place, "qwen3", &flags, &TEXTS)?,
            "{pooling}"
        );
    }
    Ok(())
}
