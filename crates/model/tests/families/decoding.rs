//! Beam search and penalties against Hugging Face's `generate`, and against every text there is.

use serde_json::Value;
use warpsmith_autograd::no_grad;
use warpsmith_model::{
    BeamSearch, CausalModel, Decoder, EarlyStopping, Llama, LlamaConfig, Penalties, Sampling, causal_model,
};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Seed, Tensor};

use crate::golden::{ids, json, weights};

fn penalties(how: &Value) -> Penalties {
    let bias = how["sequence_bias"].as_array().into_iter().flatten();
    Penalties {
        logit_bias: bias.map(|b| (ids(&b[0])[0], b[1].as_f64().unwrap() as f32)).collect(),
        repetition_penalty: how["repetition_penalty"].as_f64().unwrap_or(1.0),
        no_repeat_ngram_size: how["no_repeat_ngram_size"].as_u64().unwrap_or(0) as usize,
        ..Penalties::default()
    }
}

fn search(how: &Value) -> BeamSearch {
    BeamSearch {
        num_beams: how["num_beams"].as_u64().unwrap() as usize,
        max_new_tokens: 9,
        length_penalty: how["length_penalty"].as_f64().unwrap_or(1.0),
        early_stopping: match &how["early_stopping"] {
            Value::Bool(true) => EarlyStopping::AsSoonAsFull,
            Value::String(_) => EarlyStopping::Never,
            _ => EarlyStopping::Heuristic,
        },
        num_return_sequences: how["num_return_sequences"].as_u64().unwrap() as usize,
        penalties: penalties(how),
    }
}

#[test]
fn beams_are_those_of_transformers() {
    let (decoding, models) = (json("decoding.json"), json("causal.json"));
    let mut compared = 0;
    for (name, case) in decoding["cases"].as_object().unwrap() {
        let golden = &models["cases"][name];
        let model =
            causal_model(&golden["config"].to_string(), weights(&golden["shapes"]), &Device::Cpu).unwrap();
        let prompt = ids(&case["prompt"]);
        let texts = case["texts"].as_array().unwrap();
        for text in texts.iter().filter(|text| !text["scores"].is_null()) {
            let found = search(&text["how"]).run(&*model, &prompt, &ids(&text["ends"])).unwrap();
            let tokens: Vec<Vec<u32>> = text["tokens"].as_array().unwrap().iter().map(ids).collect();
            assert_eq!(found.iter().map(|f| f.tokens.clone()).collect::<Vec<_>>(), tokens, "{name}: {text}");
            for (found, score) in found.iter().zip(text["scores"].as_array().unwrap()) {
                let score = score.as_f64().unwrap();
                assert!(
                    (f64::from(found.score) / score - 1.0).abs() < 1e-5,
                    "{name}: {text}: {}",
                    found.score
                );
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 28);
}

#[test]
fn greedy_text_under_penalties_is_that_of_transformers() {
    let (decoding, models) = (json("decoding.json"), json("causal.json"));
    let mut compared = 0;
    for (name, case) in decoding["cases"].as_object().unwrap() {
        let golden = &models["cases"][name];
        let model =
            causal_model(&golden["config"].to_string(), weights(&golden["shapes"]), &Device::Cpu).unwrap();
        let prompt = ids(&case["prompt"]);
        for text in case["texts"].as_array().unwrap().iter().filter(|text| text["scores"].is_null()) {
            let (ends, mut truth) = (ids(&text["ends"]), ids(&text["tokens"][0]));
            // A text of ours does not hold the token that ended it.
            truth.pop_if(|token| ends.contains(token));
            let sampling = Sampling { penalties: penalties(&text["how"]), ..Sampling::greedy() };
            let mut decoder = Decoder::new(&*model, &prompt, &sampling.max_new_tokens(9), &ends).unwrap();
            while decoder.next_token().unwrap().is_ok() {}
            assert_eq!(decoder.tokens()[prompt.len()..], truth, "{name}: {text}");
            compared += 1;
        }
    }
    assert_eq!(compared, 12);
}

/// A search with one beam has no choice but the likeliest token.
#[test]
fn one_beam_is_greedy() {
    let model =
        Llama::new(LlamaConfig { initializer_range: 0.3, ..LlamaConfig::default() }, &Device::Cpu, Seed(4));
    let model = model.unwrap();
    let how = BeamSearch { num_beams: 1, max_new_tokens: 12, ..BeamSearch::default() };
    let sampling = Sampling::greedy().max_new_tokens(12);
    let mut decoder = Decoder::new(&model, &[5, 6], &sampling, &[]).unwrap();
    while decoder.next_token().unwrap().is_ok() {}
    assert_eq!(how.run(&model, &[5, 6], &[]).unwrap()[0].tokens, decoder.tokens()[2..]);
}

/// Enough beams to hold every text of two tokens lose none of three.
#[test]
fn beams_enough_find_the_likeliest_of_all_texts() {
    let config = LlamaConfig { vocab_size: 5, initializer_range: 0.3, ..LlamaConfig::default() };
    let model = Llama::new(config, &Device::Cpu, Seed(3)).unwrap();
    let log_probability = |text: &[u32]| {
        let ids = Tensor::from_slice(&[&[1], text].concat(), &[1, 4], &Device::Cpu).unwrap();
        let rows = no_grad(|| model.forward(&ids)?.log_softmax()).unwrap().to_vec::<f32>().unwrap();
        text.iter().enumerate().map(|(i, &id)| f64::from(rows[i * 5 + id as usize])).sum::<f64>()
    };
    let mut all: Vec<(Vec<u32>, f64)> = (0..125)
        .map(|i| vec![i / 25, i / 5 % 5, i % 5])
        .map(|text| (text.clone(), log_probability(&text)))
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    let how =
        BeamSearch { num_beams: 25, max_new_tokens: 3, num_return_sequences: 25, ..BeamSearch::default() };
    let found = how.run(&model, &[1], &[]).unwrap();
    assert_eq!(found.len(), 25);
    for (found, (text, score)) in found.iter().zip(&all) {
        assert_eq!(&found.tokens, text);
        assert!((f64::from(found.score) - score / 3.0).abs() < 1e-5);
    }
}

#[test]
fn searches_that_make_no_sense_are_refused() {
    let model = Llama::new(LlamaConfig::default(), &Device::Cpu, Seed(3)).unwrap();
    let run = |how: BeamSearch, prompt: &[u32]| how.run(&model, prompt, &[]).unwrap_err().to_string();
    let how = BeamSearch::default();
    assert!(run(BeamSearch { num_beams: 0, ..how.clone() }, &[1]).contains("num_beams"));
    assert!(run(BeamSearch { num_return_sequences: 5, ..how.clone() }, &[1]).contains("1..=4"));
    assert!(run(BeamSearch { length_penalty: f64::NAN, ..how.clone() }, &[1]).contains("length_penalty"));
    assert!(run(how.clone(), &[]).contains("empty"));
    assert!(run(how.clone(), &[300]).contains("300"));
    assert!(run(BeamSearch { max_new_tokens: 256, ..how }, &[1]).contains("257 positions"));
}
