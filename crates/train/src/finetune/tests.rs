use super::*;
use crate::ModelFolder;
use std::collections::BTreeMap;
use warpsmith_model::{Llama, LlamaConfig};
use warpsmith_tensor::Device;
use warpsmith_text::{ChatTemplate, Tokenizer};

const CHAT: &str = "{% for m in messages %}<{{ m.role }}>{{ m.content }};{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
const LINES: &str = "{\"prompt\": \"ab\", \"completion\": \"cd\"}\n\n{\"text\": \"xyz\"}\n{\"messages\": [\
                     {\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"r\"}, \
                     {\"role\": \"user\", \"content\": \"s\"}, {\"role\": \"assistant\", \"content\": \"tu\"}]}\n";

fn numbered(lines: &str) -> impl Iterator<Item = (u64, &str)> {
    (1..).zip(lines.lines())
}

fn folder() -> ModelFolder {
    let config = LlamaConfig {
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        head_dim: 4,
        max_position_embeddings: 48,
        windows: vec![None; 2],
        initializer_range: 0.2,
        ..LlamaConfig::default()
    };
    let model = Llama::new(config, &Device::Cpu, Seed(1)).unwrap();
    let chat_template = Some(ChatTemplate::new(CHAT, "", "").unwrap());
    ModelFolder { model: Box::new(model), tokenizer: Tokenizer::byte_level(), ends: vec![0], chat_template }
}

fn state(folder: &ModelFolder) -> BTreeMap<String, Vec<f32>> {
    folder.model.state().into_iter().map(|(name, t)| (name, t.to_vec::<f32>().unwrap())).collect()
}

fn run(folder: &ModelFolder, val: &[Example], config: &FinetuneConfig) -> (Tuned, Vec<Progress>) {
    let (examples, mut told) = (Example::read(numbered(LINES), folder).unwrap(), Vec::new());
    let tuned = finetune(&*folder.model, &examples, val, config, &mut |progress| {
        told.push(progress);
        true
    });
    (tuned.unwrap(), told)
}

fn losses(told: &[Progress]) -> Vec<f64> {
    let loss = |p: &Progress| if let Progress::Step { loss, .. } = p { Some(*loss) } else { None };
    told.iter().filter_map(loss).collect()
}

fn config() -> FinetuneConfig {
    FinetuneConfig {
        epochs: 12,
        batch_size: 3,
        learning_rate: 1e-2,
        warmup_iters: 2,
        ..FinetuneConfig::default()
    }
}

#[test]
fn what_is_learned_of_each_kind_of_line() {
    let folder = folder();
    let examples = Example::read(numbered(LINES), &folder).unwrap();
    let batch = Example::batch(&examples.iter().collect::<Vec<_>>(), &Device::Cpu).unwrap();
    let targets = batch.targets.to_vec::<i64>().unwrap();
    let learned = |row: usize| -> Vec<u8> {
        let t = batch.targets.dims()[1];
        targets[row * t..][..t].iter().filter(|target| **target >= 0).map(|target| *target as u8).collect()
    };
    assert_eq!([0, 1, 2].map(learned), [b"cd\0".to_vec(), b"yz\0".to_vec(), b"r;tu;".to_vec()]);
    assert_eq!(batch.scored, 3 + 3 + 5);
    // The whole chat is read.
    let chat = b"<user>q;<assistant>r;<user>s;<assistant>tu;";
    assert_eq!(batch.ids.dims(), [3, chat.len() - 1]);
    let refused =
        |line: &str| Example::read(numbered(&format!("\n{line}")), &folder).unwrap_err().to_string();
    assert!(refused("{\"text\": 3}").contains("line 2"));
    assert!(refused("{\"prompt\": \"a\"}").contains("completion"));
    assert!(refused("{\"text\": \"a\", \"texts\": \"b\"}").contains("line 2"));
    assert!(
        refused("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}")
            .contains("nothing of it is learned")
    );
    // What does not fit is cut: nothing of this completion is left.
    let long = format!("{{\"prompt\": \"{}\", \"completion\": \"b\"}}", "a".repeat(60));
    assert!(refused(&long).contains("nothing of it is learned"));
}

