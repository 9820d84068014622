//! Warpsmith: a from-scratch tensor engine. Storage, ops with hand-written kernels, autograd and Transformers that train
//! and generate, with no ML framework underneath.
//!
//! ```no_run
//! use warpsmith::prelude::*;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let device = Device::best()?;
//!     let text = Corpus::from_path("input.txt")?.tokenize(&Tokenizer::chars())?;
//!     let config = GptConfig { n_layer: 4, n_head: 4, n_embd: 128, vocab_size: text.vocab_size(), ..Default::default() };
//!     let model = Gpt::new(config, &device, Seed(1337))?;
//!     let mut opt = AdamW::new(model.parameters(), AdamWConfig::default())?;
//!     let batches = text.train().batches(12, 64, 1337)?;
//!     for batch in (0..2000).map(|step| batches.at(step)) {
//!         let batch = TensorBatch::new(&batch, &device)?;
//!         let loss = model.forward(&batch.ids)?.cross_entropy(&batch.targets)?; // (B, T, V) against (B, T)
//!         opt.step(loss.backward()?)?;
//!     }
//!     println!("{}", model.generate(text.tokenizer(), "\n", &Sampling::default().max_new_tokens(200))?);
//!     Ok(())
//! }
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod corpus;
mod files;
pub mod generate;
pub mod labelled;

pub use files::PreparedFiles;
pub use generate::Generate;
pub use labelled::LabelledTexts;
pub use {
    warpsmith_autograd as autograd, warpsmith_data as data, warpsmith_metrics as metrics,
    warpsmith_model as model, warpsmith_ops as ops, warpsmith_selection as selection,
    warpsmith_tensor as tensor, warpsmith_text as text, warpsmith_train as train,
};

/// What most programs need: `use warpsmith::prelude::*`.
pub mod prelude {
    pub use crate::Generate;
    pub use warpsmith_autograd::{Gradients, Parameter, TensorExt, no_grad};
    pub use warpsmith_model::{
        CausalModel, Gpt, GptConfig, Held, KvCache, Llama, LlamaConfig, Policy, Precision, Sampling, Weights,
    };
    pub use warpsmith_ops::prelude::*;
    pub use warpsmith_tensor::{DType, Device, Rng, Seed, Shape, Tensor};
    pub use warpsmith_text::{Corpus, Dataset, Tokenizer};
    pub use warpsmith_train::{
        AdamW, AdamWConfig, ModelFolder, Sgd, SgdConfig, TensorBatch, TrainConfig, Trainer,
    };
}
