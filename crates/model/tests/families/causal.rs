//! Decoders: GPT-2, Llama, Mistral, Qwen2, Qwen3, and every way that rotary positions are stretched.

use serde_json::Value;
use warpsmith_autograd::{TensorExt, no_grad};
use warpsmith_model::{CausalModel, Decoder, Sampling, causal_model, from_safetensors, to_safetensors};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Rng, Seed, Tensor};

use crate::golden::{assert_close, ids, json, noise, path, tensors, weights};

/// Largest difference of a logit, as a share of the largest logit. Both sides compute in f32; sums over 48 products of
/// numbers about 1 through two blocks leave some 1e-6 on each side.
const LOGITS: f64 = 1e-5;
/// The same for the norm of a gradient and its product with noise, which sum over all its elements.
const GRADIENTS: f64 = 1e-4;

fn cases() -> Vec<(String, Value)> {
    let Value::Object(cases) = json("causal.json")["cases"].take() else { panic!("no cases") };
    cases.into_iter().collect()
}

fn model(case: &Value) -> Box<dyn CausalModel> {
    causal_model(&case["config"].to_string(), weights(&case["shapes"]), &Device::Cpu).unwrap()
}

fn batch(ids: &[u32]) -> Tensor {
    Tensor::from_slice(ids, &[1, ids.len()], &Device::Cpu).unwrap()
}

/// (1, T, V) → (T, V)
fn rows(logits: &Tensor) -> Tensor {
    logits.reshape(&logits.dims()[1..]).unwrap()
}

#[test]
fn logits_are_those_of_transformers() {
    let truth = tensors("causal.safetensors");
    let cases = cases();
    assert_eq!(cases.len(), truth.len());
    for (name, case) in &cases {
        let logits = no_grad(|| model(case).forward(&batch(&ids(&case["ids"])))).unwrap();
        assert_close(name, &rows(&logits), &truth[name], LOGITS);
    }
}

#[test]
fn greedy_text_is_that_of_transformers() {
    for (name, case) in &cases() {
        let (model, ids, greedy) = (model(case), ids(&case["ids"]), ids(&case["greedy"]));
        let sampling = Sampling::greedy().max_new_tokens(greedy.len());
        let mut decoder = Decoder::new(&*model, &ids[..5], &sampling, &[]).unwrap();
        while decoder.next_token().unwrap().is_ok() {}
        assert_eq!(decoder.tokens()[5..], greedy, "{name}");
    }
}

#[test]
fn gradients_are_those_of_transformers() {
    for (name, case) in cases().iter().filter(|(_, case)| !case["gradients"].is_null()) {
        let (model, ids) = (model(case), ids(&case["ids"]));
        let targets: Vec<i64> = ids[1..].iter().map(|&id| i64::from(id)).collect();
        let targets = Tensor::from_slice(&targets, &[1, targets.len()], &Device::Cpu).unwrap();
        for recompute in [false, true] {
            let input = batch(&ids[..ids.len() - 1]);
            let logits = model.forward_train(&input, &Rng::new(Seed(0)), recompute).unwrap();
            let loss = logits.cross_entropy(&targets).unwrap();
            assert!((loss.item().unwrap() / case["loss"].as_f64().unwrap() - 1.0).abs() < LOGITS, "{name}");
            let gradients = loss.backward().unwrap();
            for p in model.parameters() {
                let ours = gradients.get(&p).unwrap().to_f64_vec().unwrap();
                let norm = ours.iter().map(|v| v * v).sum::<f64>().sqrt();
                let noise = noise(&format!("grad.{}", p.name()), ours.len());
                let product: f64 = ours.iter().zip(noise).map(|(g, n)| g * f64::from(n)).sum();
                let truth = &case["gradients"][p.name()];
                for (ours, truth) in [norm, product].into_iter().zip([&truth[0], &truth[1]]) {
                    let error = (ours - truth.as_f64().unwrap()).abs();
                    assert!(error <= GRADIENTS * norm, "{name}: {} has {ours}, not {truth}", p.name());
                }
            }
        }
    }
}

