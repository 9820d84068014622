//! The works that `engine` (criterion) and `peers` (JSON lines, beside PyTorch and candle) both time. Names and shapes are
//! those of `benches/peers/README.md`.

use warpsmith::autograd::{TensorExt, apply_owned};
use warpsmith::model::{Gpt, GptConfig, Sampling};
use warpsmith::ops::adamw;
use warpsmith::ops::attention::{AttentionOptions, Mask};
use warpsmith::prelude::*;
use warpsmith::tensor::Result;
use warpsmith::text::Tokenizer;
use warpsmith::train::config::Precision;
use warpsmith::train::{TrainConfig, TrainData, Trainer};

/// One call of a work.
pub type Call = Box<dyn FnMut() -> Result<()>>;

/// A work: what it is called, on what, and how to get ready for calls.
pub struct Work {
    pub name: &'static str,
    pub shape: String,
    pub set_up: Box<dyn Fn() -> Result<Call> + Send + Sync>,
}

fn work(
    name: &'static str,
    shape: impl Into<String>,
    set_up: impl Fn() -> Result<Call> + Send + Sync + 'static,
) -> Work {
    Work { name, shape: shape.into(), set_up: Box::new(set_up) }
}

fn randn(dims: &[usize]) -> Result<Tensor> {
    Tensor::randn(dims, &Rng::new(Seed(7)), &Device::Cpu)
}

/// Every work.
pub fn works() -> Vec<Work> {
    let products = [
        (512, 512, 512),
        (1024, 1024, 1024),
        (2048, 2048, 2048),
        (256, 384, 1536),
        (2048, 768, 3072),
        (2048, 768, 50257),
    ];
    let product = |name, dtype, (m, k, n): (usize, usize, usize)| {
        work(name, format!("{m}x{k}x{n}"), move || {
            let (a, b) = (randn(&[m, k])?.to_dtype(dtype)?, randn(&[k, n])?.to_dtype(dtype)?);
            Ok(Box::new(move || a.matmul(&b).map(drop)))
        })
    };
    let mut works = Vec::new();
    for (name, dtype) in [("matmul_f32", DType::F32), ("matmul_bf16", DType::BF16)] {
        works.extend(products.map(|shape| product(name, dtype, shape)));
    }
    works.extend([
        work("softmax_fwd_f32", "4096x4096", || {
            let x = randn(&[4096, 4096])?;
            Ok(Box::new(move || x.softmax().map(drop)))
        }),
        work("layer_norm_fwd_f32", "8192x768", || layer_norm(false)),
        work("layer_norm_fwd_bwd_f32", "8192x768", || layer_norm(true)),
        work("cross_entropy_fwd_bwd_f32", "2048x50257", cross_entropy),
        work("attention_fwd_f32", "1x12x1024x64", || attention(false)),
        work("attention_fwd_bwd_f32", "1x12x1024x64", || attention(true)),
        work("adamw_f32", "10.75M", update),
        work("train_step_char_f32", CHAR, || training(char_gpt())),
        work("train_step_char_bf16", CHAR, || training(in_bf16(char_gpt()))),
        work("train_step_baby_f32", BABY, || training(baby_gpt())),
        work("train_step_baby_bf16", BABY, || training(in_bf16(baby_gpt()))),
        work("decode_gpt2_f32", "prompt 32, 64 new", decode),
    ]);
    works
}

fn layer_norm(backward: bool) -> Result<Call> {
    let (x, w, b) = (randn(&[8192, 768])?, randn(&[768])?, randn(&[768])?);
    if !backward {
        return Ok(Box::new(move || x.layer_norm(&w, Some(&b), 1e-5).map(drop)));
    }
    let (x, w, b) = (x.requires_grad()?, w.requires_grad()?, b.requires_grad()?);
    let grad = randn(&[8192, 768])?;
    Ok(Box::new(move || x.layer_norm(&w, Some(&b), 1e-5)?.backward_from(grad.clone()).map(drop)))
}

fn cross_entropy() -> Result<Call> {
    let logits = randn(&[2048, 50257])?.requires_grad()?;
    let targets: Vec<i64> = (0..2048).map(|i| i * 24 % 50257).collect();
    let targets = Tensor::from_vec(targets, &[2048], &Device::Cpu)?;
    Ok(Box::new(move || logits.cross_entropy(&targets)?.backward().map(drop)))
}

