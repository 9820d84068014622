use super::*;
use crate::finetune::{FinetuneConfig, LoraConfig, Progress, finetune_classifier};
use std::collections::BTreeMap;
use warpsmith_model::{CausalModel, Llama, LlamaConfig};
use warpsmith_tensor::{Device, Seed};

fn classifier() -> TextClassifier {
    let config = LlamaConfig {
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        head_dim: 4,
        max_position_embeddings: 16,
        windows: vec![None; 2],
        initializer_range: 0.2,
        ..LlamaConfig::default()
    };
    let body = Llama::new(config, &Device::Cpu, Seed(1)).unwrap();
    let labels = ["even", "odd", "none"].map(String::from).to_vec();
    TextClassifier::with_new_head(&body.config_json(), body.state(), labels, None, &Device::Cpu, Seed(2))
        .unwrap()
}

/// Sequences whose second id tells their class.
fn examples() -> Vec<Labelled> {
    (0..24u32)
        .map(|i| Labelled {
            ids: vec![i, 100 + i % 2, i + 3, 7][..4 - i as usize % 2].to_vec(),
            label: i as usize % 2,
        })
        .collect()
}

fn state(model: &TextClassifier) -> BTreeMap<String, Vec<f32>> {
    model.state().into_iter().map(|(name, t)| (name, t.to_vec::<f32>().unwrap())).collect()
}

#[test]
fn it_learns_whole_and_by_adapters_beside_a_head_that_learns_whole() {
    for lora in [None, Some(LoraConfig { rank: 4, alpha: 16.0 })] {
        let (model, examples, mut epochs) = (classifier(), examples(), Vec::new());
        let before = state(&model);
        let config = FinetuneConfig { lora, epochs: 12, learning_rate: 2e-2, ..FinetuneConfig::default() };
        let tuned = finetune_classifier(&model, &examples, &examples, &config, &mut |progress| {
            if let Progress::Epoch { scores, .. } = progress {
                epochs.push(scores.unwrap());
            }
            true
        });
        assert_eq!(epochs.last().unwrap().accuracy, 1.0, "{lora:?}: {epochs:?}");
        // The third class is never seen: its precision, recall and F1 are 0.
        let average = epochs.last().unwrap().macro_average;
        assert_eq!([average.precision, average.recall, average.f1], [2.0 / 3.0; 3]);
        for (name, values) in state(&model) {
            let learns = lora.is_none() || name.contains("_proj") || name == "score.weight";
            assert_eq!(values != before[&name], learns, "{lora:?}: {name}");
        }
        let loss = judge(&model, &examples, 5).unwrap().0;
        assert_eq!(tuned.unwrap().best.unwrap().1, judge(&model, &examples, 8).unwrap().0);
        assert!((loss - judge(&model, &examples, 24).unwrap().0).abs() < 1e-6, "batches change nothing");
    }
}

#[test]
fn the_loss_is_that_of_the_labels() {
    let (model, examples) = (classifier(), examples());
    let rows: Vec<&[u32]> = examples.iter().map(|e| e.ids.as_slice()).collect();
    let logits = no_grad(|| model.forward(&rows, None)).unwrap().to_vec::<f32>().unwrap();
    let of_one = |(row, example): (&[f32], &Labelled)| {
        let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
        sum.ln() - f64::from(row[example.label])
    };
    let truth = logits.chunks(3).zip(&examples).map(of_one).sum::<f64>() / 24.0;
    let (found, confusion) = judge(&model, &examples, 7).unwrap();
    assert!((found - truth).abs() < 1e-6, "{found}, not {truth}");
    assert_eq!((confusion.support(0), confusion.support(1), confusion.support(2)), (12, 12, 0));
    let error = judge(&model, &[], 7).unwrap_err().to_string();
    assert!(error.contains("no labels"), "{error}");
}
