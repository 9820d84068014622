//! What the rows of a cache attend to beside themselves: texts that an encoder has read.

use warpsmith_autograd::no_grad;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Error, Result, Tensor};

use super::KvCache;

/// R texts that an encoder has read, as the blocks of a decoder see them.
#[derive(Clone)]
pub struct ReadTexts {
    /// Keys and values of each block, (R, T, H, D).
    pub(crate) blocks: Vec<(Tensor, Tensor)>,
    /// How long each text is, (R,) i64.
    pub(crate) lengths: Tensor,
}

/// The texts that the rows of a cache answer.
#[derive(Clone)]
pub(super) struct Memory {
    texts: ReadTexts,
    /// Which of them each row answers.
    rows: Vec<usize>,
    /// A text for each row.
    by_row: ReadTexts,
}

impl ReadTexts {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.lengths.shape().numel()
    }

    fn select(&self, rows: &[usize]) -> Result<Self> {
        if rows.iter().copied().eq(0..self.count()) {
            return Ok(self.clone());
        }
        let index: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let index = Tensor::from_slice(&index, &[rows.len()], &self.lengths.device())?;
        let select = |t: &Tensor| no_grad(|| t.index_select(0, &index));
        let blocks = self.blocks.iter().map(|(k, v)| Ok((select(k)?, select(v)?))).collect::<Result<_>>()?;
        Ok(Self { blocks, lengths: select(&self.lengths)? })
    }
}

impl Memory {
    /// Row i is now what row `rows[i]` was. Rows that still answer what they answered cost nothing.
    pub fn reorder(&mut self, rows: &[usize]) -> Result<()> {
        let find = |&row: &usize| self.rows.get(row).copied();
        let rows: Option<Vec<usize>> = rows.iter().map(find).collect();
        let rows = rows.ok_or_else(|| Error::value("cache", "a row is asked for that does not exist"))?;
        if rows != self.rows {
            (self.by_row, self.rows) = (self.texts.select(&rows)?, rows);
        }
        Ok(())
    }
}

impl KvCache {
    /// The same cache, whose row i answers text `rows[i]`.
    ///
    /// # Errors
    /// If there is no such text, or memory runs out.
    pub(crate) fn answering(mut self, texts: &ReadTexts, rows: &[usize]) -> Result<Self> {
        let by_row = texts.select(rows)?;
        self.memory = Some(Memory { texts: texts.clone(), rows: rows.to_vec(), by_row });
        Ok(self)
    }

    /// The text that each row answers.
    ///
    /// # Errors
    /// If the cache answers none.
    pub(crate) fn texts(&self) -> Result<ReadTexts> {
        self.memory.as_ref().map(|memory| memory.by_row.clone()).ok_or_else(|| {
            Error::value("cache", "it answers no text").hint("make it with the cache of the model's answers")
        })
    }
}
