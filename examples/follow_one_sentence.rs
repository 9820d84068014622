//! Three sentences on their way through a small Transformer: every tensor from text to loss and gradient, printed.
//!
//! `cargo run --example follow_one_sentence`
//!
//! What printed versions of this program often get wrong:
//! - the numbers are made up, or each step draws weights of its own. Here each line is computed by hand, op by op, from the
//!   weights of a model that was trained before, and at the end the model itself is asked: both give the same logits;
//! - scores are not divided by √D, or are masked after the softmax, so that a row no longer adds up to 1;
//! - Chinese is cut into bytes or words without saying so. Here: characters, or words where the text has spaces.

use std::collections::{BTreeMap, BTreeSet};

use warpsmith::prelude::*;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const SENTENCES: [&str; 3] = ["我今天去了公园", "我爱编程", "我 爱 吃 水果"];
// In shapes: T tokens of a sentence, C numbers of a token, H heads of D numbers each, V tokens that are known.
const WIDTH: usize = 8; // C
const HEADS: usize = 2; // H
const HEAD: usize = WIDTH / HEADS; // D

fn tokens(sentence: &str) -> Vec<String> {
    match sentence.contains(' ') {
        true => sentence.split(' ').map(str::to_owned).collect(),
        false => sentence.chars().map(String::from).collect(),
    }
}

/// One sentence on its way, by the weights of a trained model.
struct Walk<'a> {
    weights: &'a BTreeMap<String, Tensor>,
    tokens: &'a [String],
}

impl Walk<'_> {
    fn weight(&self, name: &str) -> Outcome<&Tensor> {
        Ok(self.weights.get(&format!("transformer.{name}")).ok_or(format!("no weight {name}"))?)
    }

    /// Prints a matrix (T, …), a row for each token.
    fn show(&self, what: &str, x: &Tensor) -> Outcome<()> {
        println!("  {what} {}", x.shape());
        for (token, row) in self.tokens.iter().zip(x.to_vec::<f32>()?.chunks(x.shape().last())) {
            let row: String = row.iter().map(|v| format!("{v:6.2}")).collect();
            // A Chinese character is two columns wide.
            println!("    {}{token} {row}", " ".repeat(6 - 2 * token.chars().count().min(3)));
        }
        Ok(())
    }

    /// ids (T) → logits (T, V)
    fn logits(&self, ids: &Tensor) -> Outcome<Tensor> {
        let x = self.weight("wte.weight")?.embedding(ids)?; // (T, C)
        self.show("token vectors, rows of a table", &x)?;
        let x = x.add(&self.weight("wpe.weight")?.narrow(0, 0, ids.dims()[0])?)?; // (T, C)
        self.show("with the vectors of their places added", &x)?;
        let x = x.add(&self.attention(&x)?)?; // (T, C)
        self.show("with what attention found added", &x)?;
        let x = x.add(&self.network(&x)?)?; // (T, C)
        self.show("with what two layers and a GELU made of it added", &x)?;
        let last = x.layer_norm(self.weight("ln_f.weight")?, None, 1e-5)?; // (T, C)
        Ok(last.matmul(&self.weight("wte.weight")?.transpose(0, 1)?)?) // (T, C) · (C, V) -> (T, V)
    }

    /// x (T, C) → (T, C)
    fn attention(&self, x: &Tensor) -> Outcome<Tensor> {
        let normal = x.layer_norm(self.weight("h.0.ln_1.weight")?, None, 1e-5)?; // (T, C)
        self.show("each row to mean 0 and deviation 1", &normal)?;
        let qkv = normal.matmul(self.weight("h.0.attn.c_attn.weight")?)?.split(-1, &[WIDTH; 3])?; // 3 × (T, C)
        let t = x.dims()[0];
        // Row by row: whether the key (column) lies behind the query (row).
        let future = (0..t * t).map(|at| at % t > at / t).collect::<Vec<bool>>();
        let future = Tensor::from_vec(future, &[t, t], &x.device())?; // (T, T)
        let mut found = Vec::new();
        for head in 0..HEADS {
            let part = |i: usize| qkv[i].narrow(1, head * HEAD, HEAD); // (T, D)
            let (q, k, v) = (part(0)?, part(1)?, part(2)?);
            let scores = q.matmul(&k.transpose(0, 1)?)?.mul_scalar(1.0 / (HEAD as f64).sqrt())?; // (T, T)
            self.show(&format!("head {head}: queries times keys over √{HEAD}"), &scores)?;
            let shares = scores.masked_fill(&future, f64::NEG_INFINITY)?.softmax()?; // (T, T)
            self.show(&format!("head {head}: nothing from the future, and each row adds up to 1"), &shares)?;
            found.push(shares.matmul(&v)?); // (T, T) · (T, D) -> (T, D)
        }
        let found = found[0].cat(&found[1..].iter().collect::<Vec<_>>(), -1)?; // H × (T, D) -> (T, C)
        Ok(found.matmul(self.weight("h.0.attn.c_proj.weight")?)?) // (T, C)
    }

    /// x (T, C) → (T, C)
    fn network(&self, x: &Tensor) -> Outcome<Tensor> {
        let normal = x.layer_norm(self.weight("h.0.ln_2.weight")?, None, 1e-5)?; // (T, C)
        let hidden = normal.matmul(self.weight("h.0.mlp.c_fc.weight")?)?.gelu()?; // (T, 4C)
        Ok(hidden.matmul(self.weight("h.0.mlp.c_proj.weight")?)?) // (T, C)
    }
}

