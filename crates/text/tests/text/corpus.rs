//! A thousand lines of many scripts, code, emoji and what is broken, through each kind of vocabulary: the ids of transformers,
//! from a folder and from a GGUF file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use warpsmith_gguf::{Gguf, Writer};
use warpsmith_text::Tokenizer;

#[derive(Deserialize)]
struct Golden {
    /// By vocabulary, the sum of each line.
    cases: BTreeMap<String, Vec<String>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/vocabularies")
}

fn read<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    serde_json::from_slice(&std::fs::read(folder().join(name)).unwrap()).unwrap()
}

/// The sum of a line's ids, plain and with what stands around them, and of the text that they make.
fn sum(tokenizer: &Tokenizer, line: &str) -> String {
    let plain = tokenizer.encode(line).unwrap();
    let framed = tokenizer.encode_with_special_tokens(line).unwrap();
    let mut crc = crc32fast::Hasher::new();
    plain.iter().chain(&framed).for_each(|id| crc.update(&id.to_le_bytes()));
    crc.update(tokenizer.decode(&plain).unwrap().as_bytes());
    format!("{:08x}", crc.finalize())
}

/// Panics with the first line whose sum is another.
fn check(name: &str, tokenizer: &Tokenizer, lines: &[String], sums: &[String]) {
    for (line, truth) in lines.iter().zip(sums) {
        let ids = tokenizer.encode(line).unwrap();
        assert!(sum(tokenizer, line) == *truth, "{name}: {line:?} became {ids:?}");
    }
}

#[test]
fn every_vocabulary_has_the_ids_of_transformers() {
    let (lines, golden): (Vec<String>, Golden) = (read("corpus.json"), read("sums.json"));
    assert_eq!((lines.len(), golden.cases.len()), (1000, 7));
    for (name, sums) in &golden.cases {
        assert_eq!(sums.len(), lines.len());
        let tokenizer = Tokenizer::from_file(folder().join(name)).unwrap();
        check(name, &tokenizer, &lines, sums);
        // In pieces a text is what it is as a whole.
        for line in &lines {
            let ids = tokenizer.encode(line).unwrap();
            let mut stream = tokenizer.stream();
            let mut text: String = ids.iter().filter_map(|&id| stream.push(id).unwrap()).collect();
            text.extend(stream.finish().unwrap());
            assert_eq!(text, tokenizer.decode(&ids).unwrap(), "{name}: {line:?}");
        }
    }
}

#[test]
fn vocabularies_of_gguf_files_have_them_too() {
    let (lines, golden): (Vec<String>, Golden) = (read("corpus.json"), read("sums.json"));
    for name in ["gpt2", "llama2", "llama3", "qwen2"] {
        let tokenizer = Tokenizer::from_file(folder().join(name)).unwrap();
        let mut writer = Writer::new();
        tokenizer.write_gguf(&mut writer, &[]).unwrap();
        let bytes = writer.finish();
        let tokenizer = Tokenizer::from_gguf(&Gguf::parse(&bytes).unwrap()).unwrap();
        check(name, &tokenizer, &lines, &golden.cases[name]);
    }
}
