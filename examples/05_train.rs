//! Training: a tiny GPT learns one paragraph by heart.
//!
//! `cargo run --example 05_train`

use warpsmith::prelude::*;

const TEXT: &str = "A tensor is a shape over storage. An op reads tensors and makes new ones. A trace remembers the ops. \
                    The backward pass walks the trace from the loss to the weights. The optimiser moves the weights. \
                    Then it all starts again, and the loss is a little smaller. ";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::best()?;
    let text = Corpus::from_text(TEXT).tokenize(&Tokenizer::chars())?;
    let config = GptConfig {
        n_layer: 2,
        n_head: 2,
        n_embd: 32,
        block_size: 16,
        vocab_size: text.vocab_size(),
        ..Default::default()
    };
    let model = Gpt::new(config, &device, Seed(1337))?;
    println!("{} parameters, {} characters known", model.parameter_count(), text.vocab_size());
    println!(
        "a model that knows nothing has a loss of ln {} = {:.3}\n",
        text.vocab_size(),
        (text.vocab_size() as f64).ln()
    );

    let mut optimizer =
        AdamW::new(model.parameters(), AdamWConfig { learning_rate: 1e-2, ..Default::default() })?;
    // Batch i is a function of the seed and i: nothing to remember, nothing to rewind.
    let batches = text.train().batches(8, 16, 1337)?;
    for step in 0..60 {
        let batch = TensorBatch::new(&batches.at(step), &device)?;
        let logits = model.forward(&batch.ids)?; // (B, T) -> (B, T, V)
        let loss = logits.cross_entropy(&batch.targets)?; // (B, T, V) against (B, T) -> ()
        if step % 10 == 0 || step == 59 {
            println!("step {step:>2}  loss {:.3}", loss.item()?);
        }
        optimizer.step(loss.backward()?)?;
    }
    Ok(())
}
