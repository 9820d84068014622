//! A broken `tokenizer.json` is an error, never a panic, and what loads in spite of damage can be used.

use proptest::prelude::*;
use serde_json::{Value, json};
use warpsmith_text::{Error, Tokenizer};

const TEXT: &str = "the cat sat on the mat\nthe dog sat on the log, 你好 😀\n";

fn files() -> [Vec<u8>; 3] {
    let kinds = [
        Tokenizer::byte_level(),
        Tokenizer::from_chars(TEXT).unwrap(),
        Tokenizer::train_bpe(TEXT, 280).unwrap(),
    ];
    kinds.map(|tokenizer| tokenizer.to_json().unwrap().into_bytes())
}

/// Loads, and works a little with what loads. Any answer is right but a panic.
fn try_out(bytes: &[u8]) {
    if let Ok(tokenizer) = Tokenizer::from_json(bytes) {
        if let Ok(ids) = tokenizer.encode(TEXT) {
            let _ = tokenizer.decode(&ids);
        }
        let mut stream = tokenizer.stream();
        for id in [0, 1, 70, 255, 256, 279, u32::MAX] {
            let _ = (tokenizer.id_to_token(id), tokenizer.decode(&[id]), stream.push(id));
        }
        let _ = (tokenizer.name(), tokenizer.eos(), tokenizer.bos(), stream.finish(), tokenizer.to_json());
    }
}

#[test]
fn every_truncation_is_an_error() {
    for file in files() {
        let end = file.trim_ascii_end().len();
        for cut in (0..end).step_by(64) {
            assert!(
                matches!(Tokenizer::from_json(&file[..cut]), Err(Error::InvalidTokenizer { .. })),
                "{cut}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn a_flipped_bit_never_panics(kind in 0_usize..3, place in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let mut file = files()[kind].clone();
        let place = place.index(file.len());
        file[place] ^= 1 << bit;
        try_out(&file);
    }
}

#[test]
fn what_is_no_tokenizer_is_said_in_one_line() {
    let deep = "[".repeat(100_000);
    for file in [
        "",
        "\u{0}",
        "null",
        "[]",
        "3",
        "\"bpe\"",
        "{}",
        "{\"model\": 3}",
        "{\"model\": {}}",
        "\u{FEFF}{}",
        &deep,
    ] {
        let message = Tokenizer::from_json(file.as_bytes()).unwrap_err().to_string();
        assert!(message.starts_with("<memory> is not a usable tokenizer: "), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
    assert!(Tokenizer::from_json(b"\xFF\xFE{}").is_err());
}

/// Every value in the file in turn is replaced by one of another type.
#[test]
fn values_of_another_type_never_panic() {
    let wrong = [
        Value::Null,
        json!(true),
        json!(-1),
        json!(1e300),
        json!("x"),
        json!([]),
        json!({}),
        json!([["a", 1]]),
    ];
    for file in files() {
        let whole: Value = serde_json::from_slice(&file).unwrap();
        for path in shallow_paths(&whole) {
            for value in &wrong {
                let mut broken = whole.clone();
                *broken.pointer_mut(&path).unwrap() = value.clone();
                try_out(broken.to_string().as_bytes());
            }
        }
    }
}

/// JSON pointers of all values down to the fields of the model, with the first few entries of each list.
fn shallow_paths(value: &Value) -> Vec<String> {
    let mut paths = vec![String::new()];
    let grow = |path: &str, value: &Value| {
        let keys: Vec<String> = match value {
            Value::Object(fields) => fields.keys().take(20).cloned().collect(),
            Value::Array(entries) => (0..entries.len().min(3)).map(|i| i.to_string()).collect(),
            _ => Vec::new(),
        };
        let escape = |key: String| key.replace('~', "~0").replace('/', "~1");
        keys.into_iter().map(|key| format!("{path}/{}", escape(key))).collect::<Vec<_>>()
    };
    let mut level = vec![String::new()];
    for _ in 0..3 {
        level = level
            .iter()
            .flat_map(|path| value.pointer(path).map(|v| grow(path, v)).unwrap_or_default())
            .collect();
        paths.extend(level.iter().cloned());
    }
    paths
}

/// A field that the library takes on trust: cutting into pieces of no characters.
#[test]
fn a_file_that_makes_the_library_fail_at_work_gives_an_error() {
    let mut file: Value = serde_json::from_slice(&files()[2]).unwrap();
    file["pre_tokenizer"] = json!({"type": "FixedLength", "length": 0});
    let tokenizer = Tokenizer::from_json(file.to_string().as_bytes()).unwrap();
    let error = tokenizer.encode(TEXT).unwrap_err();
    assert!(matches!(error, Error::Tokenizer { .. }), "{error}");
}

#[test]
fn ids_that_would_need_a_giant_embedding_are_refused() {
    for id in [1_u64 << 24, u64::from(u32::MAX)] {
        let file = json!({
            "version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
            "decoder": null, "truncation": null, "padding": null,
            "model": {"type": "WordLevel", "unk_token": "a", "vocab": {"a": 0, "hello": id}},
        });
        let message = Tokenizer::from_json(file.to_string().as_bytes()).unwrap_err().to_string();
        assert!(message.contains("ids must be below 16777216"), "{message}");
    }
}

#[test]
fn a_missing_file_and_a_giant_file_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let message = Tokenizer::from_file(folder.path()).unwrap_err().to_string();
    assert!(message.ends_with("tokenizer.json: no such file or folder; check the path"), "{message}");
    let giant = folder.path().join("giant.json");
    std::fs::File::create(&giant).unwrap().set_len((256 << 20) + 1).unwrap();
    let message = Tokenizer::from_file(&giant).unwrap_err().to_string();
    assert!(message.contains("268435457 bytes, more than 268435456"), "{message}");
}
