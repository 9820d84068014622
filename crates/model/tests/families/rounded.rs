//! Products in bf16 on a GPU, which here is the emulated one: what only they read is bf16 from the kernel that makes it.

use std::collections::BTreeMap;
use std::process::Command;

use warpsmith_autograd::{Gradients, TensorExt};
use warpsmith_model::{CausalModel, Llama, LlamaConfig, LlamaKind, Rope, Scaling};
use warpsmith_ops::cross_entropy::{CrossEntropy, cross_entropy_before};
use warpsmith_ops::linear::Precision;
use warpsmith_tensor::{Device, Rng, Seed, Tensor};

/// T: no multiple of any tile.
const T: usize = 37;

/// Sizes that fit no tile: three query heads of 80 on one of keys, 131 tokens.
fn odd() -> LlamaConfig {
    LlamaConfig {
        vocab_size: 131,
        hidden_size: 48,
        intermediate_size: 72,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        num_key_value_heads: 1,
        head_dim: 80,
        max_position_embeddings: 40,
        windows: vec![None; 2],
        initializer_range: 0.2,
        ..LlamaConfig::default()
    }
}

fn gpu() -> Device {
    warpsmith_emulator::install().expect("the emulator is built beside the tests");
    Device::cuda(0).unwrap()
}

fn learned(model: &Llama, recompute: bool) -> (f64, Gradients) {
    let device = model.device();
    let draw = |stream: u64| Rng::new(Seed(3)).round(stream).uniform(2 * T);
    let id = |x: f32| (x * model.vocab_size() as f32) as i64;
    let of = |stream| Tensor::from_vec(draw(stream).into_iter().map(id).collect(), &[2, T], device).unwrap();
    let one = Tensor::scalar(1f32, device).unwrap();
    let logits = model.forward_for_loss(&of(0), &Rng::new(Seed(4)), recompute).unwrap();
    let loss = cross_entropy_before(logits, &of(1), &one, CrossEntropy::MEAN).unwrap();
    (loss.item().unwrap(), loss.backward_from(one).unwrap())
}

fn numbers(model: &Llama, gradients: &Gradients) -> BTreeMap<String, Vec<f64>> {
    let of = |p: &warpsmith_autograd::Parameter| gradients.get(p).unwrap().to_f64_vec().unwrap();
    model.parameters().iter().map(|p| (p.name().to_owned(), of(p))).collect()
}

/// Every way in which a Llama differs from its kin where numbers are rounded, with what a step can have.
fn kin() -> Vec<(&'static str, LlamaConfig)> {
    let stretched = Scaling::Linear { factor: 2.0 };
    vec![
        ("llama", odd()),
        ("untied, dropping", LlamaConfig { tie_word_embeddings: false, attention_dropout: 0.2, ..odd() }),
        ("mistral", LlamaConfig { kind: LlamaKind::Mistral, windows: vec![Some(9), None], ..odd() }),
        ("qwen2", LlamaConfig { kind: LlamaKind::Qwen2, attention_bias: true, ..odd() }),
        ("qwen3", LlamaConfig { kind: LlamaKind::Qwen3, ..odd() }),
        ("stretched", LlamaConfig { rope: Rope { theta: 1e4, scaling: stretched }, ..odd() }),
    ]
}

/// How far numbers are from others, as a share of those: by their norms.
fn share(of: &[f64], from: &[f64]) -> f64 {
    let norm = |all: &mut dyn Iterator<Item = f64>| all.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut of.iter().zip(from).map(|(a, b)| a - b)) / norm(&mut from.iter().copied())
}

