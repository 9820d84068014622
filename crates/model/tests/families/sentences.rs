//! Vectors of texts by decoders: those of sentence-transformers, whatever texts stand beside them.

use serde_json::Value;
use warpsmith_model::{EncoderBatch, Held, Pooling, TextReader, Weights};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device};

use crate::golden::{assert_close, ids, json, tensors, weights};

/// As for the decoders: both sides compute in f32.
const BOUND: f64 = 1e-5;

fn cases() -> Vec<(String, Value)> {
    let Value::Object(cases) = json("sentences.json")["cases"].take() else { panic!("no cases") };
    cases.into_iter().collect()
}

fn vectors(reader: &TextReader, case: &Value, which: &[usize]) -> warpsmith_tensor::Tensor {
    let pooling = match case["pooling"].as_str().unwrap() {
        "mean" => Pooling::Mean,
        "cls" => Pooling::First,
        "lasttoken" => Pooling::Last,
        other => panic!("{other}"),
    };
    let rows: Vec<Vec<u32>> = which.iter().map(|&i| ids(&case["ids"][i])).collect();
    let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    let batch = EncoderBatch::new(&rows, None, &Device::Cpu).unwrap();
    reader.vectors(&batch, pooling, case["normalise"].as_bool().unwrap()).unwrap()
}

#[test]
fn vectors_of_decoders_are_those_of_sentence_transformers() {
    let truth = tensors("sentences.safetensors");
    assert_eq!(cases().len(), truth.len());
    for (name, case) in &cases() {
        let weights = Weights::given(weights(&case["shapes"]), &Device::Cpu);
        let reader = TextReader::from_weights(&case["config"].to_string(), &weights).unwrap();
        for i in 0..3 {
            let one = vectors(&reader, case, &[i]);
            assert_close(name, &one, &truth[name].slice(0, i, 1, 1).unwrap(), BOUND);
        }
    }
}

/// Three texts of 20, 7 and 1 tokens together have the bits that each has alone, in f32 and in what the file holds.
#[test]
fn a_text_has_the_same_vector_in_any_company() {
    for (name, case) in &cases() {
        for (dtype, held) in [(DType::F32, Held::AsF32), (DType::BF16, Held::AsStored)] {
            let stored = weights(&case["shapes"]);
            let stored = stored.into_iter().map(|(n, t)| (n, t.to_dtype(dtype).unwrap())).collect();
            let weights = Weights::held(stored, held, &Device::Cpu);
            let reader = TextReader::from_weights(&case["config"].to_string(), &weights).unwrap();
            assert_eq!(weights.kept().is_empty(), held == Held::AsF32, "{name}");
            let alone = |i| vectors(&reader, case, &[i]).to_vec::<f32>().unwrap();
            let together = vectors(&reader, case, &[0, 1, 2]).to_vec::<f32>().unwrap();
            let is_same = together == [alone(0), alone(1), alone(2)].concat();
            // Where positions turn by the longest sequence, texts do not run together.
            assert_eq!(is_same, reader.most_together(3) == 3, "{name}");
        }
    }
}
