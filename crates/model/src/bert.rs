//! The BERT encoder: summed embeddings, blocks of full attention with norms behind the residual paths.
//!
//! Source: Devlin et al., *BERT*, 2018, arXiv 1810.04805, §3; Vaswani et al., 2017, arXiv 1706.03762, §3.1 (norms behind).

mod config;
mod heads;
mod new_head;
mod span;

use warpsmith_autograd::Parameter;
use warpsmith_ops::attention::{AttentionOptions, Dropout};
use warpsmith_ops::linear::{Activation, Precision};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Error, Result, Rng, Scope, Tensor};

use crate::block::drop_out;
use crate::causal::check_ids;
use crate::layers::{Embedding, LayerNorm, Linear};
use crate::stack;
use crate::weights::Weights;

pub use config::{BertConfig, HiddenActivation};
pub use heads::{BertTask, Task};
pub use span::Span;

/// Sequences of several lengths, as one batch.
#[derive(Clone, Debug)]
pub struct EncoderBatch {
    /// Ids (B, T) i64; what lies behind a sequence's end is never seen.
    pub ids: Tensor,
    /// Which of the sentences of a pair each token belongs to, (B, T) i64; the first if `None`.
    pub types: Option<Tensor>,
    /// How long each sequence is, (B,) i64.
    pub lengths: Tensor,
}

impl EncoderBatch {
    /// Sequences as they come, with the sentence number of each token if there are pairs.
    ///
    /// # Errors
    /// If there is no sequence, one is empty, or the numbers of ids and of types differ.
    pub fn new(sequences: &[&[u32]], types: Option<&[&[u32]]>, device: &Device) -> Result<Self> {
        let longest = sequences.iter().map(|s| s.len()).max().unwrap_or(0);
        if longest == 0 || sequences.iter().any(|s| s.is_empty()) {
            return Err(Error::value("encoder", "a sequence has no token").hint("give each at least one id"));
        }
        let dims = [sequences.len(), longest];
        let table = |rows: &[&[u32]]| {
            let padded = rows.iter().flat_map(|row| {
                let padding = std::iter::repeat_n(0, longest - row.len());
                row.iter().map(|&id| i64::from(id)).chain(padding)
            });
            Tensor::from_vec(padded.collect(), &dims, device)
        };
        if types
            .is_some_and(|t| t.len() != dims[0] || t.iter().zip(sequences).any(|(t, s)| t.len() != s.len()))
        {
            return Err(Error::value("encoder", "each id needs a type").hint("give as many types as ids"));
        }
        let lengths = sequences.iter().map(|s| s.len() as i64).collect();
        Ok(Self {
            ids: table(sequences)?,
            types: types.map(table).transpose()?,
            lengths: Tensor::from_vec(lengths, &dims[..1], device)?,
        })
    }
}

/// The encoder, with a pooler if its task has one.
#[derive(Clone, Debug)]
pub struct Bert {
    config: BertConfig,
    device: Device,
    words: Embedding,
    positions: Embedding,
    types: Embedding,
    norm: LayerNorm,
    blocks: Vec<Block>,
    pooler: Option<Linear>,
}

/// norm(x + attention(x)), then norm(x + mlp(x)).
#[derive(Clone, Debug)]
struct Block {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    attention_norm: LayerNorm,
    up: Linear,
    down: Linear,
    mlp_norm: LayerNorm,
    heads: usize,
    activation: HiddenActivation,
    dropout: f64,
    attention_dropout: f64,
    precision: Precision,
}

impl Block {
    fn new(weights: &Weights, config: &BertConfig) -> Result<Self> {
        let (c, hidden, std) = (config.hidden_size, config.intermediate_size, config.initializer_range);
        let linear = |name, sizes| Linear::transposed(&weights.at(name), sizes, true, std);
        let norm = |name| LayerNorm::new(&weights.at(name), c, true, config.layer_norm_eps);
        let up = linear("intermediate.dense", (c, hidden))?;
        Ok(Self {
            query: linear("attention.self.query", (c, c))?,
            key: linear("attention.self.key", (c, c))?,
            value: linear("attention.self.value", (c, c))?,
            output: linear("attention.output.dense", (c, c))?,
            attention_norm: norm("attention.output.LayerNorm")?,
            // A layer that ends in GELU and the one behind it are one op.
            up: match config.hidden_act {
                HiddenActivation::Gelu(form) => up.with_activation(Activation::Gelu(form)),
                _ => up,
            },
            down: linear("output.dense", (hidden, c))?,
            mlp_norm: norm("output.LayerNorm")?,
            heads: config.num_attention_heads,
            activation: config.hidden_act,
            dropout: config.hidden_dropout_prob,
            attention_dropout: config.attention_probs_dropout_prob,
            precision: weights.precision(),
        })
    }

    /// x (B, T, C) → (B, T, C)
    fn forward(&self, x: &Tensor, lengths: &Tensor, rng: Option<&Rng>) -> Result<Tensor> {
        let x = self.attention_norm.forward(&self.attention(x, lengths, rng)?)?;
        self.mlp_norm.forward(&self.mlp(&x, rng)?)
    }

    /// x + mlp(x)
    fn mlp(&self, x: &Tensor, rng: Option<&Rng>) -> Result<Tensor> {
        let _scope = Scope::enter("mlp");
        if !matches!(self.activation, HiddenActivation::Gelu(_)) {
            return self.add(x, &self.down, &self.activation.after(&self.up, x)?, rng);
        }
        match self.dropping(rng) {
            None => self.up.then(&self.down, x, Some(x)), // (B, T, hidden) inside
            dropping => x.add(&drop_out(self.up.then(&self.down, x, None)?, self.dropout, dropping)?),
        }
    }

