use super::*;
use crate::finetune::{
    FinetuneConfig, LoraConfig, Progress, Tuned, finetune_classifier, finetune_with_unlabelled,
};
use crate::optimizer::{AdamW, AdamWConfig, Optimizer};
use std::collections::BTreeMap;
use warpsmith_autograd::TensorExt;
use warpsmith_model::{CausalModel, Llama, LlamaConfig, Weights};
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
    TextClassifier::with_new_head(
        &body.config_json(),
        body.state(),
        labels,
        None,
        &Weights::random(Seed(2), &Device::Cpu),
    )
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

/// One step of FGM is a step of AdamW by the gradients at the table and at the table moved by ε along its gradient.
#[test]
fn a_step_against_the_model_is_the_one_of_the_paper() {
    let config = FinetuneConfig { epochs: 1, batch_size: 24, fgm: 0.7, grad_clip: 0.0, ..Default::default() };
    let (model, examples) = (classifier(), examples());
    finetune_classifier(&model, &examples, &[], &config, &mut |_| true).unwrap();

    let other = classifier();
    let order = shuffled(&examples, &Rng::new(Seed(config.seed)).child());
    let loss = || {
        let (logits, targets) = logits(&other, &order, None).unwrap();
        logits.cross_entropy(&targets).unwrap()
    };
    let mut gradients = loss().backward().unwrap();
    let table = other.token_table().unwrap();
    let (before, along) = (table.get().detach(), gradients.get(&table).unwrap().detach());
    let norm: f64 = along.to_f64_vec().unwrap().iter().map(|x| x * x).sum::<f64>().sqrt();
    table.set(&before.add(&along.affine(0.7 / norm, 0.0).unwrap()).unwrap()).unwrap();
    gradients.accumulate(loss().backward().unwrap()).unwrap();
    table.set(&before).unwrap();
    let adam = AdamWConfig { beta2: 0.999, weight_decay: 0.0, ..Default::default() };
    let mut adam = Optimizer::AdamW(AdamW::new(other.parameters(), adam).unwrap());
    // The one step of one is in its warm-up of none.
    adam.set_learning_rate(config.learning_rate);
    adam.step(gradients).unwrap();
    let (found, wanted) = (state(&model), state(&other));
    for (name, values) in &wanted {
        let far = values.iter().zip(&found[name]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far <= 1e-7, "{name}: {far}");
    }
    // Without it other weights come out.
    let plain = classifier();
    let config = FinetuneConfig { fgm: 0.0, ..config };
    finetune_classifier(&plain, &examples, &[], &config, &mut |_| true).unwrap();
    assert_ne!(state(&plain), found);
}

/// The loss with the table moved by ε against the model.
fn loss_against(model: &TextClassifier, examples: &[Labelled], epsilon: f64) -> f64 {
    let all: Vec<&Labelled> = examples.iter().collect();
    let loss = || {
        let (logits, targets) = logits(model, &all, None).unwrap();
        logits.cross_entropy(&targets)
    };
    let mut found = 0.0;
    let mut gradients = loss().unwrap().backward().unwrap();
    crate::adversarial::fgm(&model.token_table().unwrap(), epsilon, &mut gradients, || {
        let loss = loss()?;
        found = loss.item()?;
        loss.backward()
    })
    .unwrap();
    found
}

#[test]
fn who_has_learned_against_an_attack_withstands_it_better() {
    let tuned = |fgm: f64, lora: Option<LoraConfig>| {
        let (model, examples) = (classifier(), examples());
        let config =
            FinetuneConfig { fgm, lora, epochs: 8, learning_rate: 1e-2, ..FinetuneConfig::default() };
        finetune_classifier(&model, &examples, &[], &config, &mut |_| true).unwrap();
        loss_against(&model, &examples, 2.0)
    };
    for lora in [None, Some(LoraConfig { rank: 4, alpha: 16.0 })] {
        let (with, without) = (tuned(2.0, lora), tuned(0.0, lora));
        assert!(with < 0.8 * without, "{lora:?}: {with} with, {without} without");
    }
}

