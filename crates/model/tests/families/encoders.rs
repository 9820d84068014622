//! BERT: the encoder, its pooling, and its heads.

use serde_json::Value;
use warpsmith_autograd::{TensorExt, no_grad};
use warpsmith_model::{BertConfig, BertTask, EncoderBatch, Pooling, Task};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Rng, Seed, Tensor};

use crate::golden::{assert_close, ids, json, tensors, weights};

/// As for the decoders: both sides compute in f32.
const BOUND: f64 = 1e-5;

fn cases() -> Vec<(String, Value)> {
    let Value::Object(cases) = json("encoders.json")["cases"].take() else { panic!("no cases") };
    cases.into_iter().collect()
}

fn model(case: &Value) -> BertTask {
    BertTask::from_state(&case["config"].to_string(), weights(&case["shapes"]), &Device::Cpu).unwrap()
}

/// The sequences `which` of a case.
fn batch(case: &Value, which: &[usize]) -> EncoderBatch {
    let rows = |key: &str| which.iter().map(|&i| ids(&case[key][i])).collect::<Vec<_>>();
    let (ids, types) = (rows("ids"), rows("types"));
    let slices = |rows: &'static [Vec<u32>]| rows.iter().map(Vec::as_slice).collect::<Vec<_>>();
    let (ids, types): (&'static _, &'static _) = (ids.leak(), types.leak());
    EncoderBatch::new(&slices(ids), Some(&slices(types)), &Device::Cpu).unwrap()
}

/// Sequence `i` of an output, without what stands behind its end; `len` is `None` for outputs without positions.
fn of_sequence(output: &Tensor, i: usize, len: Option<usize>) -> Tensor {
    let one = output.slice(0, i, 1, 1).unwrap();
    len.map_or(one.clone(), |len| one.slice(1, 0, len, 1).unwrap())
}

#[test]
fn answers_are_those_of_transformers() {
    let truth = tensors("encoders.safetensors");
    for (name, case) in &cases() {
        let (model, batch) = (model(case), batch(case, &[0, 1]));
        let answers = no_grad(|| model.forward(&batch, None)).unwrap();
        assert_eq!(answers.dims(), truth[name].dims(), "{name}");
        for (i, len) in [13, 7].into_iter().enumerate() {
            let len = (answers.rank() == 3).then_some(len);
            assert_close(name, &of_sequence(&answers, i, len), &of_sequence(&truth[name], i, len), BOUND);
        }
    }
}

#[test]
fn hidden_states_and_sentence_vectors_are_those_of_transformers() {
    let truth = tensors("encoders.safetensors");
    let case = &cases().into_iter().find(|(name, _)| name == "bert").unwrap().1;
    let (model, batch) = (model(case), batch(case, &[0, 1]));
    let hidden = no_grad(|| model.encoder().forward(&batch, None)).unwrap();
    for (i, len) in [13, 7].into_iter().enumerate() {
        let both = [&hidden, &truth["bert.hidden"]].map(|t| of_sequence(t, i, Some(len)));
        assert_close("hidden", &both[0], &both[1], BOUND);
    }
    let mean = Pooling::Mean.vectors(&hidden, &batch.lengths, true).unwrap();
    assert_close("mean", &mean, &truth["bert.mean"], BOUND);
    let first = Pooling::First.vectors(&hidden, &batch.lengths, false).unwrap();
    assert_eq!(first.to_vec::<f32>().unwrap()[..24], hidden.to_vec::<f32>().unwrap()[..24]);
}

