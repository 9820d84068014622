//! The classical models that no golden file holds: they learn what can be learned, and refuse what makes no sense.

use warpsmith_autograd::{Parameter, TensorExt};
use warpsmith_model::Weights;
use warpsmith_model::classical::{
    Cell, Conv1d, Gan, LinearSvm, Recurrent, RecurrentConfig, RecurrentLm, TextCnn, TextCnnConfig,
    Translator, TranslatorConfig, Window,
};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Result, Rng, Seed, Tensor};

fn random(seed: u64) -> Weights {
    Weights::random(Seed(seed), &Device::Cpu)
}

/// Steps down the gradient; the last loss.
fn descend(rate: f64, steps: usize, parameters: &[Parameter], loss: impl Fn() -> Result<Tensor>) -> f64 {
    let mut last = f64::NAN;
    for _ in 0..steps {
        let loss = loss().unwrap();
        last = loss.item().unwrap();
        let gradients = loss.backward().unwrap();
        for p in parameters {
            let step = gradients.get(p).unwrap().mul_scalar(rate).unwrap();
            p.set(&p.get().detach().sub(&step).unwrap()).unwrap();
        }
    }
    last
}

#[test]
fn a_support_vector_machine_finds_the_border() {
    // On both sides of a = b, with room between.
    let mut points = Rng::new(Seed(1)).uniform(80);
    let mut signs = Vec::new();
    for point in points.chunks_mut(2) {
        signs.push(if point[0] > point[1] { 1.0 } else { -1.0 });
        point[0] += signs[signs.len() - 1];
    }
    let x = Tensor::from_vec(points, &[40, 2], &Device::Cpu).unwrap();
    let truth = Tensor::from_slice(&signs, &[40], &Device::Cpu).unwrap();
    let svm = LinearSvm::new(&random(0), 2, 1e-3).unwrap();
    assert_eq!(svm.loss(&x, &truth).unwrap().item().unwrap(), 1.0);
    descend(1.0, 200, &svm.parameters(), || svm.loss(&x, &truth));
    let found = svm.forward(&x).unwrap().to_vec::<f32>().unwrap();
    assert!(found.iter().zip(&signs).all(|(a, b)| a * b > 0.0), "{found:?}");
}

#[test]
fn a_text_cnn_finds_two_tokens_beside_each_other() {
    // Token 1 before token 2, or behind it: no bag of words tells them apart.
    let token = |i: usize, t: usize| match t.checked_sub(i % 7) {
        Some(place @ 0..=1) => 1 + ((place + i) % 2) as u32,
        _ => 3 + ((i + t) % 4) as u32,
    };
    let ids: Vec<u32> = (0..28).flat_map(|i| (0..8).map(move |t| token(i, t))).collect();
    let ids = Tensor::from_vec(ids, &[28, 8], &Device::Cpu).unwrap();
    let truth = Tensor::from_vec((0..28).map(|i| i % 2).collect::<Vec<i64>>(), &[28], &Device::Cpu).unwrap();
    let config = TextCnnConfig {
        vocab_size: 7,
        embedding_size: 8,
        widths: vec![2, 3],
        channels: 8,
        classes: 2,
        dropout: 0.0,
    };
    let model = TextCnn::new(&random(3), &config).unwrap();
    let loss = descend(0.5, 150, &model.parameters(), || model.forward(&ids, None)?.cross_entropy(&truth));
    assert!(loss < 0.05, "{loss}");
    let short = ids.narrow(1, 0, 2).unwrap();
    assert!(model.forward(&short, None).unwrap_err().to_string().contains("T at least 3"));
}

