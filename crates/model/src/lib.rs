//! Transformer models on the Warpsmith engine: layers, the families, the KV cache, decoding, and weights in the
//! names and layouts that Hugging Face uses. No file is opened here: weights go in and out as bytes.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod answers;
mod batch;
mod beam;
mod bert;
mod block;
mod body;
mod cache;
mod causal;
pub mod classical;
mod classifier;
mod config;
mod decode;
mod family;
mod gguf;
mod gpt;
mod labels;
mod layers;
mod llama;
mod log_probs;
mod marian;
mod penalties;
mod pooling;
mod reader;
mod sampling;
mod stack;
mod step;
mod t5;
mod weights;

pub use answers::{Answers, EncoderDecoder, answering_model};
pub use batch::{Completion, Request, complete};
pub use beam::{BeamSearch, EarlyStopping, Found};
pub use bert::{Bert, BertConfig, BertTask, EncoderBatch, HiddenActivation, Span, Task};
pub use block::Block;
pub use cache::{KvCache, ReadTexts};
pub use causal::CausalModel;
pub use classifier::TextClassifier;
pub use config::GptConfig;
pub use decode::{Decoder, Stop};
pub use family::{Family, causal_model, causal_model_from, model_type};
pub use gguf::{gguf_model, gguf_reader, write_gguf};
pub use gpt::Gpt;
pub use layers::{
    AttentionShape, Embedding, GroupedAttention, LayerNorm, Linear, RmsNorm, Rope, Scaling, SwiGlu,
};
pub use llama::{Llama, LlamaConfig, LlamaKind, from_llama2c};
pub use log_probs::TokenLogProb;
pub use marian::{Marian, MarianConfig};
pub use penalties::Penalties;
pub use pooling::Pooling;
pub use reader::TextReader;
pub use sampling::{Sampler, Sampling};
pub use t5::{T5, T5Config};
pub use warpsmith_ops::linear::Precision;
pub use weights::{
    Held, Init, Kept, Policy, Quantised, Weights, from_safetensors, load_parameters, read_safetensors, state,
    to_safetensors,
};
