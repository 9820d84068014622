//! T5: its encoder, its decoder with and without a cache, and the text that it writes.

use serde_json::Value;
use warpsmith_autograd::{TensorExt, no_grad};
use warpsmith_model::{Decoder, EncoderBatch, Request, Sampling, T5, T5Config, complete};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Rng, Seed, Tensor};

use crate::decoding::{compare_beams, compare_greedy};
use crate::golden::{assert_close, ids, json, tensors, weights};

/// As for the decoders: both sides compute in f32.
const BOUND: f64 = 1e-5;

fn cases() -> Vec<(String, Value)> {
    let Value::Object(cases) = json("seq2seq.json")["cases"].take() else { panic!("no cases") };
    cases.into_iter().collect()
}

fn model(case: &Value) -> T5 {
    T5::from_state(&case["config"].to_string(), weights(&case["shapes"]), &Device::Cpu).unwrap()
}

fn prompts(case: &Value) -> EncoderBatch {
    let rows = [ids(&case["prompts"][0]), ids(&case["prompts"][1])];
    EncoderBatch::new(&[&rows[0], &rows[1]], None, &Device::Cpu).unwrap()
}

/// Columns `from..to` of the answers, (2, to - from).
fn answers(case: &Value, from: usize, to: usize) -> Tensor {
    let rows = [0, 1].map(|i| ids(&case["answers"][i])[from..to].to_vec());
    Tensor::from_vec(rows.concat(), &[2, to - from], &Device::Cpu).unwrap()
}

#[test]
fn logits_are_those_of_transformers() {
    let truth = tensors("seq2seq.safetensors");
    for (name, case) in &cases() {
        let (model, batch) = (model(case), prompts(case));
        let encoded = no_grad(|| model.encode(&batch, None)).unwrap();
        for (i, len) in [21, 8].into_iter().enumerate() {
            let real = |t: &Tensor| t.slice(0, i, 1, 1).unwrap().slice(1, 0, len, 1).unwrap();
            assert_close(name, &real(&encoded), &real(&truth[&format!("{name}.encoded")]), BOUND);
        }
        let logits = no_grad(|| model.forward(&batch, &answers(case, 0, 19), None)).unwrap();
        assert_close(name, &logits, &truth[name], BOUND);
    }
}

/// Softmax sums a row in an order that depends on how many keys there are, so that the bits may differ.
#[test]
fn the_cache_gives_what_the_whole_gives() {
    for (name, case) in &cases() {
        let (model, batch) = (model(case), prompts(case));
        no_grad(|| {
            let whole = model.forward(&batch, &answers(case, 0, 19), None).unwrap();
            let mut cache = model.cache(&batch, &model.encode(&batch, None).unwrap(), 19).unwrap();
            let mut start = 0;
            for t in [1, 7, 1, 10] {
                let part = model.decode_cached(&answers(case, start, start + t), &mut cache).unwrap();
                assert_close(name, &part, &whole.slice(1, start, t, 1).unwrap(), BOUND);
                start += t;
            }
            let over = model.decode_cached(&answers(case, 0, 1), &mut cache).unwrap_err().to_string();
            assert!(over.contains("20 positions"), "{over}");
        });
    }
}

#[test]
fn greedy_text_is_that_of_transformers() {
    for (name, case) in &cases() {
        let greedy = ids(&case["greedy"]);
        let model = model(case);
        let answers = model.answers(&ids(&case["prompts"][0])).unwrap();
        let sampling = Sampling::greedy().max_new_tokens(greedy.len());
        let mut decoder = Decoder::new(&answers, &[answers.start()], &sampling, &[]).unwrap();
        while decoder.next_token().unwrap().is_ok() {}
        assert_eq!(decoder.tokens()[1..], greedy, "{name}");
    }
}

/// Greedy under penalties, and beams: what decodes takes the answers of a T5 as it takes a decoder.
#[test]
fn answers_are_those_of_transformers() {
    let mut compared = (0, 0);
    for (name, case) in &cases() {
        let model = model(case);
        let answers = model.answers(&ids(&case["prompts"][0])).unwrap();
        let start = [answers.start()];
        compared.0 += compare_beams(name, &answers, &start, &case["texts"]);
        compared.1 += compare_greedy(name, &answers, &start, &case["texts"]);
        let greedy = ids(&case["greedy"]);
        let request = |seed| Request {
            prompt: start.to_vec(),
            sampling: Sampling::default().temperature(0.5).max_new_tokens(greedy.len()).seed(seed),
        };
        let run = |requests: &[Request]| complete(&answers, requests, &[], None, &mut |_, _| true).unwrap();
        // Rows of a batch read the same text.
        let together = run(&[request(1), request(2), request(3)]);
        for (seed, one) in (1..).zip(&together) {
            assert_eq!(run(&[request(seed)])[0], *one, "{name}");
        }
    }
    assert_eq!(compared, (28, 12));
}

