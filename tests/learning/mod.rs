//! Models learn, batches may be split, and writing with a cache is writing without one.

mod curve;

use warpsmith::prelude::*;
use warpsmith::text::{Batch, IGNORE_INDEX, Side};
use warpsmith::train::schedule::LearningRate;
use warpsmith::train::trainer::gpt_config;
use warpsmith::train::{TrainData, clip_gradients};

use crate::Checked;

fn data() -> Result<TrainData, Box<dyn std::error::Error>> {
    Ok(TrainData::Text(Corpus::from_text(warpsmith::corpus::EMBEDDED).tokenize(&Tokenizer::chars())?))
}

fn tiny() -> TrainConfig {
    TrainConfig {
        n_layer: 1,
        n_head: 4,
        n_embd: 64,
        block_size: 32,
        dropout: 0.0,
        batch_size: 16,
        max_iters: 150,
        learning_rate: 5e-3,
        min_lr: 5e-4,
        warmup_iters: 10,
        lr_decay_iters: 150,
        eval_iters: 10,
        ..TrainConfig::default()
    }
}

#[test]
fn a_short_run_beats_the_unigram_entropy() -> Checked {
    let mut trainer = Trainer::new(tiny(), data()?, &Device::Cpu)?;
    let unigram = trainer.data().unigram_nats().ok_or("a text has an entropy")?;
    let before = trainer.evaluate()?;
    assert!(before > unigram, "untrained: {before} nats, unigram entropy {unigram}");
    for _ in 0..150 {
        trainer.step()?;
    }
    let after = trainer.evaluate()?;
    assert!(after < unigram, "trained: {after} nats, unigram entropy {unigram}");
    Ok(())
}

#[test]
fn one_batch_is_learned_by_heart() -> Checked {
    let config = GptConfig { vocab_size: 32, block_size: 16, n_layer: 2, n_embd: 64, ..GptConfig::default() };
    let model = Gpt::new(config, &Device::Cpu, Seed(1))?;
    // The first token of each row is its own, so that every continuation can be known for certain.
    let ids: Vec<i64> =
        (0..4i64).flat_map(|b| (0..17).map(move |t| (b + t * (2 * b + 3) + t * t / 5) % 32)).collect();
    let part = |from: usize| ids.chunks(17).flat_map(|row| row[from..from + 16].to_vec()).collect::<Vec<_>>();
    let inputs = Tensor::from_slice(&part(0), &[4, 16], &Device::Cpu)?;
    let targets = Tensor::from_slice(&part(1), &[4, 16], &Device::Cpu)?;
    let mut adamw =
        AdamW::new(model.parameters(), AdamWConfig { learning_rate: 3e-3, ..AdamWConfig::default() })?;
    let mut last = f64::INFINITY;
    for _ in 0..200 {
        let loss = model.forward(&inputs)?.cross_entropy(&targets)?;
        last = loss.item()?;
        adamw.step(loss.backward()?)?;
    }
    assert!(last < 0.1, "{last} nats after 200 steps on one batch");
    Ok(())
}

/// Each weight is that of one batch, whether the parts score as many tokens as each other or not.
#[test]
fn micro_batches_are_one_batch() -> Checked {
    let config = TrainConfig { gradient_accumulation_steps: 3, batch_size: 4, ..tiny() };
    for unscored in [[0, 0, 0], [100, 3, 64], [127, 0, 128]] {
        let mut trainer = Trainer::new(config.clone(), data()?, &Device::Cpu)?;
        let shape = gpt_config(&config, trainer.data().tokenizer().vocab_size());
        let model = Gpt::new(shape, &Device::Cpu, Seed(config.seed))?;
        let mut source = trainer.data().batches(Side::Train, &config)?;
        let mut parts = Vec::new();
        for (i, unscored) in (0..).zip(unscored) {
            let mut part = source.at(i)?;
            part.targets[..unscored].fill(IGNORE_INDEX);
            parts.push(part);
        }
        let all = |of: fn(&Batch) -> Vec<i64>| {
            Tensor::from_vec(parts.iter().flat_map(of).collect(), &[12, 32], &Device::Cpu)
        };
        let ids = all(|part| part.ids.iter().map(|&id| i64::from(id)).collect())?;
        let loss = model.forward(&ids)?.cross_entropy(&all(|part| part.targets.clone())?)?;
        let mut gradients = loss.backward()?;
        let norm = clip_gradients(&mut gradients, &model.parameters(), config.grad_clip)?;
        // A step by hand with the trainer's numbers.
        let adamw = AdamWConfig {
            learning_rate: LearningRate::new(&config).at(0),
            beta1: config.beta1,
            beta2: config.beta2,
            weight_decay: config.weight_decay,
            ..AdamWConfig::default()
        };
        AdamW::new(model.parameters(), adamw)?.step(gradients)?;
        let report = trainer.queue_on(&parts)?;
        let report = trainer.wait(report)?;
        let loss = loss.item()?;
        let (found, found_norm) = report.loss.zip(report.grad_norm).ok_or("the step was read")?;
        assert!((found - loss).abs() <= 1e-6 * loss, "{unscored:?}: {found} in parts, {loss} in one");
        assert!(
            (found_norm - norm).abs() <= 1e-5 * norm,
            "{unscored:?}: {found_norm} in parts, {norm} in one"
        );
        // AdamW's first step is the rate times the sign of the gradient: of gradients near nothing it is noise.
        let far = |(ours, truth): (f64, f64)| (ours - truth).abs() > 0.01 * adamw.learning_rate;
        let (mut differ, mut count) = (0, 0);
        for (ours, truth) in trainer.model().parameters().iter().zip(model.parameters()) {
            let pairs = ours.get().to_f64_vec()?.into_iter().zip(truth.get().to_f64_vec()?);
            count += ours.shape().numel();
            differ += pairs.filter(|pair| far(*pair)).count();
        }
        assert!(differ * 1000 < count, "{unscored:?}: {differ} of {count} weights differ");
    }
    Ok(())
}

/// The logits of the last position, as bits.
fn bits(logits: &Tensor) -> Result<Vec<u32>, Box<dyn std::error::Error>> {
    let row = *logits.dims().last().ok_or("logits have axes")?;
    let all = logits.to_vec::<f32>()?;
    Ok(all[all.len() - row..].iter().map(|x| x.to_bits()).collect())
}

#[test]
fn cached_logits_are_the_uncached_ones_bit_for_bit() -> Checked {
    let config = GptConfig { vocab_size: 65, block_size: 32, n_layer: 2, n_embd: 64, ..GptConfig::default() };
    let model = Gpt::new(config, &Device::Cpu, Seed(3))?;
    let ids: Vec<i64> = (0..32).map(|t| t * t * 7 % 65).collect();
    for chunk in [1, 5, 16, 32] {
        let mut cache = model.new_cache(1)?;
        for part in ids.chunks(chunk) {
            let new = Tensor::from_slice(part, &[1, part.len()], &Device::Cpu)?;
            let cached = no_grad(|| model.forward_cached(&new, &mut cache))?;
            let seen = cache.len();
            let all = Tensor::from_slice(&ids[..seen], &[1, seen], &Device::Cpu)?;
            let whole = no_grad(|| model.forward(&all))?;
            assert!(bits(&cached)? == bits(&whole)?, "{seen} positions, {chunk} at a time");
        }
    }
    Ok(())
}
