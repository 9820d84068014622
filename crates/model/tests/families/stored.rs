//! Model folders of 16-bit floats: held as they are, they are multiplied as those of GGUF files.

use warpsmith_autograd::no_grad;
use warpsmith_gguf::{Gguf, Kind};
use warpsmith_model::{
    BertConfig, BertTask, CausalModel, EncoderBatch, EncoderDecoder as _, Gpt, GptConfig, Held, Llama,
    LlamaConfig, Policy, Precision, T5, T5Config, Weights, causal_model, causal_model_from, gguf_model,
    write_gguf,
};
use warpsmith_ops::gelu::Form;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Seed, Tensor};

use crate::golden::{Tensors, assert_close};

const FLOATS: [(DType, Kind); 2] = [(DType::BF16, Kind::Bf16), (DType::F16, Kind::F16)];

/// A GPT-2, whose matrices lie as (K, N) in folders, and a Llama with a head of its own.
fn decoders() -> [Box<dyn CausalModel>; 2] {
    let gpt = GptConfig {
        n_layer: 2,
        n_head: 2,
        n_embd: 32,
        vocab_size: 40,
        block_size: 16,
        activation: Form::Tanh,
        bias: true,
        ..Default::default()
    };
    let llama = LlamaConfig {
        vocab_size: 40,
        hidden_size: 32,
        head_dim: 8,
        initializer_range: 0.3,
        tie_word_embeddings: false,
        ..LlamaConfig::default()
    };
    [
        Box::new(Gpt::new(gpt, &Device::Cpu, Seed(3)).unwrap()),
        Box::new(Llama::new(llama, &Device::Cpu, Seed(3)).unwrap()),
    ]
}

fn all_as(dtype: DType, state: Tensors) -> Tensors {
    state.into_iter().map(|(name, t)| (name, t.to_dtype(dtype).unwrap())).collect()
}

fn held(tensors: &Tensors, device: &Device) -> Weights {
    Weights::held(tensors.clone(), Held::AsStored, device)
}

fn logits(model: &dyn CausalModel) -> Tensor {
    let ids = Tensor::from_slice(&[3u32, 1, 4, 1, 5, 9], &[2, 3], model.device()).unwrap();
    no_grad(|| model.forward(&ids)).unwrap().to_device(&Device::Cpu).unwrap()
}

/// Numbers and bytes of what a model holds as the file has it. No parameter is a matrix then.
fn kept(weights: &Weights) -> (usize, usize) {
    let kept = weights.kept().into_values();
    kept.fold((0, 0), |(n, bytes), k| (n + k.dims.iter().product::<usize>(), bytes + k.rows.size()))
}

#[test]
fn decoders_have_the_bits_of_a_gguf_file_of_the_same_numbers() {
    for decoder in decoders() {
        for (dtype, kind) in FLOATS {
            let folder = all_as(dtype, decoder.state());
            let weights = held(&folder, &Device::Cpu);
            let ours = causal_model_from(&decoder.config_json(), &weights).unwrap();
            // Matrices take two bytes a number, and nothing else has two axes.
            let total: usize = folder.values().filter(|t| t.rank() == 2).map(Tensor::numel).sum();
            assert_eq!(kept(&weights), (total, 2 * total));
            assert!(ours.parameters().iter().all(|p| p.shape().rank() == 1));

            let widened = causal_model(&decoder.config_json(), folder, &Device::Cpu).unwrap();
            let file = write_gguf(&*widened, kind).unwrap().finish();
            let gguf = gguf_model(&Gguf::parse(&file).unwrap(), Held::AsStored, &Device::Cpu).unwrap();
            let bits = |model| logits(model).to_vec::<f32>().unwrap();
            assert_eq!(bits(&*ours), bits(&*gguf), "{dtype}");
            // The same numbers in f32: only the order of the sums is another.
            assert_close("widened", &logits(&*ours), &logits(&*widened), 1e-5);
        }
    }
}

/// A matrix is held once under either of its names, and one that makes no rows of whole units is numbers.
#[test]
fn tied_matrices_are_one_and_odd_ones_are_numbers() {
    let [gpt, _] = decoders();
    let mut folder = all_as(DType::BF16, gpt.state());
    let head = folder["transformer.wte.weight"].clone();
    folder.insert("lm_head.weight".into(), head);
    let weights = held(&folder, &Device::Cpu);
    let both = causal_model_from(&gpt.config_json(), &weights).unwrap();
    assert!(weights.kept().contains_key("transformer.wte.weight"));
    assert!(!weights.kept().contains_key("lm_head.weight"));
    folder.remove("lm_head.weight");
    let one = causal_model_from(&gpt.config_json(), &held(&folder, &Device::Cpu)).unwrap();
    let bits = |model: &dyn CausalModel| logits(model).to_vec::<f32>().unwrap();
    assert_eq!(bits(&*both), bits(&*one));

    let config =
        LlamaConfig { hidden_size: 24, head_dim: 8, intermediate_size: 64, ..LlamaConfig::default() };
    let llama = Llama::new(config, &Device::Cpu, Seed(3)).unwrap();
    let weights = held(&all_as(DType::F16, llama.state()), &Device::Cpu);
    let odd = causal_model_from(&llama.config_json(), &weights).unwrap();
    let (fits, kept) = (["o_proj.weight", "down_proj.weight"], weights.kept());
    assert!(!kept.is_empty() && kept.keys().all(|name| fits.iter().any(|end| name.ends_with(end))));
    assert_eq!(kept.len() + odd.parameters().len(), llama.parameters().len());
}

