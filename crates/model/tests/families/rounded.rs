//! Products in bf16 on a GPU, which here is the emulated one: what only they read is bf16 from the kernel that makes it.

use std::collections::BTreeMap;
use std::process::Command;

use warpsmith_autograd::{Gradients, Parameter, TensorExt};
use warpsmith_model::{
    BertTask, CausalModel, EncoderBatch, Llama, LlamaConfig, LlamaKind, Precision, Rope, Scaling, Weights,
    answering_model,
};
use warpsmith_ops::cross_entropy::{CrossEntropy, cross_entropy_before};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Rng, Seed, Tensor};

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

fn numbers(parameters: &[Parameter], gradients: &Gradients) -> BTreeMap<String, Vec<f64>> {
    let of = |p: &Parameter| Some((p.name().to_owned(), gradients.get(p)?.to_f64_vec().unwrap()));
    parameters.iter().filter_map(of).collect()
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

fn drawn(precision: Precision, device: &Device) -> Weights {
    Weights::random(Seed(5), device).with_precision(precision)
}

/// How far numbers are from others, as a share of those: by their norms.
fn share(of: &[f64], from: &[f64]) -> f64 {
    let norm = |all: &mut dyn Iterator<Item = f64>| all.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut of.iter().zip(from).map(|(a, b)| a - b)) / norm(&mut from.iter().copied())
}

/// A loss, and its gradients by the names of parameters.
type Step = (f64, BTreeMap<String, Vec<f64>>);

/// Off from f32 by no more than twice what is off where the operands of products alone are rounded, as on the CPU.
fn check_rounded(name: &str, course: &dyn Fn(&Weights) -> Step, device: &Device) {
    let (exact, exact_gradients) = course(&drawn(Precision::F32, &Device::Cpu));
    let (_, naive_gradients) = course(&drawn(Precision::Bf16, &Device::Cpu));
    let (loss, rounded) = course(&drawn(Precision::Bf16, device));
    assert!((loss - exact).abs() <= exact / 256.0, "{name}: {loss} in bf16, {exact} in f32");
    // What no loss depends on: a key's bias moves all scores of a row alike.
    let is_nothing = |of: &str| exact_gradients[of].iter().all(|v| v.abs() <= 1e-6);
    for (of, exact) in exact_gradients.iter().filter(|(of, _)| !is_nothing(of)) {
        let (ours, naive) = (share(&rounded[of], exact), share(&naive_gradients[of], exact));
        assert!(ours > 0.0 && ours <= 2.0 * naive, "{name}: {of} is off by {ours}, naively by {naive}");
    }
}

#[test]
fn gradients_in_bf16_are_near_those_of_f32() {
    let device = gpu();
    for (name, config) in kin() {
        let course = |recompute: bool, weights: &Weights| {
            let model = Llama::build(config.clone(), weights).unwrap();
            let (loss, gradients) = learned(&model, recompute);
            (loss, numbers(&model.parameters(), &gradients))
        };
        check_rounded(name, &|weights| course(false, weights), &device);
        let [again, once] = [true, false].map(|is_again| course(is_again, &drawn(Precision::Bf16, &device)));
        assert!(again == once, "{name}: blocks that run again have other numbers");
    }
}

/// Widths of heads that no tile has, norms behind the layers and before them, texts of two lengths.
const ENCODERS: [(&str, &str); 4] = [
    (
        "bert",
        r#"{"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 83, "hidden_size": 60,
            "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 84, "max_position_embeddings": 40,
            "type_vocab_size": 2, "hidden_act": "gelu", "initializer_range": 0.2, "hidden_dropout_prob": 0.1}"#,
    ),
    (
        "t5",
        r#"{"model_type": "t5", "vocab_size": 83, "d_model": 48, "d_kv": 20, "d_ff": 84, "num_layers": 2, "num_heads": 3,
            "relative_attention_num_buckets": 8, "relative_attention_max_distance": 16, "dropout_rate": 0.1,
            "feed_forward_proj": "gated-gelu", "tie_word_embeddings": false}"#,
    ),
    (
        "t5, tied",
        r#"{"model_type": "t5", "vocab_size": 83, "d_model": 48, "d_kv": 20, "d_ff": 84, "num_layers": 1, "num_heads": 3,
            "relative_attention_num_buckets": 8, "relative_attention_max_distance": 16, "feed_forward_proj": "relu"}"#,
    ),
    (
        "marian",
        r#"{"model_type": "marian", "vocab_size": 83, "d_model": 60, "encoder_layers": 2, "decoder_layers": 2,
            "encoder_attention_heads": 3, "decoder_attention_heads": 3, "encoder_ffn_dim": 84, "decoder_ffn_dim": 84,
            "activation_function": "swish", "scale_embedding": true, "decoder_start_token_id": 0,
            "init_std": 0.2, "dropout": 0.1}"#,
    ),
];

/// The loss of a step of one of [`ENCODERS`], and its gradients.
fn encoded(config: &str, weights: &Weights) -> Step {
    let device = weights.device();
    let drawn = |stream: u64, count: usize| -> Vec<u32> {
        let of = Rng::new(Seed(3)).round(stream).uniform(count);
        of.into_iter().map(|x| (x * 83.0) as u32).collect()
    };
    let (long, short) = (drawn(0, T), drawn(1, T / 2));
    let batch = EncoderBatch::new(&[&long, &short], None, device).unwrap();
    let said = Tensor::from_vec(drawn(2, 2 * T), &[2, T], device).unwrap();
    let rng = Rng::new(Seed(4));
    let (logits, parameters) = if config.contains("bert") {
        let model = BertTask::from_weights(config, weights).unwrap();
        (model.forward(&batch, Some(&rng)).unwrap(), model.parameters())
    } else {
        let model = answering_model(config, weights).unwrap();
        (model.forward(&batch, &said, Some(&rng)).unwrap(), model.parameters())
    };
    let loss = logits.cross_entropy(&said.to_dtype(DType::I64).unwrap()).unwrap();
    (loss.item().unwrap(), numbers(&parameters, &loss.backward().unwrap()))
}

#[test]
fn encoders_and_what_answers_in_bf16_have_gradients_near_those_of_f32() {
    let device = gpu();
    for (name, config) in ENCODERS {
        check_rounded(name, &|weights| encoded(config, weights), &device);
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
        let config = LlamaConfig { num_hidden_layers: layers, ..config };
        let model = Llama::build(config, &drawn(Precision::Bf16, &gpu())).unwrap();
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
