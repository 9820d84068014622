//! The networks before the Transformer and beside it. Layers: recurrent ones, additive attention, convolution along time, batch
//! norm, losses; their parameters have the names and layouts that PyTorch gives them. Models: of language, of translation, of
//! classes, of word vectors, and two networks against each other.

mod additive_attention;
mod batch_norm;
mod conv1d;
mod gan;
mod language_model;
mod linear_svm;
mod loss;
mod mlp;
mod recurrent;
mod text_cnn;
mod translator;
mod word_vectors;

pub use additive_attention::{AdditiveAttention, Keys};
pub use batch_norm::BatchNorm1d;
pub use conv1d::{Conv1d, Window};
pub use gan::Gan;
pub use language_model::RecurrentLm;
pub use linear_svm::LinearSvm;
pub use loss::{binary_cross_entropy, hinge, mean_squared_error};
pub use mlp::Mlp;
pub use recurrent::{Cell, Recurrent, RecurrentConfig, RecurrentState};
pub use text_cnn::{TextCnn, TextCnnConfig};
pub use translator::{Source, Translator, TranslatorConfig};
pub use word_vectors::{Glove, NegativeSampler, Word2Vec, cooccurrences};