/// The last row of logits of each chunk, given to a cache one after the other.
fn chunked(model: &dyn CausalModel, ids: &[u32], chunks: &[usize]) -> Vec<Vec<f32>> {
    let mut cache = model.cache(1, ids.len()).unwrap();
    let mut start = 0;
    let mut last = |&chunk: &usize| {
        let logits =
            no_grad(|| model.forward_cached(&batch(&ids[start..start + chunk]), &mut cache)).unwrap();
        start += chunk;
        logits.to_vec::<f32>().unwrap()
    };
    chunks.iter().map(&mut last).collect()
}

#[test]
fn whole_chunked_and_token_by_token_are_the_same_bits() {
    for (name, case) in &cases() {
        let (model, ids) = (model(case), ids(&case["ids"]));
        let whole = no_grad(|| model.forward(&batch(&ids))).unwrap().to_vec::<f32>().unwrap();
        let whole: Vec<Vec<f32>> = whole.chunks(model.vocab_size()).map(<[f32]>::to_vec).collect();
        assert_eq!(chunked(&*model, &ids, &vec![1; ids.len()]), whole, "{name}: token by token");
        let ends = chunked(&*model, &ids, &[7, 1, 13, 3]);
        assert_eq!(ends, [6, 7, 20, 23].map(|i| whole[i].clone()), "{name}: in chunks");
    }
}

#[test]
fn a_row_of_a_batch_is_the_row_alone() {
    for (name, case) in &cases() {
        let (model, ids) = (model(case), ids(&case["ids"]));
        let both: Vec<u32> = ids.iter().rev().chain(&ids).copied().collect();
        let both = Tensor::from_vec(both, &[2, ids.len()], &Device::Cpu).unwrap();
        let both = no_grad(|| model.forward(&both)).unwrap().to_vec::<f32>().unwrap();
        let alone = no_grad(|| model.forward(&batch(&ids))).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(both[alone.len()..], alone, "{name}");
    }
}

#[test]
fn a_folder_of_ours_is_the_same_model_and_names_the_same_tensors() {
    for (name, case) in &cases() {
        let (model, ids) = (model(case), ids(&case["ids"]));
        let state = model.state();
        let names: Vec<&String> = case["shapes"].as_object().unwrap().keys().collect();
        assert_eq!(state.keys().collect::<Vec<_>>(), names, "{name}");
        let bytes = to_safetensors(&state, &[("format", "pt")]).unwrap();
        let again = from_safetensors(&bytes, &Device::Cpu).unwrap();
        let again = causal_model(&model.config_json(), again, &Device::Cpu).unwrap();
        let logits =
            |m: &dyn CausalModel| no_grad(|| m.forward(&batch(&ids))).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(logits(&*again), logits(&*model), "{name}");
    }
}

#[test]
fn too_long_and_unknown_is_refused() {
    for (name, case) in &cases() {
        let model = model(case);
        let long = model.forward(&batch(&vec![1; model.context() + 1])).unwrap_err().to_string();
        assert!(long.contains(&format!("the model knows {}", model.context())), "{name}: {long}");
        assert!(model.forward(&batch(&[37])).is_err());
        assert!(model.forward(&batch(&[])).is_err());
        assert!(model.cache(1, model.context() + 1).is_err());
        let mut short = model.cache(1, 3).unwrap();
        assert!(model.forward_cached(&batch(&[1, 2, 3, 4]), &mut short).is_err());
    }
    let config = std::fs::read_to_string(path("gpt2_saved/config.json")).unwrap();
    let unknown =
        causal_model(&config.replace("gpt2\"", "mamba\""), Default::default(), &Device::Cpu).err().unwrap();
    assert!(unknown.to_string().contains("mamba") && unknown.to_string().contains("qwen3"), "{unknown}");
}
