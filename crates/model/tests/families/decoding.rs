//! Beam search and penalties against Hugging Face's `generate`, and against every text there is.

use serde_json::Value;
use warpsmith_autograd::no_grad;
use warpsmith_model::{
    BeamSearch, CausalModel, Completion, Decoder, EarlyStopping, Found, Llama, LlamaConfig, Penalties,
    Request, Sampling, Stop, TokenLogProb, causal_model, complete,
};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Seed, Tensor};

use crate::golden::{ids, json, weights};

pub fn penalties(how: &Value) -> Penalties {
    let bias = how["sequence_bias"].as_array().into_iter().flatten();
    Penalties {
        logit_bias: bias.map(|b| (ids(&b[0])[0], b[1].as_f64().unwrap() as f32)).collect(),
        repetition_penalty: how["repetition_penalty"].as_f64().unwrap_or(1.0),
        no_repeat_ngram_size: how["no_repeat_ngram_size"].as_u64().unwrap_or(0) as usize,
        ..Penalties::default()
    }
}

pub fn search(how: &Value) -> BeamSearch {
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

/// Holds searches to those of transformers; how many there are.
pub fn compare_beams(name: &str, model: &dyn CausalModel, prompt: &[u32], texts: &Value) -> usize {
    let texts = texts.as_array().unwrap().iter().filter(|text| !text["scores"].is_null());
    let compare = |text: &Value| {
        let found = search(&text["how"]).run(model, prompt, &ids(&text["ends"])).unwrap();
        let tokens: Vec<Vec<u32>> = text["tokens"].as_array().unwrap().iter().map(ids).collect();
        assert_eq!(found.iter().map(|f| f.tokens.clone()).collect::<Vec<_>>(), tokens, "{name}: {text}");
        for (found, score) in found.iter().zip(text["scores"].as_array().unwrap()) {
            let score = score.as_f64().unwrap();
            assert!((f64::from(found.score) / score - 1.0).abs() < 1e-5, "{name}: {text}: {}", found.score);
        }
    };
    texts.map(compare).count()
}

/// Holds greedy texts to those of transformers; how many there are.
pub fn compare_greedy(name: &str, model: &dyn CausalModel, prompt: &[u32], texts: &Value) -> usize {
    let texts = texts.as_array().unwrap().iter().filter(|text| text["scores"].is_null());
    let compare = |text: &Value| {
        let (ends, mut truth) = (ids(&text["ends"]), ids(&text["tokens"][0]));
        // A text of ours does not hold the token that ended it.
        truth.pop_if(|token| ends.contains(token));
        let sampling = Sampling { penalties: penalties(&text["how"]), ..Sampling::greedy() };
        let mut decoder = Decoder::new(model, prompt, &sampling.max_new_tokens(9), &ends).unwrap();
        while decoder.next_token().unwrap().is_ok() {}
        assert_eq!(decoder.tokens()[prompt.len()..], truth, "{name}: {text}");
    };
    texts.map(compare).count()
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
        compared += compare_beams(name, &*model, &prompt, &case["texts"]);
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
        compared += compare_greedy(name, &*model, &prompt, &case["texts"]);
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

/// A decoder that goes on with another prompt reads what is new in it, and writes what a decoder of its own would: behind a
/// text that it wrote, one that parts from it, one of which all is known, and behind a text that outgrew the model.
#[test]
fn a_resumed_decoder_has_the_bits_of_its_own() {
    let config = LlamaConfig {
        initializer_range: 0.3,
        max_position_embeddings: 24,
        vocab_size: 40,
        ..LlamaConfig::default()
    };
    let model = Llama::new(config, &Device::Cpu, Seed(4)).unwrap();
    let sampling = Sampling::greedy().max_new_tokens(6);
    let told = |decoder: &mut Decoder<'_>| {
        let mut bits = Vec::new();
        while decoder.next_token().unwrap().is_ok() {
            bits.push(decoder.log_prob().unwrap().log_prob.to_bits());
        }
        (decoder.tokens().to_vec(), bits)
    };
    let fresh = |prompt: &[u32]| Decoder::new(&model, prompt, &sampling, &[]).unwrap().telling(0);
    let mut decoder = fresh(&[1, 2, 3]);
    let (answered, _) = told(&mut decoder);
    let turn = [&answered[..], &[7, 8]].concat();
    let parted = [&turn[..5], &[9, 9, 9]].concat();
    let long: Vec<u32> = (0..22).collect();
    // What is read: the answer's last token was written and not read.
    for (prompt, unread) in [(&turn, 3), (&parted, 3), (&parted[..6].to_vec(), 1), (&long, 22), (&long, 22)] {
        decoder = decoder.resume(prompt, &sampling).unwrap();
        assert_eq!(decoder.unread(), unread);
        assert_eq!(told(&mut decoder), told(&mut fresh(prompt)));
    }
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

/// The same texts and the same bits of their scores, of prompts that end at other places than searches do.
#[test]
fn beams_behind_ragged_prompts_are_those_of_each_prompt_alone() {
    let models = json("causal.json");
    let mut ended = 0;
    for (name, case) in models["cases"].as_object().unwrap() {
        let model =
            causal_model(&case["config"].to_string(), weights(&case["shapes"]), &Device::Cpu).unwrap();
        let text: Vec<u32> = ids(&case["ids"]);
        let prompts: Vec<&[u32]> = vec![&text[..4], &text[1..2], &text[2..9], &text[..1], &text[3..7]];
        let penalties = Penalties { repetition_penalty: 1.3, ..Penalties::default() };
        for (num_beams, early_stopping) in
            [(3, EarlyStopping::AsSoonAsFull), (1, EarlyStopping::Never), (4, EarlyStopping::Heuristic)]
        {
            let how = BeamSearch {
                num_beams,
                max_new_tokens: 6,
                early_stopping,
                num_return_sequences: num_beams,
                penalties: penalties.clone(),
                ..BeamSearch::default()
            };
            let first = how.run(&*model, prompts[0], &[]).unwrap()[0].tokens[1];
            let ends = [first];
            let alone: Vec<_> =
                prompts.iter().map(|prompt| how.run(&*model, prompt, &ends).unwrap()).collect();
            let together = how.run_together(&*model, &prompts, &ends).unwrap();
            assert_eq!(together, alone, "{name}, {num_beams} beams");
            let bits = |all: &[Vec<Found>]| -> Vec<u32> {
                all.iter().flatten().map(|found| found.score.to_bits()).collect()
            };
            assert_eq!(bits(&together), bits(&alone), "{name}");
            ended += alone.iter().flatten().filter(|found| found.tokens.len() < 6).count();
        }
        assert!(BeamSearch::default().run_together(&*model, &[&text[..2], &[]], &[]).is_err(), "{name}");
    }
    assert!(ended > 0, "no search ends before the others");
    // None at all is nothing.
    let model = Llama::new(LlamaConfig::default(), &Device::Cpu, Seed(4)).unwrap();
    assert!(BeamSearch::default().run_together(&model, &[], &[]).unwrap().is_empty());
}

/// The same tokens and the same bits of their log-probabilities, past the context, with and without draws and penalties.
#[test]
fn a_batch_of_ragged_prompts_is_each_prompt_alone() {
    let models = json("causal.json");
    for (name, case) in models["cases"].as_object().unwrap() {
        let model =
            causal_model(&case["config"].to_string(), weights(&case["shapes"]), &Device::Cpu).unwrap();
        let text: Vec<u32> = ids(&case["ids"]);
        let penalties = Penalties { presence_penalty: 0.5, ..Penalties::default() };
        let how = |i: usize| match i % 3 {
            0 => Sampling::greedy().max_new_tokens(3 + 2 * i),
            1 => Sampling::default().temperature(0.8).seed(i as u64).max_new_tokens(5),
            _ => Sampling { penalties: penalties.clone(), ..Sampling::default() }.max_new_tokens(4),
        };
        // The last two go past the context: one while it is written, one with its prompt.
        let lengths = [3, 1, 7, 3, 12, 2, model.context() - 2, model.context() + 3];
        let request = |(i, &length): (usize, &usize)| Request {
            prompt: text.iter().cycle().skip(i).take(length).copied().collect(),
            sampling: how(i),
        };
        let requests: Vec<Request> = lengths.iter().enumerate().map(request).collect();
        let ends = [ids(&case["greedy"])[2]];
        let run =
            |requests: &[Request]| complete(&*model, requests, &ends, Some(2), &mut |_, _| true).unwrap();
        let together = run(&requests);
        assert!(together.iter().any(|c| c.stop == Some(Stop::Length)));
        for (i, request) in requests.iter().enumerate() {
            let mut decoder =
                Decoder::new(&*model, &request.prompt, &request.sampling, &ends).unwrap().telling(2);
            let mut log_probs = Vec::new();
            let stop = loop {
                match decoder.next_token().unwrap() {
                    Ok(_) => log_probs.extend(decoder.log_prob().cloned()),
                    Err(stop) => break Some(stop),
                }
            };
            let tokens = decoder.tokens()[request.prompt.len()..].to_vec();
            assert_eq!(together[i], Completion { tokens, log_probs, stop }, "{name}: prompt {i}");
        }
        let eight = vec![requests[0].clone(); 8];
        assert!(run(&eight).iter().all(|one| *one == together[0]), "{name}: eight times the same");
    }
}

#[test]
fn who_wants_no_more_gets_no_more() {
    let model = Llama::new(LlamaConfig::default(), &Device::Cpu, Seed(4)).unwrap();
    let request = |prompt: &[u32]| Request { prompt: prompt.to_vec(), sampling: Sampling::default() };
    let requests = [request(&[5, 6]), request(&[7])];
    let mut seen = [0; 2];
    let done = complete(&model, &requests, &[], None, &mut |i, _| {
        seen[i] += 1;
        seen[i] < 3 + i
    });
    let done = done.unwrap();
    assert_eq!([0, 1].map(|i| (done[i].tokens.len(), done[i].stop)), [(3, None), (4, None)]);
    let refused = complete(&model, &[request(&[])], &[], None, &mut |_, _| true).unwrap_err();
    assert!(refused.to_string().contains("no token"), "{refused}");
}

/// The log-probabilities of a text as its prompt are those that it was written with.
#[test]
fn a_text_read_has_the_log_probabilities_of_the_text_written() {
    let config = LlamaConfig { initializer_range: 0.3, ..LlamaConfig::default() };
    let model = Llama::new(config, &Device::Cpu, Seed(4)).unwrap();
    let request = Request { prompt: vec![5, 6], sampling: Sampling::default().max_new_tokens(12) };
    let written = complete(&model, &[request], &[], Some(3), &mut |_, _| true).unwrap().swap_remove(0);
    let whole = [&[5, 6], &written.tokens[..]].concat();
    let read = TokenLogProb::of_prompt(&model, &whole, 3).unwrap();
    assert_eq!(read[1..], written.log_probs);
    let ids = Tensor::from_slice(&whole, &[1, whole.len()], &Device::Cpu).unwrap();
    let truth = no_grad(|| model.forward(&ids)?.log_softmax()).unwrap().to_vec::<f32>().unwrap();
    let rows: Vec<&[f32]> = truth.chunks(model.vocab_size()).collect();
    for (i, found) in read.iter().enumerate() {
        assert!((found.log_prob - rows[i][whole[i + 1] as usize]).abs() < 1e-5);
        let largest = rows[i].iter().copied().fold(f32::NEG_INFINITY, f32::max);
        assert!((found.top[0].1 - largest).abs() < 1e-5 && found.top.len() == 3);
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
    assert!(run(how.clone(), &[]).contains("no token"));
    assert!(run(how.clone(), &[300]).contains("300"));
    assert!(run(BeamSearch { max_new_tokens: 256, ..how }, &[1]).contains("257 positions"));
}