#[test]
fn each_side_of_a_gan_moves_its_own_weights() {
    let gan = Gan::new(&random(4), [2, 1, 8]).unwrap();
    let [generator, discriminator] = gan.parameters();
    let noise = Tensor::randn(&[16, 2], &Rng::new(Seed(5)), &Device::Cpu).unwrap();
    let real = Tensor::from_vec(vec![3f32; 16], &[16, 1], &Device::Cpu).unwrap();
    let gradients = gan.discriminator_loss(&real, &noise).unwrap().backward().unwrap();
    assert!(generator.iter().all(|p| gradients.get(p).is_none()));
    assert!(discriminator.iter().all(|p| gradients.get(p).is_some()));
    let before = gan.discriminator_loss(&real, &noise).unwrap().item().unwrap();
    let after = descend(0.1, 60, &discriminator, || gan.discriminator_loss(&real, &noise));
    assert!(after < 0.5 * before, "{before} to {after}");
    let before = gan.generator_loss(&noise).unwrap().item().unwrap();
    let after = descend(0.05, 60, &generator, || gan.generator_loss(&noise));
    assert!(after < before, "{before} to {after}");
}

#[test]
fn pairs_of_any_lengths_have_the_loss_that_they_have_alone() {
    for attention in [false, true] {
        let config = TranslatorConfig {
            source_vocab: 7,
            target_vocab: 6,
            embedding_size: 4,
            hidden_size: 5,
            attention,
        };
        let model = Translator::new(&config, &Device::Cpu, Seed(2)).unwrap();
        let (sources, targets) = ([&[1, 2, 3, 4][..], &[5], &[6, 0]], [&[2, 3][..], &[], &[5, 4, 3, 2]]);
        let loss = |sources: &[&[u32]], targets: &[&[u32]]| {
            model.loss(&model.read(sources).unwrap(), targets, (0, 1)).unwrap().item().unwrap()
        };
        let (mut sum, mut tokens) = (0.0, 0.0);
        for (source, target) in sources.iter().zip(&targets) {
            let asked = target.len() as f64 + 1.0;
            sum += asked * loss(&[source], &[target]);
            tokens += asked;
        }
        let together = loss(&sources, &targets);
        assert!((together - sum / tokens).abs() < 1e-6, "{together}, not {}", sum / tokens);

        let together = model.translate(&model.read(&sources).unwrap(), (0, 1), 9).unwrap();
        for (source, written) in sources.iter().zip(&together) {
            let alone = model.translate(&model.read(&[source]).unwrap(), (0, 1), 9).unwrap();
            assert_eq!(&alone[0], written);
        }
        let weights = model.alignment(sources[0], targets[2], 0).unwrap();
        assert_eq!(weights.as_ref().map(Vec::len), attention.then_some(4));
        let is_share = |row: &Vec<f32>| row.len() == 4 && (row.iter().sum::<f32>() - 1.0).abs() < 1e-5;
        assert!(weights.iter().flatten().all(is_share), "{weights:?}");
        for none in [&[&[1][..], &[]][..], &[]] {
            let error = model.read(none).unwrap_err().to_string();
            assert!(error.contains("no token"), "{error}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let both = RecurrentConfig { bidirectional: true, ..RecurrentConfig::new(Cell::Gru, 3, 4) };
    let error = RecurrentLm::new(5, both, &Device::Cpu, Seed(0)).unwrap_err().to_string();
    assert!(error.contains("backwards"), "{error}");
    let error = Recurrent::new(&random(0), RecurrentConfig::new(Cell::Lstm, 3, 0)).unwrap_err().to_string();
    assert!(error.contains("at least 1"), "{error}");
    let error = Conv1d::new(&random(0), (4, 6), Window::of(3), 3, true).unwrap_err().to_string();
    assert!(error.contains("3 groups of 4 channels"), "{error}");
    let layer = Recurrent::new(&random(0), RecurrentConfig::new(Cell::Lstm, 3, 4)).unwrap();
    let x = Tensor::randn(&[2, 5, 3], &Rng::new(Seed(6)), &Device::Cpu).unwrap();
    for lengths in [&[5, 6][..], &[5]] {
        let error = layer.forward(&x, None, Some(lengths), None).unwrap_err().to_string();
        assert!(error.contains("lengths of at most 5"), "{error}");
    }
    let narrow = x.narrow(2, 0, 2).unwrap();
    assert!(layer.forward(&narrow, None, None, None).unwrap_err().to_string().contains("(B, T, 3)"));
}