#[test]
fn a_padded_sequence_is_the_sequence_alone() {
    for (name, case) in &cases() {
        let model = model(case);
        let run = |which: &[usize]| no_grad(|| model.forward(&batch(case, which), None)).unwrap();
        let (both, alone) = (run(&[0, 1]), run(&[1]));
        let len = (alone.rank() == 3).then_some(7);
        let bits = |t: &Tensor, i| of_sequence(t, i, len).to_vec::<f32>().unwrap();
        assert_eq!(bits(&both, 1), bits(&alone, 0), "{name}");
        let vector = |which: &[usize], i: usize| {
            let batch = batch(case, which);
            let hidden = no_grad(|| model.encoder().forward(&batch, None)).unwrap();
            let vectors = Pooling::Mean.vectors(&hidden, &batch.lengths, true).unwrap();
            vectors.to_vec::<f32>().unwrap()[i * 24..][..24].to_vec()
        };
        assert_eq!(vector(&[0, 1], 1), vector(&[1], 0), "{name}");
    }
}

#[test]
fn a_folder_of_ours_is_the_same_model_and_names_the_same_tensors() {
    for (name, case) in &cases() {
        let (model, batch) = (model(case), batch(case, &[0, 1]));
        let state = model.state();
        let names: Vec<&String> = case["shapes"].as_object().unwrap().keys().collect();
        assert_eq!(state.keys().collect::<Vec<_>>(), names, "{name}");
        let again = BertTask::from_state(&model.config_json(), state, &Device::Cpu).unwrap();
        let bits = |m: &BertTask| no_grad(|| m.forward(&batch, None)).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(bits(&again), bits(&model), "{name}");
    }
}

#[test]
fn a_classifier_learns() {
    let config = BertConfig::from_json(&cases()[3].1["config"].to_string()).unwrap().0;
    let model = BertTask::new(config, Task::SequenceClassification, &Device::Cpu, Seed(1)).unwrap();
    let (a, b) = ([1, 2, 3, 4], [5, 6]);
    let batch = EncoderBatch::new(&[&a, &b], None, &Device::Cpu).unwrap();
    let targets = Tensor::from_slice(&[0i64, 2], &[2], &Device::Cpu).unwrap();
    let rng = Rng::new(Seed(2));
    let mut losses = Vec::new();
    for _ in 0..20 {
        let loss = model.forward(&batch, Some(&rng)).unwrap().cross_entropy(&targets).unwrap();
        losses.push(loss.item().unwrap());
        let gradients = loss.backward().unwrap();
        for p in model.parameters() {
            if let Some(g) = gradients.get(&p) {
                p.set(&p.get().detach().sub(&g.affine(0.1, 0.0).unwrap()).unwrap()).unwrap();
            }
        }
    }
    assert!(losses[19] < 0.3 * losses[0], "{losses:?}");
}

#[test]
fn batches_and_configs_that_make_no_sense_are_refused() {
    let none: [&[u32]; 0] = [];
    assert!(EncoderBatch::new(&none, None, &Device::Cpu).is_err());
    assert!(EncoderBatch::new(&[&[1], &[]], None, &Device::Cpu).is_err());
    assert!(EncoderBatch::new(&[&[1, 2]], Some(&[&[0]]), &Device::Cpu).is_err());
    let (_, case) = cases().swap_remove(0);
    let model = model(&case);
    let long = EncoderBatch::new(&[&[1; 21]], None, &Device::Cpu).unwrap();
    assert!(model.forward(&long, None).unwrap_err().to_string().contains("the model knows 20"));
    let foreign = EncoderBatch::new(&[&[1]], Some(&[&[2]]), &Device::Cpu).unwrap();
    assert!(model.forward(&foreign, None).is_err());
    let with = |from: &str, to: &str| {
        let text = case["config"].to_string();
        assert!(text.contains(from), "{text}");
        BertConfig::from_json(&text.replace(from, to)).unwrap_err().to_string()
    };
    assert!(with("BertModel", "BertForWonders").contains("BertForWonders"));
    assert!(with("\"num_attention_heads\":3", "\"num_attention_heads\":5").contains("not divisible"));
    assert!(with("\"num_attention_heads\":3", "\"num_attention_heads\":0").contains("is 0"));
    let mut less = weights(&case["shapes"]);
    less.remove("pooler.dense.bias");
    let error =
        BertTask::from_state(&case["config"].to_string(), less, &Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("missing: [bert.pooler.dense.bias]"), "{error}");
}