#[test]
fn encoders_and_t5_are_held_so_too() {
    let bert = r#"{"model_type": "bert", "vocab_size": 20, "hidden_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 20, "initializer_range": 0.3}"#;
    let (config, task) = BertConfig::from_json(bert).unwrap();
    let t5 = r#"{"model_type": "t5", "vocab_size": 20, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1,
        "num_heads": 4, "decoder_start_token_id": 0, "tie_word_embeddings": true}"#;
    let batch = EncoderBatch::new(&[&[3, 1, 4, 1, 5], &[9, 2]], None, &Device::Cpu).unwrap();
    let said = Tensor::from_slice(&[0u32, 6, 0, 5], &[2, 2], &Device::Cpu).unwrap();
    let read = |weights: &Weights| {
        let model = BertTask::from_weights(bert, weights).unwrap();
        no_grad(|| model.encoder().forward(&batch, None)).unwrap()
    };
    let answer = |weights: &Weights| {
        let model = T5::from_weights(t5, weights).unwrap();
        no_grad(|| model.forward(&batch, &said, None)).unwrap()
    };
    let bert_state = BertTask::new(config, task, &Device::Cpu, Seed(1)).unwrap().state();
    let t5_state = T5::new(T5Config::from_json(t5).unwrap(), &Device::Cpu, Seed(1)).unwrap().state();
    let compare = |name: &str, state: Tensors, run: &dyn Fn(&Weights) -> Tensor| {
        let folder = all_as(DType::BF16, state);
        let weights = held(&folder, &Device::Cpu);
        let ours = run(&weights);
        assert!(kept(&weights).0 > 5000, "{name}: {:?}", kept(&weights));
        assert_close(name, &ours, &run(&Weights::given(folder, &Device::Cpu)), 1e-5);
    };
    compare("bert", bert_state, &read);
    compare("t5", t5_state, &answer);
}

/// The numbers are read on the host, and go to a GPU as they are.
#[cfg(target_os = "linux")]
#[test]
fn a_gpu_holds_them_so() {
    warpsmith_emulator::install().expect("the emulator is built beside the tests");
    let device = Device::cuda(0).unwrap();
    for decoder in decoders() {
        let folder = all_as(DType::BF16, decoder.state());
        let there = causal_model_from(&decoder.config_json(), &held(&folder, &device)).unwrap();
        assert!(there.parameters().iter().all(|p| p.shape().rank() == 1));
        let here = causal_model(&decoder.config_json(), folder, &Device::Cpu).unwrap();
        assert_close("gpu", &logits(&*there), &logits(&*here), 1e-5);
    }
}

/// The largest difference, as a share of the largest number.
fn off(ours: &Tensor, truth: &Tensor) -> f64 {
    let (ours, truth) = (ours.to_f64_vec().unwrap(), truth.to_f64_vec().unwrap());
    let largest = |all: &mut dyn Iterator<Item = f64>| all.fold(0.0f64, |m, x| m.max(x.abs()));
    largest(&mut ours.iter().zip(&truth).map(|(a, b)| a - b)) / largest(&mut truth.iter().copied())
}

/// Activations are rounded to the bf16 that the matrices are, wherever rows come from: a token has the bits that it has in its
/// text, and numbers held as f32 have those of the file's. A GPU rounds the same operands.
#[cfg(target_os = "linux")]
#[test]
fn what_meets_matrices_of_bf16_may_be_rounded() {
    warpsmith_emulator::install().expect("the emulator is built beside the tests");
    let policy = |held, precision| Policy { held, precision };
    for (decoder, name) in decoders().into_iter().zip(["gpt2", "llama"]) {
        let folder = all_as(DType::BF16, decoder.state());
        let open = |policy: Policy, device: &Device| {
            let weights = Weights::held(folder.clone(), policy, device);
            causal_model_from(&decoder.config_json(), &weights).unwrap()
        };
        let exact = logits(&*open(Held::AsStored.into(), &Device::Cpu));
        let rounded = open(policy(Held::AsStored, Precision::Bf16), &Device::Cpu);
        let ours = logits(&*rounded);
        assert_close(name, &ours, &exact, 0.02);
        assert!(off(&ours, &exact) > 1e-4, "{name}: nothing is rounded");
        let numbers = open(policy(Held::AsF32, Precision::Bf16), &Device::Cpu);
        assert!(logits(&*numbers).to_vec::<f32>().unwrap() == ours.to_vec::<f32>().unwrap(), "{name}");

        let mut cache = rounded.cache(1, 3).unwrap();
        let mut step = |id: u32| {
            let id = Tensor::from_slice(&[id], &[1, 1], &Device::Cpu).unwrap();
            no_grad(|| rounded.forward_cached(&id, &mut cache)).unwrap().to_vec::<f32>().unwrap()
        };
        let stepped = [3, 1, 4].map(&mut step).concat();
        assert!(
            stepped == ours.slice(0, 0, 1, 1).unwrap().to_vec::<f32>().unwrap(),
            "{name}: token by token"
        );

        let there = open(policy(Held::AsStored, Precision::Bf16), &Device::cuda(0).unwrap());
        assert_close(name, &logits(&*there), &exact, 0.02);
        assert!(off(&logits(&*there), &exact) > 1e-4, "{name}: nothing is rounded on a GPU");
    }
}