/// Texts of 21, 8, 70 and 1 tokens are answered together, by rows that end at different times, to the bits of each alone.
#[test]
fn answers_to_several_texts_are_those_to_each() {
    for (name, case) in &cases() {
        let model = model(case);
        let long: Vec<u32> = (0..70).map(|i| i * i % 31 + 2).collect();
        let prompts = [ids(&case["prompts"][0]), ids(&case["prompts"][1]), long, vec![5]];
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        let request = |i: usize| Request {
            prompt: vec![model.config().decoder_start_token_id],
            sampling: Sampling::default().temperature(0.5).max_new_tokens([9, 0, 12, 3][i]).seed(i as u64),
        };
        let run = |prompts: &[&[u32]], requests: &[Request]| {
            let answers = model.answers_to(prompts).unwrap();
            complete(&answers, requests, &[], Some(1), &mut |_, _| true)
        };
        let together = run(&prompts, &[0, 1, 2, 3].map(request)).unwrap();
        for (i, prompt) in prompts.iter().enumerate() {
            assert_eq!(run(&[prompt], &[request(i)]).unwrap()[0], together[i], "{name} {i}");
        }
        assert_ne!(together[0].tokens[..3], together[3].tokens, "{name}: each text has its answer");
        let error = run(&prompts[..2], &[0, 1, 2].map(request)).unwrap_err().to_string();
        assert!(error.contains("request 2 has no text"), "{error}");
    }
}

#[test]
fn a_padded_prompt_is_the_prompt_alone() {
    for (name, case) in &cases() {
        let (model, row) = (model(case), ids(&case["prompts"][1]));
        let alone = EncoderBatch::new(&[&row], None, &Device::Cpu).unwrap();
        let encoded = |batch: &EncoderBatch| no_grad(|| model.encode(batch, None)).unwrap();
        let both = encoded(&prompts(case)).slice(0, 1, 1, 1).unwrap().slice(1, 0, 8, 1).unwrap();
        assert_eq!(both.to_vec::<f32>().unwrap(), encoded(&alone).to_vec::<f32>().unwrap(), "{name}");
    }
}

#[test]
fn it_learns_and_its_folder_is_the_same_model() {
    let (name, case) = cases().swap_remove(1);
    let config = T5Config::from_json(&case["config"].to_string()).unwrap();
    assert_eq!(T5Config::from_json(&config.to_json()).unwrap(), config);
    let config = T5Config { tie_word_embeddings: false, dropout_rate: 0.05, ..config };
    let model = T5::new(config, &Device::Cpu, Seed(1)).unwrap();
    let (batch, rng) = (prompts(&case), Rng::new(Seed(2)));
    let targets: Vec<i64> =
        answers(&case, 1, 7).to_vec::<u32>().unwrap().into_iter().map(i64::from).collect();
    let targets = Tensor::from_vec(targets, &[2, 6], &Device::Cpu).unwrap();
    let mut losses = Vec::new();
    for _ in 0..30 {
        let logits = model.forward(&batch, &answers(&case, 0, 6), Some(&rng)).unwrap();
        let loss = logits.cross_entropy(&targets).unwrap();
        losses.push(loss.item().unwrap());
        let gradients = loss.backward().unwrap();
        for p in model.parameters() {
            let g = gradients.get(&p).unwrap_or_else(|| panic!("no gradient of {}", p.name()));
            p.set(&p.get().detach().sub(&g.affine(0.05, 0.0).unwrap()).unwrap()).unwrap();
        }
    }
    assert!(losses[29] < 0.5 * losses[0], "{name}: {losses:?}");
    let again = T5::from_state(&model.config().to_json(), model.state(), &Device::Cpu).unwrap();
    let bits = |m: &T5| no_grad(|| m.encode(&batch, None)).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(bits(&again), bits(&model));
}

#[test]
fn names_are_those_of_transformers_and_odd_configs_are_refused() {
    for (name, case) in &cases() {
        let state = model(case).state();
        let names: Vec<&String> = case["shapes"].as_object().unwrap().keys().collect();
        assert_eq!(state.keys().collect::<Vec<_>>(), names, "{name}");
        let with = |from: &str, to: &str| {
            let text = case["config"].to_string();
            assert!(text.contains(from), "{text}");
            T5Config::from_json(&text.replace(from, to)).unwrap_err().to_string()
        };
        assert!(with("\"model_type\":\"t5\"", "\"model_type\":\"t6\"").contains("t6"));
        assert!(with("\"num_heads\":3", "\"num_heads\":0").contains("num_heads is 0"));
        assert!(with("max_distance\":16", "max_distance\":2").contains("8 buckets"));
        assert!(with("\"feed_forward_proj\":\"", "\"feed_forward_proj\":\"mish-").contains("mish"));
    }
}