/// A prompt's tokens are read and not learned: another prompt's loss is that of its completion alone.
#[test]
fn the_loss_is_that_of_the_completion() {
    let folder = folder();
    let examples = Example::read(numbered("{\"prompt\": \"ab\", \"completion\": \"c\"}"), &folder).unwrap();
    let ids = Tensor::from_slice(&[97u32, 98, 99], &[1, 3], &Device::Cpu).unwrap();
    let rows = no_grad(|| folder.model.forward(&ids)?.log_softmax()).unwrap().to_vec::<f32>().unwrap();
    let truth = -f64::from(rows[256 + 99] + rows[2 * 256]) / 2.0;
    let found = loss(&*folder.model, &examples, 8).unwrap();
    assert!((found - truth).abs() < 1e-5, "{found}, not {truth}");
}

#[test]
fn it_learns_whole_and_by_adapters_and_what_is_frozen_keeps_its_bits() {
    for lora in [None, Some(LoraConfig { rank: 4, alpha: 8.0 })] {
        let folder = folder();
        let before = state(&folder);
        let freeze = vec!["model.layers.0".to_string(), "model.norm".into()];
        let (tuned, told) = run(&folder, &[], &FinetuneConfig { lora, freeze: freeze.clone(), ..config() });
        let losses = losses(&told);
        assert_eq!((losses.len(), tuned.steps, tuned.best), (12, 12, None));
        assert!(losses[11] < 0.9 * losses[0], "{lora:?}: {losses:?}");
        for (name, values) in state(&folder) {
            let is_frozen = freeze.iter().any(|start| name.starts_with(start));
            let is_adapted = lora.is_none() || (name.contains(".layers.") && name.contains("_proj"));
            assert_eq!(values == before[&name], is_frozen || !is_adapted, "{lora:?}: {name}");
        }
        let again = self::folder();
        run(&again, &[], &FinetuneConfig { lora, freeze, ..config() });
        assert_eq!(state(&again), state(&folder), "the same seed, the same bits");
    }
}

#[test]
fn it_ends_early_with_the_best_weights() {
    let folder = folder();
    // What it must not learn: the opposite of what it does.
    let val = Example::read(numbered("{\"prompt\": \"ab\", \"completion\": \"zz\"}"), &folder).unwrap();
    let (tuned, told) =
        run(&folder, &val, &FinetuneConfig { patience: 2, epochs: 40, learning_rate: 3e-2, ..config() });
    let of_epochs =
        |p: &Progress| if let Progress::Epoch { val_loss, .. } = p { Some(*val_loss) } else { None };
    let of_epochs: Vec<f64> = told.iter().filter_map(of_epochs).collect();
    let (epoch, least) = tuned.best.unwrap();
    assert!(tuned.is_early && of_epochs.len() == epoch + 2 && of_epochs.len() < 40, "{tuned:?}");
    assert_eq!(of_epochs.iter().copied().fold(f64::INFINITY, f64::min), least);
    assert_eq!(loss(&*folder.model, &val, 8).unwrap(), least, "the weights of the best epoch");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = folder();
    let examples = Example::read(numbered(LINES), &folder).unwrap();
    let refused = |config: FinetuneConfig, examples: &[Example]| {
        finetune(&*folder.model, examples, &[], &config, &mut |_| true).unwrap_err().to_string()
    };
    assert!(refused(config(), &[]).contains("no example"));
    assert!(
        refused(FinetuneConfig { freeze: vec!["nothing".into()], ..config() }, &examples)
            .contains("`nothing`")
    );
    assert!(
        refused(FinetuneConfig { freeze: vec!["model".into()], ..config() }, &examples)
            .contains("nothing is left")
    );
    assert!(refused(FinetuneConfig { batch_size: 0, ..config() }, &examples).contains("batch_size"));
    let lora = Some(LoraConfig { rank: 0, alpha: 1.0 });
    assert!(refused(FinetuneConfig { lora, ..config() }, &examples).contains("rank 0"));
}