    /// x + layer(y)
    fn add(&self, x: &Tensor, layer: &Linear, y: &Tensor, rng: Option<&Rng>) -> Result<Tensor> {
        match self.dropping(rng) {
            None => layer.forward_onto(x, y),
            dropping => x.add(&drop_out(layer.forward(y)?, self.dropout, dropping)?),
        }
    }

    /// The generator, if something is dropped: what is dropped cannot be added in the product's last pass.
    fn dropping<'a>(&self, rng: Option<&'a Rng>) -> Option<&'a Rng> {
        rng.filter(|_| self.dropout > 0.0)
    }

    /// x + attention(x)
    fn attention(&self, x: &Tensor, lengths: &Tensor, rng: Option<&Rng>) -> Result<Tensor> {
        let _scope = Scope::enter("attn");
        let (b, t, c) = (x.dims()[0], x.dims()[1], x.dims()[2]);
        // Three products read it, and the way around.
        let rounded = self.precision.operand(x)?;
        let head =
            |layer: &Linear| layer.forward_rounded(&rounded)?.reshape(&[b, t, self.heads, c / self.heads]);
        let drawn = rng.filter(|_| self.attention_dropout > 0.0);
        let options = AttentionOptions {
            key_lengths: Some(lengths.clone()),
            dropout: drawn.map(|rng| Dropout {
                p: self.attention_dropout as f32,
                seed: rng.seed(),
                stream: rng.stream(),
            }),
            ..Default::default()
        };
        let qkv = [head(&self.query)?, head(&self.key)?, head(&self.value)?]; // 3 × (B, T, H, D)
        let y = qkv[0].attention(&qkv[1], &qkv[2], &options)?;
        self.add(x, &self.output, &y.reshape(&[b, t, c])?, rng)
    }

    fn parameters(&self) -> Vec<Parameter> {
        [
            self.query.parameters(),
            self.key.parameters(),
            self.value.parameters(),
            self.output.parameters(),
            self.attention_norm.parameters(),
            self.up.parameters(),
            self.down.parameters(),
            self.mlp_norm.parameters(),
        ]
        .concat()
    }
}

impl Bert {
    /// The encoder whose parameters lie at `weights`; the caller finishes them.
    fn build(config: BertConfig, weights: &Weights, pooled: bool) -> Result<Self> {
        config.validate()?;
        let (c, std) = (config.hidden_size, config.initializer_range);
        let embeddings = weights.at("embeddings");
        let table = |name, count| Embedding::new(&embeddings.at(name), (count, c), std);
        let words = table("word_embeddings", config.vocab_size)?;
        let positions = table("position_embeddings", config.max_position_embeddings)?;
        let types = table("token_type_embeddings", config.type_vocab_size)?;
        let norm = LayerNorm::new(&embeddings.at("LayerNorm"), c, true, config.layer_norm_eps)?;
        let blocks = (0..config.num_hidden_layers)
            .map(|i| Block::new(&weights.at("encoder.layer").at(i), &config))
            .collect::<Result<Vec<_>>>()?;
        let pooler = || Linear::transposed(&weights.at("pooler.dense"), (c, c), true, std);
        let pooler = pooled.then(pooler).transpose()?;
        Ok(Self { device: weights.device().clone(), words, positions, types, norm, blocks, pooler, config })
    }

    /// The shape of the encoder.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Where the model lives.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The last hidden states: (B, T) → (B, T, C). With `rng`, activations are dropped. What stands behind a sequence's
    /// end means nothing.
    ///
    /// # Errors
    /// If T passes `max_position_embeddings`, or an id or type is out of range.
    pub fn forward(&self, batch: &EncoderBatch, rng: Option<&Rng>) -> Result<Tensor> {
        let t = check_ids("bert", &batch.ids, 0, self.config.max_position_embeddings)?;
        let x = {
            let _scope = Scope::enter("embed");
            let positions = self.positions.slice(0, t)?; // (T, C)
            let types = match &batch.types {
                Some(types) => self.types.forward(types)?,
                None => self.types.slice(0, 1)?, // (1, C)
            };
            let x = self.words.forward(&batch.ids)?.add(&types)?.add(&positions)?;
            drop_out(self.norm.forward(&x)?, self.config.hidden_dropout_prob, rng)?
        };
        let lengths = batch.lengths.clone();
        stack::run(&self.blocks, x, rng, false, move |block: &Block, x, rng| block.forward(x, &lengths, rng))
    }

    /// tanh(W·first + b) of the first token's hidden state: (B, T, C) → (B, C). `None` if the task has no pooler.
    pub fn pooled(&self, hidden: &Tensor) -> Result<Option<Tensor>> {
        let Some(pooler) = &self.pooler else { return Ok(None) };
        let (b, c) = (hidden.dims()[0], hidden.dims()[2]);
        let first = hidden.slice(1, 0, 1, 1)?.reshape(&[b, c])?;
        pooler.forward(&first)?.tanh().map(Some)
    }

    /// All parameters, in the order of the forward pass.
    pub fn parameters(&self) -> Vec<Parameter> {
        let tables = [&self.words, &self.positions, &self.types].map(Embedding::parameters).concat();
        let blocks = self.blocks.iter().flat_map(Block::parameters);
        let pooler = self.pooler.iter().flat_map(Linear::parameters);
        tables.into_iter().chain(self.norm.parameters()).chain(blocks).chain(pooler).collect()
    }
}
