//! Generating: one token after another with a KV cache, and the same tokens without one.
//!
//! `cargo run --example 06_generate`

use warpsmith::prelude::*;

const TEXT: &str = "one two three four five six seven eight nine ten. one two three four five six seven eight nine ten. \
                    one two three four five six seven eight nine ten. one two three four five six seven eight nine ten. ";

/// The likeliest next tokens by running the whole model on the whole sequence each time.
fn uncached(model: &Gpt, prompt: &[u32], count: usize) -> Result<Vec<u32>, Box<dyn std::error::Error>> {
    let mut ids = prompt.to_vec();
    for _ in 0..count {
        let input = Tensor::from_slice(&ids, &[1, ids.len()], model.device())?; // (1, T)
        let logits = no_grad(|| model.forward(&input))?; // (1, T, V)
        let last = logits.slice(1, ids.len() - 1, 1, 1)?; // (1, 1, V)
        ids.push(last.argmax(-1, false)?.item()? as u32);
    }
    Ok(ids.split_off(prompt.len()))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::best()?;
    let text = Corpus::from_text(TEXT).tokenize(&Tokenizer::chars())?;
    let vocab_size = text.vocab_size();
    let config =
        GptConfig { n_layer: 2, n_head: 2, n_embd: 32, block_size: 32, vocab_size, ..Default::default() };
    let model = Gpt::new(config, &device, Seed(1337))?;
    let mut optimizer =
        AdamW::new(model.parameters(), AdamWConfig { learning_rate: 1e-2, ..Default::default() })?;
    let batches = text.train().batches(8, 32, 1337)?;
    for step in 0..40 {
        let batch = TensorBatch::new(&batches.at(step), &device)?;
        let loss = model.forward(&batch.ids)?.cross_entropy(&batch.targets)?; // (B, T, V) against (B, T)
        optimizer.step(loss.backward()?)?;
    }

    let prompt = text.tokenizer().encode("one ")?;
    let greedy = Sampling::greedy().max_new_tokens(24);
    let cached = model.generate_ids(&prompt, &greedy, None)?;
    let again = model.generate_ids(&prompt, &greedy, None)?;
    let plain = uncached(&model, &prompt, 24)?;
    println!("with a cache:    one {}", text.tokenizer().decode(&cached)?);
    println!("without a cache: one {}", text.tokenizer().decode(&plain)?);
    println!("greedy twice gives the same tokens: {}", cached == again);
    println!("the cache changes no token: {}", cached == plain);

    // Drawn, not greedy: the seed decides.
    for seed in [1, 2] {
        let drawn = Sampling::default().max_new_tokens(24).temperature(0.8).seed(seed);
        println!("seed {seed}: one {}", model.generate(text.tokenizer(), "one ", &drawn)?);
    }
    Ok(())
}
