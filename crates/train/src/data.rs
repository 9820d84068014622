//! What a run learns from: a tokenized text or a made-up task, as batches of tensors.

use warpsmith_metrics::language;
use warpsmith_selection::folds::blocks;
use warpsmith_tensor::{Device, Tensor};
use warpsmith_text::{Batch, Batches, Dataset, Side, Task, TaskBatches, Tokenizer};

use crate::atomic::digest_of_pieces;
use crate::{Error, Result, TrainConfig};

/// Added to the seed for batches that evaluate, so that they are not those that train.
const EVALUATION: u64 = 0x9E37_79B9_7F4A_7C15;

/// A batch on a device.
pub struct TensorBatch {
    /// Token ids (B, T).
    pub ids: Tensor,
    /// The token after each (B, T); -100 where none is to be learned.
    pub targets: Tensor,
    /// How many targets are not -100.
    pub scored: usize,
}

impl TensorBatch {
    /// Copies a batch to a device.
    pub fn new(batch: &Batch, device: &Device) -> Result<Self> {
        let (b, t) = batch.shape();
        Ok(Self {
            ids: Tensor::from_slice(&batch.ids, &[b, t], device)?,
            targets: Tensor::from_slice(&batch.targets, &[b, t], device)?,
            scored: batch.scored(),
        })
    }

    /// Whether a batch has the shape of this one.
    pub(crate) fn is_like(&self, batch: &Batch) -> bool {
        let (b, t) = batch.shape();
        self.ids.dims() == [b, t]
    }

    /// Copies another batch of the same shape over this one, to the same memory.
    ///
    /// # Errors
    /// If the shapes differ, or somebody else holds the tensors.
    pub fn overwrite(&mut self, batch: &Batch) -> Result<()> {
        if !self.is_like(batch) {
            let (given, own) = (batch.shape(), self.ids.shape());
            return Err(Error::Run(format!("a batch of {given:?} cannot take the place of one of {own}")));
        }
        self.ids.overwrite(&batch.ids)?;
        self.targets.overwrite(&batch.targets)?;
        self.scored = batch.scored();
        Ok(())
    }
}

/// Batches by number: what [`TrainData::batches`] gives.
#[derive(Clone, Debug)]
pub enum BatchSource {
    /// Crops of a text.
    Text(Batches),
    /// Problems of a task.
    Task(TaskBatches),
}

impl BatchSource {
    /// Batch number `index`.
    ///
    /// # Errors
    /// None in practice: the tokenizer knows every character of a task.
    pub fn at(&mut self, index: u64) -> Result<Batch> {
        match self {
            Self::Text(batches) => Ok(batches.at(index)),
            Self::Task(batches) => {
                if batches.step() != index {
                    *batches = batches.clone().seek(index);
                }
                Ok(batches.next_batch()?)
            }
        }
    }
}

/// Where batches come from.
#[derive(Clone, Debug)]
pub enum TrainData {
    /// A text, cut into a part to train on and a part to validate on.
    Text(Dataset),
    /// Sorting, reversing or adding, made up as it goes.
    Task(Task, Tokenizer),
}

impl TrainData {
    /// A made-up task.
    pub fn task(task: Task) -> Result<Self> {
        Ok(Self::Task(task, task.tokenizer()?))
    }

    /// The tokenizer of the data.
    pub fn tokenizer(&self) -> &Tokenizer {
        match self {
            Self::Text(text) => text.tokenizer(),
            Self::Task(_, tokenizer) => tokenizer,
        }
    }

    /// SHA-256 of what is learned from: the tokens in their order and where they are cut, or the name of the task. Runs that go
    /// on compare it.
    pub fn digest(&self) -> String {
        match self {
            Self::Text(text) => {
                let cut = (text.train().len() as u64).to_le_bytes().to_vec();
                let tokens = text.tokens().chunks(1 << 14);
                let tokens = tokens.map(|piece| piece.iter().flat_map(|token| token.to_le_bytes()).collect());
                digest_of_pieces(std::iter::once(cut).chain(tokens))
            }
            Self::Task(task, _) => digest_of_pieces(std::iter::once(format!("{task:?}").into_bytes())),
        }
    }

    /// An error unless batches of this configuration can be made.
    pub fn check(&self, config: &TrainConfig) -> Result<()> {
        if let Self::Text(text) = self {
            text.check_block_size(config.block_size)?;
        }
        self.batches(Side::Train, config).map(drop)
    }

    /// The batches of one side: batch number i is a pure function of the seed and i, and those that validate are the same
    /// for every evaluation of a run.
    ///
    /// # Errors
    /// If the data is too short for the configuration.
    pub fn batches(&self, side: Side, config: &TrainConfig) -> Result<BatchSource> {
        let (b, t) = (config.batch_size, config.block_size);
        let seed = if side == Side::Train { config.seed } else { config.seed.wrapping_add(EVALUATION) };
        Ok(match self {
            Self::Text(text) => {
                let part = if side == Side::Train { text.train() } else { text.val() };
                BatchSource::Text(part.batches(b, t, seed)?)
            }
            Self::Task(task, _) => BatchSource::Task(task.batches(side, b, t, seed)?),
        })
    }

    /// The same text with part `fold` of `folds` neighbouring parts held out in place of its end, and all others to train on.
    ///
    /// # Errors
    /// Unless there are 2 folds or more, at most as many as tokens; for a task, which is made up as it goes.
    pub fn fold(&self, folds: usize, fold: usize) -> Result<Self> {
        let Self::Text(text) = self else {
            return Err(Error::Run(
                "a made-up task has no end, so there are no folds of it; give a text".into(),
            ));
        };
        let all = text.tokens();
        let held = blocks(all.len(), folds)?.into_iter().nth(fold);
        let held = held.ok_or_else(|| Error::Run(format!("there is no fold {fold} of {folds}")))?;
        let train = [&all[..held.start], &all[held.end..]].concat();
        Ok(Self::Text(Dataset::of_parts(&train, &all[held], text.tokenizer().clone())))
    }

    /// The entropy of the validation text's tokens taken one by one, in nats: what a model that ignores context reaches
    /// at best. `None` for a task.
    pub fn unigram_nats(&self) -> Option<f64> {
        match self {
            Self::Text(text) => Some(language::unigram_entropy(&text.val())),
            Self::Task(..) => None,
        }
    }

    /// Bytes of text per token of the validation part. `None` for a task.
    pub fn bytes_per_token(&self) -> Result<Option<f64>> {
        match self {
            Self::Text(text) => {
                let val = text.val();
                Ok(Some(text.tokenizer().decode_bytes(&val)?.len() as f64 / val.len().max(1) as f64))
            }
            Self::Task(..) => Ok(None),
        }
    }

    /// What a sample starts with: the first line of the validation text, or a problem of the task.
    pub fn prompt(&self, config: &TrainConfig) -> Result<String> {
        match self {
            Self::Text(_) if self.tokenizer().encode("\n").is_ok_and(|ids| !ids.is_empty()) => {
                Ok("\n".into())
            }
            Self::Text(text) => {
                let first =
                    text.val().first().copied().ok_or_else(|| Error::Run("the text is empty".into()))?;
                Ok(text.tokenizer().decode(&[first])?)
            }
            Self::Task(task, _) => Ok(task.problem(Side::Val, config.seed, 0).prompt),
        }
    }
}