/// Off from f32 by no more than twice what is off where the operands of products alone are rounded, as on the CPU.
#[test]
fn gradients_in_bf16_are_near_those_of_f32() {
    let device = gpu();
    for (name, config) in kin() {
        let make = |precision, device: &Device| {
            Llama::new(LlamaConfig { precision, ..config.clone() }, device, Seed(5)).unwrap()
        };
        let course = |model: Llama| {
            let (loss, gradients) = learned(&model, false);
            (loss, numbers(&model, &gradients))
        };
        let (exact, exact_gradients) = course(make(Precision::F32, &Device::Cpu));
        let (_, naive_gradients) = course(make(Precision::Bf16, &Device::Cpu));
        let there = make(Precision::Bf16, &device);
        let (loss, gradients) = learned(&there, false);
        assert!((loss - exact).abs() <= exact / 256.0, "{name}: {loss} in bf16, {exact} in f32");
        let rounded = numbers(&there, &gradients);
        for (of, exact) in &exact_gradients {
            let (ours, naive) = (share(&rounded[of], exact), share(&naive_gradients[of], exact));
            assert!(ours > 0.0 && ours <= 2.0 * naive, "{name}: {of} is off by {ours}, naively by {naive}");
        }
        let (again, gradients) = learned(&there, true);
        assert_eq!((again, numbers(&there, &gradients)), (loss, rounded), "{name}: blocks that run again");
    }
}

const TRACE: &str = "WARPSMITH_TRACE";

/// What the second step of one of [`kin`] does, of so many layers, whose weights lie there in bf16 already: how often each kernel
/// is launched, and the bytes that its lanes ask for. A process of its own tells.
fn second_step(test: &str, name: &str, layers: usize) -> (BTreeMap<String, usize>, u64) {
    let mut own = Command::new(std::env::current_exe().unwrap());
    own.args([test, "--exact", "--nocapture"]).env(TRACE, "1");
    own.env("LAYERS", layers.to_string()).env("NAME", name);
    let output = own.env("WARPSMITH_EMULATOR_CHECKS", "none").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let mut launches = BTreeMap::new();
    for line in told.split(SECOND).nth(1).expect("a second step").lines() {
        if let Some((kernel, _)) = line.strip_prefix("  ").and_then(|line| line.split_once(" <<<")) {
            *launches.entry(kernel.to_owned()).or_default() += 1;
        }
    }
    let bytes = told.lines().find_map(|line| line.strip_prefix(BYTES)).expect("bytes").parse().unwrap();
    (launches, bytes)
}

const SECOND: &str = "the second step";
const BYTES: &str = "bytes: ";

/// What one more layer of a Llama costs a GPU in a step. Before its norms, turns and gates wrote bf16, it was 71 launches, 25 of
/// them casts, and 4.18 MB.
#[test]
fn a_layer_costs_so_many_launches_and_bytes_and_casts_nothing() {
    if std::env::var(TRACE).as_deref() == Ok("1") {
        let layers = std::env::var("LAYERS").unwrap().parse().unwrap();
        let name = std::env::var("NAME").unwrap();
        let (_, mut config) = kin().into_iter().find(|(own, _)| *own == name).unwrap();
        config.windows.truncate(layers);
        let config = LlamaConfig { num_hidden_layers: layers, precision: Precision::Bf16, ..config };
        let model = Llama::new(config, &gpu(), Seed(5)).unwrap();
        learned(&model, false);
        warpsmith_emulator::counts();
        eprintln!("{SECOND}");
        learned(&model, false);
        let counts = warpsmith_emulator::counts().unwrap();
        eprintln!("{BYTES}{}", counts.global_read_bytes + counts.global_write_bytes);
        return;
    }
    let test = "rounded::a_layer_costs_so_many_launches_and_bytes_and_casts_nothing";
    let [(one, fewer), (two, more)] = [1, 2].map(|layers| second_step(test, "llama", layers));
    let launches = two.values().sum::<usize>() - one.values().sum::<usize>();
    assert_eq!(launches, 42, "{one:?} {two:?}");
    assert!(more - fewer <= 2_660_000, "{} bytes", more - fewer);
    // Turns by tables are several ops of f32.
    for (name, _) in kin().iter().filter(|(name, _)| *name != "stretched") {
        let (launches, _) = second_step(test, name, 2);
        assert!(!launches.keys().any(|kernel| kernel.starts_with("cast_")), "{name}: {launches:?}");
    }
}
