//! A model of your own: a struct of layers, a loop with two groups of parameters, and a file to keep it in.
//!
//! `cargo run --example 08_own_model`

use warpsmith::model::{Embedding, Init, Linear, Weights, from_safetensors, state, to_safetensors};
use warpsmith::prelude::*;
use warpsmith::tensor::{Result, Scope};
use warpsmith::train::clip_gradients;

const TEXT: &str = "A tensor is a shape over storage. An op reads tensors and makes new ones. A trace remembers the ops. \
                    The backward pass walks the trace from the loss to the weights. The optimiser moves the weights. ";
/// T, how many characters the model sees; C, the width of a character's vector; and that of the hidden row.
const CONTEXT: usize = 4;
const WIDTH: usize = 8;
const HIDDEN: usize = 64;
const STEPS: u64 = 200;

/// The next character by the last few (Bengio et al., *A Neural Probabilistic Language Model*, 2003, §2).
struct NextCharacter {
    table: Embedding,
    hidden: Linear,
    /// A parameter that belongs to no layer.
    gain: Parameter,
    head: Linear,
}

impl NextCharacter {
    /// A new model of random weights, or the saved one of a file's: `weights` say where parameters come from.
    fn new(weights: &Weights, vocab: usize) -> Result<Self> {
        let model = Self {
            table: Embedding::new(&weights.at("table"), (vocab, WIDTH), 1.0)?,
            hidden: Linear::new(&weights.at("hidden"), (CONTEXT * WIDTH, HIDDEN), true, 0.2)?,
            gain: weights.parameter("gain", &[HIDDEN], Init::Constant(1.0))?,
            head: Linear::new(&weights.at("head"), (HIDDEN, vocab), true, 0.02)?,
        };
        // An error that lists what a file lacks, has in another shape, or has beyond this.
        weights.finish()?;
        Ok(model)
    }

    /// ids (B, T) → logits (B, V)
    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let _scope = Scope::enter("next_character"); // errors inside say so
        let x = self.table.forward(ids)?.flatten(1, 2)?; // (B, T, C) -> (B, T·C)
        let x = self.hidden.forward(&x)?.tanh()?.mul(&self.gain.get())?; // (B, HIDDEN)
        self.head.forward(&x) // (B, V)
    }

    fn parameters(&self) -> Vec<Parameter> {
        let gain = vec![self.gain.clone()];
        [self.table.parameters(), self.hidden.parameters(), gain, self.head.parameters()].concat()
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let device = Device::best()?;
    let text = Corpus::from_text(TEXT).tokenize(&Tokenizer::chars())?;
    let vocab = text.vocab_size();
    let model = NextCharacter::new(&Weights::random(Seed(1), &device), vocab)?;
    for parameter in model.parameters() {
        println!("{:<14} {}", parameter.name(), parameter.shape());
    }

    // Two groups, each with an optimiser of its own: vectors of characters learn faster and are not drawn to 0.
    let parameters = model.parameters();
    let (table, layers): (Vec<_>, Vec<_>) =
        parameters.iter().cloned().partition(|p| p.name().starts_with("table"));
    let mut of_table = AdamW::new(table.clone(), AdamWConfig { weight_decay: 0.0, ..Default::default() })?;
    let mut of_layers = AdamW::new(layers, AdamWConfig { weight_decay: 0.01, ..Default::default() })?;
    let batches = text.train().batches(16, CONTEXT, 1)?;
    for step in 0..STEPS {
        let left = 1.0 - step as f64 / STEPS as f64; // both rates fall to 0
        of_table.set_learning_rate(3e-2 * left);
        of_layers.set_learning_rate(1e-2 * left);

        let batch = TensorBatch::new(&batches.at(step), &device)?;
        let targets = batch.targets.slice(1, CONTEXT - 1, 1, 1)?.flatten(0, 1)?; // (B, T) -> (B): behind the last
        let loss = model.forward(&batch.ids)?.cross_entropy(&targets)?; // (B, V) against (B)
        let mut gradients = loss.backward()?;
        let norm = clip_gradients(&mut gradients, &parameters, 1.0)?;
        if step % 40 == 0 || step == STEPS - 1 {
            println!("step {step:>3}  loss {:.3}  norm {norm:.2}", loss.item()?);
        }
        of_table.step(gradients.split_off(&table))?;
        of_layers.step(gradients)?;
    }

    // Into bytes and back: the same lines build the model, and the weights come from the file.
    let bytes = to_safetensors(&state(&parameters), &[])?;
    let saved =
        || Ok::<_, warpsmith::tensor::Error>(Weights::given(from_safetensors(&bytes, &device)?, &device));
    let again = NextCharacter::new(&saved()?, vocab)?;
    let prompt = text.tokenizer().encode("The ")?;
    let ids = Tensor::from_slice(&prompt, &[1, CONTEXT], &device)?; // (1, T)
    let logits = |model: &NextCharacter| no_grad(|| model.forward(&ids))?.to_vec::<f32>();
    println!(
        "{} bytes saved; the same logits from them: {}",
        bytes.len(),
        logits(&again)? == logits(&model)?
    );

    // What does not fit is said with its name.
    if let Err(error) = NextCharacter::new(&saved()?, vocab + 1) {
        println!("with another alphabet: {error}");
    }
    let longer = Tensor::from_slice(&text.tokenizer().encode("The op")?, &[1, 6], &device)?;
    if let Err(error) = model.forward(&longer) {
        println!("with 6 characters: {error}");
    }
    Ok(())
}