fn main() -> Outcome<()> {
    let device = Device::Cpu;
    let known: BTreeSet<String> = SENTENCES.iter().flat_map(|sentence| tokens(sentence)).collect();
    let known: Vec<String> = known.into_iter().collect();
    let vocab_size = known.len();
    let id = |token: &String| known.iter().position(|other| other == token).map(|id| id as u32);
    let config = GptConfig {
        vocab_size,
        block_size: 8,
        n_layer: 1,
        n_head: HEADS,
        n_embd: WIDTH,
        ..Default::default()
    };
    let model = Gpt::new(config, &device, Seed(2))?;
    let settings = AdamWConfig { learning_rate: 2e-2, weight_decay: 0.0, ..Default::default() };
    let mut optimizer = AdamW::new(model.parameters(), settings)?;
    // Inputs (1, T) and what follows each: the sentence without its last token, and without its first.
    let sides = |sentence: &str| -> Outcome<[Tensor; 2]> {
        let ids: Vec<u32> = tokens(sentence).iter().filter_map(id).collect();
        let side = |ids: &[u32]| Tensor::from_slice(ids, &[1, ids.len()], &device);
        Ok([side(&ids[..ids.len() - 1])?, side(&ids[1..])?])
    };
    for step in 0..60 {
        let [inputs, targets] = sides(SENTENCES[step % 3])?;
        optimizer.step(model.forward(&inputs)?.cross_entropy(&targets)?.backward()?)?;
    }
    for sentence in SENTENCES {
        let (names, [inputs, targets]) = (tokens(sentence), sides(sentence)?);
        let all: Vec<String> = names.iter().filter_map(|n| Some(format!("{n}={}", id(n)?))).collect();
        println!("\n{sentence}\n  tokens and their numbers: {}", all.join(" "));
        let walk = Walk { weights: &model.state(), tokens: &names };
        let logits = no_grad(|| walk.logits(&inputs.squeeze(0)?))?; // (1, T) -> (T) -> (T, V)
        let shares = logits.softmax()?;
        println!("  the likeliest next token, its share, and that of the true one");
        for (t, row) in shares.to_vec::<f32>()?.chunks(vocab_size).enumerate() {
            let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
            let truth = id(&names[t + 1]).map_or(f32::NAN, |id| row[id as usize]);
            println!("    {} → {} {:.2}, {} {truth:.2}", names[t], known[best], row[best], names[t + 1]);
        }
        let of_model = model.forward(&inputs)?; // (1, T, V)
        let loss = of_model.cross_entropy(&targets)?;
        let off =
            of_model.detach().squeeze(0)?.sub(&logits)?.abs()?.max(-1, false)?.max(-1, false)?.item()?;
        println!("  loss {:.4}; the model's own logits differ by {off:.0e} at most", loss.item()?);
        let gradients = loss.backward()?;
        println!("  the largest gradient of each weight");
        for parameter in model.parameters() {
            let gradient = gradients.get(&parameter).map(Tensor::to_f64_vec).transpose()?.unwrap_or_default();
            let largest = gradient.iter().fold(0.0f64, |largest, v| largest.max(v.abs()));
            println!("    {largest:.4} {} {}", parameter.name(), parameter.shape());
        }
    }
    Ok(())
}
