//! T5 and Marian: the encoder, the decoder with and without a cache, and the text that it writes.

use serde_json::Value;
use warpsmith_autograd::{TensorExt, no_grad};
use warpsmith_model::{
    Answers, CausalModel, Decoder, EncoderBatch, EncoderDecoder, Marian, MarianConfig, Request, Sampling, T5,
    T5Config, Weights, answering_model, complete,
};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Kind, Rng, Seed, Tensor};

use crate::decoding::{compare_beams, compare_greedy};
use crate::golden::{assert_close, ids, json, tensors, weights};

/// As for the decoders: both sides compute in f32.
const BOUND: f64 = 1e-5;

fn cases() -> Vec<(String, Value)> {
    let Value::Object(cases) = json("seq2seq.json")["cases"].take() else { panic!("no cases") };
    cases.into_iter().collect()
}

fn config(case: &Value) -> String {
    case["config"].to_string()
}

fn model(case: &Value) -> Box<dyn EncoderDecoder> {
    answering_model(&config(case), &Weights::given(weights(&case["shapes"]), &Device::Cpu)).unwrap()
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
            let mut cache = model.cache_of(&model.read(&batch).unwrap(), &[0, 1], 19).unwrap();
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
        let answers = Answers::to(&*model, &[&ids(&case["prompts"][0])]).unwrap();
        let sampling = Sampling::greedy().max_new_tokens(greedy.len());
        let mut decoder = Decoder::new(&answers, &[answers.start()], &sampling, &[]).unwrap();
        while decoder.next_token().unwrap().is_ok() {}
        assert_eq!(decoder.tokens()[1..], greedy, "{name}");
    }
}

