//! A short run follows the runs of PyTorch, as near as these follow each other.

use serde_json::Value;
use warpsmith::prelude::*;
use warpsmith::train::TrainData;
use warpsmith::train::trainer::gpt_config;

use crate::Checked;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A list of numbers.
fn numbers(json: &Value) -> Vec<f64> {
    json.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

/// The mean over all windows of T tokens of the training part, side by side.
fn whole_loss(trainer: &Trainer) -> Result<f64, Box<dyn std::error::Error>> {
    let TrainData::Text(text) = trainer.data() else { return Err("a text was given".into()) };
    let (tokens, t) = (text.train(), trainer.config().block_size);
    let count = (tokens.len() - 1) / t;
    let windows = |from: usize| {
        let ids: Vec<i64> = tokens[from..from + count * t].iter().map(|&id| i64::from(id)).collect();
        Tensor::from_vec(ids, &[count, t], &Device::Cpu)
    };
    let (ids, targets) = (windows(0)?, windows(1)?);
    Ok(no_grad(|| trainer.model().forward(&ids)?.cross_entropy(&targets))?.item()?)
}

/// The norm of all weights whose names end so.
fn norm(model: &Gpt, ending: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let mut sum = 0.0;
    for parameter in model.parameters().iter().filter(|p| p.name().ends_with(ending)) {
        sum += parameter.get().to_f64_vec()?.iter().map(|x| x * x).sum::<f64>();
    }
    Ok(sum.sqrt())
}

/// A band is four deviations wide to each side, so that one run in 16,000 leaves it at a step by chance. The norms see what the
/// loss does not: without the decay of weights, the warm-up, the decay of the rate, clipping, or the smaller beginning of
/// the residual branches, they are outside.
#[test]
fn a_short_run_stays_in_pytorch_s_band() -> Checked {
    let json: Value =
        serde_json::from_slice(&std::fs::read(format!("{ROOT}/tests/golden/short_curve.json"))?)?;
    let text = std::fs::read_to_string(format!("{ROOT}/LICENSE-APACHE"))?;
    for seed in [1, 2] {
        let mut config = TrainConfig { seed, ..TrainConfig::default() };
        for (key, value) in json["config"].as_object().into_iter().flatten() {
            config.set(key, &value.to_string())?;
        }
        let data = TrainData::Text(Corpus::from_text(&text).tokenize(&Tokenizer::chars())?);
        let mut trainer = Trainer::new(config, data, &Device::Cpu)?;
        let (mut compared, mut outside) = (0, Vec::new());
        for (i, step) in numbers(&json["steps"]).into_iter().enumerate() {
            while trainer.steps() < step as usize {
                trainer.step()?;
            }
            let (all, residual) = (norm(trainer.model(), "")?, norm(trainer.model(), "c_proj.weight")?);
            for (key, ours) in
                [("train_whole", whole_loss(&trainer)?), ("norm", all), ("residual_norm", residual)]
            {
                let (low, high) = (numbers(&json[key]["low"])[i], numbers(&json[key]["high"])[i]);
                compared += 1;
                if !(low..=high).contains(&ours) {
                    outside.push(format!("{key} {ours:.4} after {step} steps is not in {low}..{high}"));
                }
            }
        }
        assert!(compared == 21 && outside.is_empty(), "seed {seed}: {outside:#?}");
    }
    Ok(())
}

/// Residual branches add up, so that their last products begin smaller (GPT-2, §2.3).
#[test]
fn a_fresh_model_is_drawn_as_nanogpt_draws_it() -> Checked {
    let config = TrainConfig { n_layer: 8, n_head: 4, n_embd: 64, bias: true, ..TrainConfig::default() };
    let model = Gpt::new(gpt_config(&config, 65), &Device::Cpu, Seed(3))?;
    for parameter in model.parameters() {
        let (name, x) = (parameter.name(), parameter.get().to_f64_vec()?);
        if parameter.shape().dims().len() == 1 {
            let value = if name.ends_with("bias") { 0.0 } else { 1.0 };
            assert!(x.iter().all(|x| *x == value), "{name}");
            continue;
        }
        let expected = if name.ends_with("c_proj.weight") { 0.02 / 16f64.sqrt() } else { 0.02 };
        let n = x.len() as f64;
        let (mean, square) = (x.iter().sum::<f64>() / n, x.iter().map(|x| x * x).sum::<f64>() / n);
        // Five standard errors of each.
        assert!(mean.abs() < 5.0 * expected / n.sqrt(), "{name}: mean {mean}");
        let deviation = square.sqrt();
        assert!((deviation / expected - 1.0).abs() < 5.0 / (2.0 * n).sqrt(), "{name}: deviation {deviation}");
    }
    Ok(())
}
