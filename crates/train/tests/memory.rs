//! What a run is said to need is what it takes. In a process of its own: the arena is one for all.

use warpsmith_model::{Gpt, GptConfig};
use warpsmith_tensor::{Device, Seed, arena};
use warpsmith_text::{Corpus, Tokenizer};
use warpsmith_train::config::{OptimizerKind, Precision};
use warpsmith_train::finetune::{Example, FinetuneConfig, LoraConfig, finetune};
use warpsmith_train::memory::Need;
use warpsmith_train::trainer::gpt_config;
use warpsmith_train::{ModelFolder, TrainConfig, TrainData, Trainer};

/// The arena counts for one at a time.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

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

/// The same of fine-tuning: what is added to a model that is there.
#[test]
fn what_fine_tuning_adds_is_no_less_than_is_said() -> Checked {
    let shape = GptConfig {
        vocab_size: 257,
        block_size: 64,
        n_layer: 3,
        n_head: 4,
        n_embd: 128,
        ..GptConfig::default()
    };
    let lora = Some(LoraConfig { rank: 4, alpha: 8.0 });
    for (what, lora, freeze, near) in [
        ("whole", None, vec![], 1.1),
        ("adapters", lora, vec![], 1.2),
        ("frozen", None, vec!["transformer.wte".into()], 1.1),
    ] {
        let _turn = TURN.lock();
        let model = Gpt::new(shape.clone(), &Device::Cpu, Seed(1))?;
        let folder = ModelFolder {
            model: Box::new(model),
            tokenizer: Tokenizer::byte_level(),
            ends: vec![0],
            chat_template: None,
        };
        let lines = "{\"text\": \"ab\"}\n".repeat(4);
        let examples = Example::read((1..).zip(lines.lines()), &folder)?;
        let config = FinetuneConfig { epochs: 2, batch_size: 2, lora, freeze, ..FinetuneConfig::default() };
        let sizes: Vec<(String, usize)> =
            folder.model.parameters().iter().map(|p| (p.name().to_string(), p.shape().numel())).collect();
        let of = |chosen: &dyn Fn(&str) -> bool| -> usize {
            sizes.iter().filter(|(n, _)| chosen(n)).map(|(_, n)| n).sum()
        };
        let weights = of(&|_| true);
        let (learned, fresh) = match lora {
            // A rank of 4 beside each matrix of a block: C to 3C, C to C, C to 4C and back.
            Some(_) => (4 * 3 * (4 + 2 + 5 + 5) * 128, 4 * 3 * (4 + 2 + 5 + 5) * 128 + 3 * 12 * 128 * 128),
            None => (of(&|name| !config.freeze.iter().any(|f| name.starts_with(f))), 0),
        };
        let need = Need::to_tune(weights, learned, fresh, 2 * 2 * 257).bytes();
        arena::reset_peak();
        let before = arena::usage().live;
        finetune(&*folder.model, &examples, &[], &config, &mut |_| true)?;
        let taken = (arena::usage().peak - before) as f64;
        println!("{what}: {:.2} of {:.1} MiB", need / taken, taken / 1048576.0);
        assert!(need <= taken && taken <= near * need, "{what}: {need} bytes said, {taken} taken");
    }
    Ok(())
}

/// A refusal must never be wrong, so the bound lies below; and it is good for something only if it lies close.
#[test]
fn the_bound_is_below_what_is_taken_and_near() -> Checked {
    let _turn = TURN.lock();
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
        ("halves", TrainConfig { dtype: Precision::Bf16, ..small }),
    ];
    for (what, config) in cases {
        let data = TrainData::Text(Corpus::from_text(&text).tokenize(&Tokenizer::byte_level())?);
        let shape = gpt_config(&config, data.tokenizer().vocab_size());
        let (need, taken) = (Need::of(&config, &shape, false).bytes(), peak(&config, data)?);
        println!("{what}: {:.2} of {:.1} MiB", need / taken, taken / 1048576.0);
        assert!(need <= taken && taken <= 1.1 * need, "{what}: {need} bytes said, {taken} taken");
    }
    Ok(())
}
