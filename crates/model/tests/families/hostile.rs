//! safetensors files and configs from strangers: an error or what was meant, never a panic, and never more memory than is fair.

use std::collections::BTreeMap;
use std::path::Path;

use warpsmith_damage::{Counting, cut_off, edited, fair, flipped, rounds};
use warpsmith_model::{Gpt, GptConfig, causal_model, from_safetensors, to_safetensors};
use warpsmith_tensor::{Device, Error, Seed};

use crate::golden::{Tensors, json, weights};
use crate::{config, safetensors};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Of each file.
const EDITS: usize = 20_000;

/// Two blocks, whose names differ in a bit.
fn small() -> GptConfig {
    GptConfig { vocab_size: 5, block_size: 3, n_layer: 2, n_head: 1, n_embd: 2, ..GptConfig::default() }
}

fn file() -> Vec<u8> {
    let model = Gpt::new(small(), &Device::Cpu, Seed(1)).unwrap();
    to_safetensors(&model.state(), &[("format", "pt")]).unwrap()
}

/// The bytes of length and header.
fn head(file: &[u8]) -> usize {
    8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize
}

fn parse(bytes: &[u8]) -> Result<Tensors, Error> {
    fair(bytes.len(), || from_safetensors(bytes, &Device::Cpu))
}

fn bits(tensors: &Tensors) -> BTreeMap<String, Vec<u32>> {
    let bits = |numbers: Vec<f32>| numbers.into_iter().map(f32::to_bits).collect();
    tensors.iter().map(|(name, t)| (name.clone(), bits(t.to_vec::<f32>().unwrap()))).collect()
}

/// Whether a file makes the model; its numbers are then those of the whole file.
fn loads(bytes: &[u8], truth: &BTreeMap<String, Vec<u32>>) -> bool {
    let Ok(tensors) = parse(bytes) else { return false };
    let Ok(model) = Gpt::from_state(small(), &tensors, &Device::Cpu) else { return false };
    assert!(bits(&model.state()) == *truth, "other numbers: {}", String::from_utf8_lossy(bytes));
    true
}

#[test]
fn the_same_weights_make_the_same_bytes() {
    let first = file();
    assert!((0..20).all(|_| file() == first));
}

#[test]
fn weights_cut_off_are_an_error() {
    let whole = file();
    cut_off(&whole, |bytes| drop(parse(bytes).unwrap_err()));
    assert!(parse(&[&whole[..], &[0]].concat()).is_err());
}

#[test]
fn weights_with_another_bit_are_an_error_or_the_same_numbers() {
    let whole = file();
    let truth = bits(&parse(&whole).unwrap());
    let mut same = 0;
    flipped(&whole, 0..whole.len(), |bytes, _| same += usize::from(loads(bytes, &truth)));
    assert!(same > 0, "metadata may say anything");
    let mut same = 0;
    edited(&whole, 0..head(&whole), rounds(EDITS), 5, |bytes| same += usize::from(loads(bytes, &truth)));
    assert!(same > 0);
}

#[test]
fn weights_edited_anywhere_are_an_error_or_can_be_read() {
    let whole = file();
    let mut read = 0;
    edited(&whole, 0..whole.len(), rounds(EDITS), 7, |bytes| {
        read += usize::from(parse(bytes).is_ok());
        safetensors::read(bytes);
    });
    assert!(read > 0);
}

/// The configs of all families, and the weights of those that are decoders.
fn configs() -> Vec<(Vec<u8>, Option<Tensors>)> {
    let of = |file: &str, cases: &[&str]| {
        let all = json(file);
        let one = |name: &&str| {
            let case = &all["cases"][*name];
            let weights = (file == "causal.json").then(|| weights(&case["shapes"]));
            (case["config"].to_string().into_bytes(), weights)
        };
        cases.iter().map(one).collect::<Vec<_>>()
    };
    [
        of("causal.json", &["gpt2", "llama_llama3", "qwen2"]),
        of("encoders.json", &["bert_sequence"]),
        of("seq2seq.json", &["t5_gated"]),
    ]
    .concat()
}

/// A config that is one; what it makes of the weights is a model or an error.
fn try_config(bytes: &[u8], weights: Option<&Tensors>) -> bool {
    let is_config = fair(bytes.len(), || config::is_config(bytes));
    if let (true, Some(weights), Ok(text)) = (is_config, weights, std::str::from_utf8(bytes)) {
        let size: usize = weights.values().map(|t| 4 * t.numel()).sum();
        let _ = fair(bytes.len() + size, || causal_model(text, weights.clone(), &Device::Cpu).map(drop));
    }
    is_config
}

#[test]
fn damaged_configs_are_survived() {
    for (seed, (whole, weights)) in (3..).zip(configs()) {
        assert!(try_config(&whole, weights.as_ref()));
        // No number stands behind the last brace.
        cut_off(&whole, |bytes| assert!(!try_config(bytes, None)));
        flipped(&whole, 0..whole.len(), |bytes, _| {
            try_config(bytes, weights.as_ref());
        });
        let mut usable = 0;
        edited(&whole, 0..whole.len(), rounds(EDITS), seed, |bytes| {
            usable += usize::from(try_config(bytes, None));
        });
        assert!(usable > 0);
    }
}

#[test]
fn the_corpora_of_the_fuzzers_are_survived() {
    let questions = [("safetensors", safetensors::read as fn(&[u8])), ("config", config::read)];
    for (name, read) in questions {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() > 5, "{name}");
        files.iter().for_each(|path| read(&std::fs::read(path).unwrap()));
    }
}