/// Greedy under penalties, and beams: what decodes takes answers as it takes a decoder.
#[test]
fn answers_are_those_of_transformers() {
    let mut compared = (0, 0);
    for (name, case) in &cases() {
        let model = model(case);
        let answers = Answers::to(&*model, &[&ids(&case["prompts"][0])]).unwrap();
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
    assert_eq!(compared, (56, 24));
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
            prompt: vec![model.start()],
            sampling: Sampling::default().temperature(0.5).max_new_tokens([9, 0, 12, 3][i]).seed(i as u64),
        };
        let run = |prompts: &[&[u32]], requests: &[Request]| {
            let answers = Answers::to(&*model, prompts).unwrap();
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

/// Fails unless the model learns the first answers by heart.
fn learns(model: &dyn EncoderDecoder, case: &Value) {
    let (batch, rng) = (prompts(case), Rng::new(Seed(2)));
    let targets: Vec<i64> = answers(case, 1, 7).to_vec::<u32>().unwrap().into_iter().map(i64::from).collect();
    let targets = Tensor::from_vec(targets, &[2, 6], &Device::Cpu).unwrap();
    let mut losses = Vec::new();
    for _ in 0..30 {
        let logits = model.forward(&batch, &answers(case, 0, 6), Some(&rng)).unwrap();
        let loss = logits.cross_entropy(&targets).unwrap();
        losses.push(loss.item().unwrap());
        let gradients = loss.backward().unwrap();
        for p in model.parameters() {
            let g = gradients.get(&p).unwrap_or_else(|| panic!("no gradient of {}", p.name()));
            p.set(&p.get().detach().sub(&g.affine(0.05, 0.0).unwrap()).unwrap()).unwrap();
        }
    }
    assert!(losses[29] < 0.5 * losses[0], "{losses:?}");
}

#[test]
fn both_learn_and_their_folders_are_the_same_models() {
    let cases = cases();
    let case = |wanted: &str| &cases.iter().find(|(name, _)| name == wanted).unwrap().1;
    let read = T5Config::from_json(&config(case("t5_gated"))).unwrap();
    assert_eq!(T5Config::from_json(&read.to_json()).unwrap(), read);
    let t5 = T5Config { tie_word_embeddings: false, dropout_rate: 0.05, ..read };
    let read = MarianConfig::from_json(&config(case("marian_swish"))).unwrap();
    assert_eq!(MarianConfig::from_json(&read.to_json()).unwrap(), read);
    // Weights large enough to begin from somewhere.
    let marian = MarianConfig {
        dropout: 0.02,
        attention_dropout: 0.02,
        activation_dropout: 0.02,
        init_std: 0.2,
        ..read
    };
    let models: [(&str, Box<dyn EncoderDecoder>); 2] = [
        ("t5_gated", Box::new(T5::new(t5, &Device::Cpu, Seed(1)).unwrap())),
        ("marian_swish", Box::new(Marian::new(marian, &Device::Cpu, Seed(1)).unwrap())),
    ];
    for (name, model) in models {
        learns(&*model, case(name));
        let weights = Weights::given(model.state(), &Device::Cpu);
        let again = answering_model(&model.config_json(), &weights).unwrap();
        let logits = |model: &dyn EncoderDecoder| {
            let case = case(name);
            no_grad(|| model.forward(&prompts(case), &answers(case, 0, 19), None))
                .unwrap()
                .to_vec::<f32>()
                .unwrap()
        };
        assert_eq!(logits(&*again), logits(&*model), "{name}");
    }
}

#[test]
fn names_are_those_of_transformers_and_odd_configs_are_refused() {
    for (name, case) in &cases() {
        let state = model(case).state();
        let mut names: Vec<&String> = case["shapes"].as_object().unwrap().keys().collect();
        names.sort();
        assert_eq!(state.keys().collect::<Vec<_>>(), names, "{name}");
        let with = |from: &str, to: &str| {
            let text = config(case);
            assert!(text.contains(from), "{text}");
            let weights = Weights::given(Default::default(), &Device::Cpu);
            answering_model(&text.replace(from, to), &weights).err().unwrap().to_string()
        };
        let start = with("\"decoder_start_token_id\":", "\"decoder_start_token_id\":58100,\"x\":");
        assert!(start.contains("decoder_start_token_id = 58100, but vocab_size = "), "{start}");
        if name.starts_with("t5") {
            assert!(with("\"model_type\":\"t5\"", "\"model_type\":\"t6\"").contains("t6"));
            assert!(with("\"num_heads\":3", "\"num_heads\":0").contains("num_heads is 0"));
            assert!(with("max_distance\":16", "max_distance\":2").contains("8 buckets"));
            assert!(with("\"feed_forward_proj\":\"", "\"feed_forward_proj\":\"mish-").contains("mish"));
        } else {
            assert!(
                with("\"model_type\":\"marian\"", "\"model_type\":\"bert\"").contains("BERT answers no text")
            );
            assert!(
                with("\"decoder_layers\":", "\"decoder_layers\":0,\"x\":").contains("decoder_layers is 0")
            );
            assert!(with("\"d_model\":24", "\"d_model\":25").contains("25 is not divisible"));
            assert!(with("\"dropout\":0.0", "\"dropout\":1.0").contains("dropout of 1"));
            assert!(
                with("\"model_type\"", "\"normalize_before\":true,\"model_type\"")
                    .contains("normalize_before")
            );
            assert!(with("\"decoder_vocab_size\":37", "\"decoder_vocab_size\":38").contains("38 is not"));
        }
    }
}

/// Released files bring the sinusoids and each name of the one table.
#[test]
fn sinusoids_and_copies_in_a_file_change_nothing_and_a_text_may_be_too_long() {
    let (_, case) = cases().into_iter().find(|(name, _)| name == "marian").unwrap();
    let mut tensors = weights(&case["shapes"]);
    let shared = tensors["model.shared.weight"].clone();
    for copy in ["lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"] {
        tensors.insert(copy.into(), shared.clone());
    }
    for side in ["encoder", "decoder"] {
        tensors.insert(format!("model.{side}.embed_positions.weight"), shared.clone());
    }
    let model = Marian::from_state(&config(&case), tensors, &Device::Cpu).unwrap();
    let logits = |model: &dyn EncoderDecoder| {
        no_grad(|| model.forward(&prompts(&case), &answers(&case, 0, 19), None))
            .unwrap()
            .to_vec::<f32>()
            .unwrap()
    };
    assert_eq!(logits(&model), logits(&*self::model(&case)));
    let long = vec![3; 81];
    let error = Answers::to(&model, &[&long]).err().unwrap().to_string();
    assert!(error.contains("81 positions, the model knows 80"), "{error}");
    let answers = Answers::to(&model, &[&long[..80]]).unwrap();
    assert!(answers.cache(1, 80).is_ok() && answers.cache(1, 81).is_err());
}

/// Sinusoids have no table whose size could be held against the file.
#[test]
fn a_config_may_name_any_number_of_positions() {
    let (_, case) = cases().into_iter().find(|(name, _)| name == "marian").unwrap();
    let text =
        config(&case).replace("\"max_position_embeddings\":80", "\"max_position_embeddings\":1000000000000");
    let wide = answering_model(&text, &Weights::given(weights(&case["shapes"]), &Device::Cpu)).unwrap();
    assert_eq!(wide.context(), 1_000_000_000_000);
    let logits = |model: &dyn EncoderDecoder| {
        no_grad(|| model.forward(&prompts(&case), &answers(&case, 0, 19), None))
            .unwrap()
            .to_vec::<f32>()
            .unwrap()
    };
    assert_eq!(logits(&*wide), logits(&*model(&case)));
}

/// A T5 has a bias for each pair of tokens: of so many they would pass the addresses that there are.
#[test]
fn a_text_whose_pairs_no_memory_holds_is_an_error() {
    let config = r#"{"model_type": "t5", "vocab_size": 20, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1,
        "num_heads": 2, "decoder_start_token_id": 0}"#;
    let model = answering_model(config, &Weights::random(Seed(1), &Device::Cpu)).unwrap();
    let batch = EncoderBatch::new(&[&vec![1; 1 << 24]], None, &Device::Cpu).unwrap();
    assert_eq!(model.encode(&batch, None).unwrap_err().kind(), Kind::Memory);
}
