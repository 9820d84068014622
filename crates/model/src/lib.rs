//! Transformer models on the Warpsmith engine: layers, the GPT-2 family, the KV cache, decoding, and weights in the
//! names and layouts that Hugging Face uses. No file is opened here: weights go in and out as bytes.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod block;
mod cache;
mod config;
mod decode;
mod gpt;
mod layers;
mod sampling;
mod weights;

pub use block::Block;
pub use cache::KvCache;
pub use config::GptConfig;
pub use decode::{Decoder, Stop};
pub use gpt::Gpt;
pub use layers::{Embedding, LayerNorm, Linear};
pub use sampling::{Sampler, Sampling};
pub use weights::{from_safetensors, to_safetensors};
