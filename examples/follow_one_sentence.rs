//! Three sentences on their way through a small Transformer: every tensor from text to loss and gradient, printed.
//!
//! `cargo run --example follow_one_sentence`
//!
//! What printed versions of this program often get wrong:
//! - the numbers are made up, or each step draws weights of its own. Here each line is computed by hand, op by op, from the
//!   weights of a model that was trained before, and at the end the model itself is asked: both give the same logits;
//! - scores are not divided by √D, or are masked after the softmax, so that a row no longer adds up to 1;
//! - Chinese is cut into bytes or words without saying so. Here: characters, or words where the text has spaces.

use std::collections::BTreeMap;

use warpsmith::prelude::*;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const SENTENCES: [&str; 3] = ["我今天去了公园", "我爱编程", "我 爱 吃 水果"];
/// C, H and D.
const WIDTH: usize = 8;
const HEADS: usize = 2;
const HEAD: usize = WIDTH / HEADS;

fn tokens(sentence: &str) -> Vec<String> {
    match sentence.contains(' ') {
        true => sentence.split(' ').map(str::to_owned).collect(),
        false => sentence.chars().map(String::from).collect(),
    }
}

/// A matrix (R, N) with a name before each row.
fn show(what: &str, names: &[String], x: &Tensor) -> Outcome<()> {
    println!("  {what} {}", x.shape());
    for (name, row) in names.iter().zip(x.to_vec::<f32>()?.chunks(x.shape().last())) {
        println!("    {}{name} {}", " ".repeat(6 - 2 * name.chars().count().min(3)), numbers(row));
    }
    Ok(())
}

fn numbers(row: &[f32]) -> String {
    row.iter().map(|v| format!("{v:6.2}")).collect()
}

/// Every step of one sentence, from the weights of the model; the logits.
fn follow(weights: &BTreeMap<String, Tensor>, names: &[String], ids: &Tensor) -> Outcome<Tensor> {
    let of = |name: &str| weights.get(&format!("transformer.{name}")).ok_or(format!("no weight {name}"));
    let times = ids.dims()[0];
    let token = of("wte.weight")?.embedding(ids)?; // (T, C)
    show("token vectors, rows of a table", names, &token)?;
    let x = token.add(&of("wpe.weight")?.narrow(0, 0, times)?)?; // (T, C)
    show("with the vectors of their places added", names, &x)?;
    let normal = x.layer_norm(of("h.0.ln_1.weight")?, None, 1e-5)?;
    show("each row to mean 0 and deviation 1", names, &normal)?;
    let qkv = normal.matmul(of("h.0.attn.c_attn.weight")?)?.split(-1, &[WIDTH; 3])?; // 3 × (T, C)
    let mask: Vec<bool> = (0..times * times).map(|at| at % times > at / times).collect();
    let mask = Tensor::from_vec(mask, &[times, times], &ids.device())?;
    let mut found = Vec::new();
    for head in 0..HEADS {
        let [q, k, v] = [0, 1, 2].map(|i| qkv[i].narrow(1, head * HEAD, HEAD)); // (T, D)
        let (q, k, v) = (q?, k?, v?);
        let scores = q.matmul(&k.transpose(0, 1)?)?.mul_scalar(1.0 / (HEAD as f64).sqrt())?; // (T, T)
        show(&format!("head {head}: queries times keys over √{HEAD}"), names, &scores)?;
        let shares = scores.masked_fill(&mask, f64::NEG_INFINITY)?.softmax()?;
        show(&format!("head {head}: nothing from the future, and each row adds up to 1"), names, &shares)?;
        found.push(shares.matmul(&v)?); // (T, D)
    }
    let found =
        found[0].cat(&found[1..].iter().collect::<Vec<_>>(), -1)?.matmul(of("h.0.attn.c_proj.weight")?)?;
    let x = x.add(&found)?;
    show("with what attention found added", names, &x)?;
    let hidden =
        x.layer_norm(of("h.0.ln_2.weight")?, None, 1e-5)?.matmul(of("h.0.mlp.c_fc.weight")?)?.gelu()?;
    let x = x.add(&hidden.matmul(of("h.0.mlp.c_proj.weight")?)?)?;
    show("with what two layers and a GELU made of it added", names, &x)?;
    let last = x.layer_norm(of("ln_f.weight")?, None, 1e-5)?;
    Ok(last.matmul(&of("wte.weight")?.transpose(0, 1)?)?) // (T, V)
}

fn main() -> Outcome<()> {
    let device = Device::Cpu;
    let mut known: Vec<String> = SENTENCES.iter().flat_map(|sentence| tokens(sentence)).collect();
    known.sort_unstable();
    known.dedup();
    let id = |token: &String| known.iter().position(|other| other == token).map(|id| id as u32);
    let config = GptConfig {
        vocab_size: known.len(),
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
        let logits = no_grad(|| follow(&model.state(), &names, &inputs.squeeze(0)?))?; // (T, V)
        let shares = logits.softmax()?;
        println!("  the likeliest next token, its share, and that of the true one");
        for (t, row) in shares.to_vec::<f32>()?.chunks(known.len()).enumerate() {
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