/// (B, T, H, D): our layout of the peers' (B, H, T, D).
fn attention(backward: bool) -> Result<Call> {
    let shape = [1, 1024, 12, 64];
    let mut qkv = [randn(&shape)?, randn(&shape)?, randn(&shape)?];
    let options = AttentionOptions { mask: Mask::Causal, ..Default::default() };
    if !backward {
        return Ok(Box::new(move || qkv[0].attention(&qkv[1], &qkv[2], &options).map(drop)));
    }
    for x in &mut qkv {
        *x = x.requires_grad()?;
    }
    let grad = randn(&shape)?;
    Ok(Box::new(move || qkv[0].attention(&qkv[1], &qkv[2], &options)?.backward_from(grad.clone()).map(drop)))
}

/// One update of the parameters of the baby GPT.
fn update() -> Result<Call> {
    let model = Gpt::new(baby(65), &Device::Cpu, Seed(1))?;
    let values: Vec<Tensor> = model.parameters().iter().map(|p| p.get().copy()).collect::<Result<_>>()?;
    let grads: Vec<Tensor> = values.iter().map(Tensor::copy).collect::<Result<_>>()?;
    let moments = |t: &Tensor| Tensor::zeros(*t.shape(), t.dtype(), &Device::Cpu);
    let mut state: Vec<[Tensor; 3]> =
        values.iter().map(|t| Ok([t.copy()?, moments(t)?, moments(t)?])).collect::<Result<_>>()?;
    let op = adamw::AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, step: 1 };
    Ok(Box::new(move || {
        let old = state.drain(..).zip(&grads);
        let inputs = old.flat_map(|([p, m, v], g)| [p, g.clone(), m, v]).collect();
        let outputs = apply_owned(op, inputs)?;
        let mut outputs = outputs.into_iter();
        while let (Some(p), Some(m), Some(v)) = (outputs.next(), outputs.next(), outputs.next()) {
            state.push([p, m, v]);
        }
        Ok(())
    }))
}

fn baby(vocab_size: usize) -> GptConfig {
    GptConfig { vocab_size, block_size: 256, n_layer: 6, n_head: 6, n_embd: 384, ..GptConfig::default() }
}

const CHAR: &str = "4L4H128 T64 B12";
const BABY: &str = "6L6H384 T256 B8";

fn char_gpt() -> TrainConfig {
    TrainConfig { bias: false, ..TrainConfig::quick() }
}

fn baby_gpt() -> TrainConfig {
    TrainConfig { batch_size: 8, dropout: 0.0, ..TrainConfig::shakespeare_char() }
}

/// The same with the operands of matrix products rounded to bf16.
fn in_bf16(config: TrainConfig) -> TrainConfig {
    TrainConfig { dtype: Precision::Bf16, ..config }
}

/// A training step on made-up text of 65 characters.
fn training(config: TrainConfig) -> Result<Call> {
    let fail = |e: warpsmith::train::Error| warpsmith::tensor::Error::value("bench", e.to_string());
    let text: String = (0..65u8).map(|c| char::from(b'!' + c)).collect::<String>().repeat(500);
    let data = warpsmith::text::Corpus::from_text(text).tokenize(&Tokenizer::chars());
    let data = data.map_err(|e| warpsmith::tensor::Error::value("bench", e.to_string()))?;
    let mut trainer = Trainer::new(config, TrainData::Text(data), &Device::Cpu).map_err(fail)?;
    Ok(Box::new(move || trainer.step().map(drop).map_err(fail)))
}

/// One new token of GPT-2 124M with random weights, after a prompt of 32 and up to 64 new ones.
fn decode() -> Result<Call> {
    let model = Gpt::new(GptConfig::gpt2(), &Device::Cpu, Seed(1))?;
    let mut cache = model.new_cache(1)?;
    let prompt: Vec<u32> = (0..32).collect();
    let mut token = 0u32;
    let mut sampler = warpsmith::model::Sampler::new(Sampling::greedy())?;
    Ok(Box::new(move || {
        no_grad(|| {
            if cache.len() < 32 || cache.len() >= 96 {
                cache.clear();
                model.forward_cached(&Tensor::from_slice(&prompt, &[1, 32], &Device::Cpu)?, &mut cache)?;
            }
            let logits =
                model.forward_cached(&Tensor::from_slice(&[token], &[1, 1], &Device::Cpu)?, &mut cache)?;
            token = sampler.next(&logits.to_vec()?, &[])?;
            Ok(())
        })
    }))
}
