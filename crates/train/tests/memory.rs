//! What a run is said to need is what it takes. In a process of its own: the arena is one for all.

use warpsmith_tensor::{Device, arena};
use warpsmith_text::{Corpus, Tokenizer};
use warpsmith_train::config::{OptimizerKind, Precision};
use warpsmith_train::memory::Need;
use warpsmith_train::trainer::gpt_config;
use warpsmith_train::{TrainConfig, TrainData, Trainer};

type Checked = Result<(), Box<dyn std::error::Error>>;

/// The most bytes of tensors at once, from an empty arena to the end of the second step.
fn peak(config: &TrainConfig, data: TrainData) -> Result<f64, Box<dyn std::error::Error>> {
    arena::reset_peak();
    let before = arena::usage().live;
    let mut trainer = Trainer::new(config.clone(), data, &Device::Cpu)?;
    trainer.step()?;
    trainer.step()?;
    Ok((arena::usage().peak - before) as f64)
}

/// A refusal must never be wrong, so the bound lies below; and it is good for something only if it lies close.
#[test]
fn the_bound_is_below_what_is_taken_and_near() -> Checked {
    let small = TrainConfig {
        n_layer: 3,
        n_head: 4,
        n_embd: 64,
        block_size: 64,
        dropout: 0.0,
        batch_size: 8,
        ..TrainConfig::default()
    };
    let text: String = (0..4000).map(|i| format!("{} and {}\n", i, i * 7 % 13)).collect();
    let cases = [
        ("many tokens", small.clone()),
        ("long texts", TrainConfig { block_size: 512, ..small.clone() }),
        ("dropped", TrainConfig { dropout: 0.2, ..small.clone() }),
        ("a wide model", TrainConfig { n_embd: 256, batch_size: 1, bias: true, ..small.clone() }),
        ("recomputed", TrainConfig { recompute: true, n_layer: 8, ..small.clone() }),
        (
            "accumulated",
            TrainConfig { gradient_accumulation_steps: 3, n_embd: 128, batch_size: 2, ..small.clone() },
        ),
        (
            "one moment",
            TrainConfig { optimizer: OptimizerKind::Sgd, n_embd: 256, batch_size: 1, ..small.clone() },
        ),
        ("halves", TrainConfig { dtype: Precision::Bfloat16, ..small }),
    ];
    for (what, config) in cases {
        let data = TrainData::Text(Corpus::from_text(&text).tokenize(&Tokenizer::byte_level())?);
        let shape = gpt_config(&config, data.tokenizer().vocab_size());
        let (need, taken) = (Need::of(&config, &shape).bytes(), peak(&config, data)?);
        println!("{what}: {:.2} of {:.1} MiB", need / taken, taken / 1048576.0);
        assert!(need <= taken && taken <= 1.1 * need, "{what}: {need} bytes said, {taken} taken");
    }
    Ok(())
}