/// Texts of four ids that end alike; of class c the second is 100 + c if they tell it.
fn texts(count: u32, tell: bool) -> Vec<Labelled> {
    let ids = |i: u32| vec![i, if tell { 100 + i % 2 } else { 20 + i / 2 }, 50 + i / 3, 7];
    (0..count).map(|i| Labelled { ids: ids(i), label: i as usize % 2 }).collect()
}

/// Learning what one is sure of makes one surer: pseudo-labels are a way to lower the entropy of what is said of texts without a
/// label (Lee 2013, §2.3).
#[test]
fn what_the_model_is_sure_of_makes_it_surer() {
    let unlabelled: Vec<Vec<u32>> = texts(40, false).into_iter().map(|text| text.ids).collect();
    let config = FinetuneConfig { epochs: 30, learning_rate: 1e-2, ..FinetuneConfig::default() };
    let entropy = |model: &TextClassifier| {
        let rows: Vec<&[u32]> = unlabelled.iter().map(Vec::as_slice).collect();
        let logits = no_grad(|| model.forward(&rows, None)).unwrap().to_vec::<f32>().unwrap();
        let of_one = |row: &[f32]| probabilities(row).iter().map(|p| -p * p.max(1e-300).ln()).sum::<f64>();
        logits.chunks(3).map(of_one).sum::<f64>() / 40.0
    };
    let tuned = |threshold: f64, weight: f64| {
        let (model, mut counts) = (classifier(), Vec::new());
        let unlabelled = Unlabelled { texts: &unlabelled, threshold, weight };
        let tell = &mut |progress| {
            if let Progress::Step { pseudo_labels, .. } = progress {
                counts.push(pseudo_labels.unwrap());
            }
            true
        };
        let found = finetune_with_unlabelled(&model, &texts(24, true), unlabelled, &[], &config, tell);
        (found.unwrap(), counts, model)
    };
    let plain = classifier();
    finetune_classifier(&plain, &texts(24, true), &[], &config, &mut |_| true).unwrap();
    let (Tuned { steps, .. }, counts, model) = tuned(0.7, 1.0);
    let (with, without) = (entropy(&model), entropy(&plain));
    assert!(with < 0.5 * without, "{with} with, {without} without");
    assert!(counts[..steps / 5].iter().all(|count| *count == 0) && counts[steps - 1] > 4, "{counts:?}");
    assert_eq!(judge(&model, &texts(24, true), 8).unwrap().1.accuracy(), 1.0, "and what labels say stays");
    // Sure of nothing, or of what counts for nothing: the weights are those of who has not been given such texts.
    assert_eq!(state(&tuned(0.7, 0.0).2), state(&plain));
    let (_, counts, never) = tuned(1.0, 1.0);
    assert_eq!((state(&never), counts.iter().sum::<usize>()), (state(&plain), 0));
}

#[test]
fn texts_without_a_label_that_make_no_sense_are_refused() {
    let (model, examples, texts) = (classifier(), examples(), [vec![1]]);
    let cases: [(&[Vec<u32>], f64, f64, &str); 4] = [
        (&[], 0.9, 1.0, "there are none"),
        (&texts, 1.1, 1.0, "the threshold must lie in 0..=1"),
        (&texts, f64::NAN, 1.0, "the threshold must lie in 0..=1"),
        (&texts, 0.9, -1.0, "the weight must be a number"),
    ];
    for (texts, threshold, weight, mention) in cases {
        let unlabelled = Unlabelled { texts, threshold, weight };
        let config = FinetuneConfig::default();
        let error = finetune_with_unlabelled(&model, &examples, unlabelled, &[], &config, &mut |_| true);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(mention), "{error}");
    }
    let config = FinetuneConfig { fgm: -1.0, ..FinetuneConfig::default() };
    let error = finetune_classifier(&model, &examples, &[], &config, &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("fgm must be numbers, and not below 0"), "{error}");
}
