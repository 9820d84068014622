//! Rows of a cache, chosen anew: beams that go on from others, sequences that are done.

use warpsmith_autograd::no_grad;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Error, Result, Tensor};

use super::KvCache;

impl KvCache {
    /// Makes row i of the cache what row `rows[i]` was; there may be more rows after it than before, or fewer.
    ///
    /// # Errors
    /// If a row does not exist; the cache is then of no use any more.
    pub fn reorder(&mut self, rows: &[usize]) -> Result<()> {
        for layer in &mut self.layers {
            for cell in [&mut layer.keys, &mut layer.values] {
                let old = cell.take().ok_or_else(|| Error::internal("cache", "an earlier write failed"))?;
                let index: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
                let index = Tensor::from_slice(&index, &[rows.len()], &old.device())?;
                *cell = Some(no_grad(|| old.index_select(0, &index))?);
            }
        }
        self.memory.as_mut().map_or(Ok(()), |memory| memory.reorder(rows))
    }
}
