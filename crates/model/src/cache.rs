//! The KV cache: keys and values of all positions so far, so that a new token costs one position and not all.

mod reorder;

use warpsmith_autograd::apply_owned;
use warpsmith_ops::prelude::*;
use warpsmith_ops::slice_assign::SliceAssign;
use warpsmith_tensor::{DType, Device, Error, Result, Shape, Tensor};

/// Keys and values of every layer, for up to `capacity` positions.
pub struct KvCache {
    layers: Vec<LayerCache>,
    len: usize,
    capacity: usize,
}

/// Keys and values of one layer: (B, capacity, H, D) each, of which the first positions are filled.
pub struct LayerCache {
    keys: Option<Tensor>,
    values: Option<Tensor>,
    len: usize,
}

impl KvCache {
    /// An empty cache; `dims` are (B, capacity, H, D).
    pub fn new(layers: usize, dims: [usize; 4], dtype: DType, device: &Device) -> Result<Self> {
        let shape = Shape::new(&dims)?;
        let zeros = || Tensor::zeros(shape, dtype, device).map(Some);
        let layer = |_| Ok(LayerCache { keys: zeros()?, values: zeros()?, len: 0 });
        Ok(Self { layers: (0..layers).map(layer).collect::<Result<_>>()?, len: 0, capacity: dims[1] })
    }

    /// How many positions are filled.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no position is filled.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many positions fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The memory of all keys and values, in bytes, filled or not.
    pub fn bytes(&self) -> usize {
        let cells = self.layers.iter().flat_map(|layer| [&layer.keys, &layer.values]).flatten();
        cells.map(|t| t.shape().numel() * t.dtype().size()).sum()
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.len = 0;
        self.layers.iter_mut().for_each(|layer| layer.len = 0);
    }

    pub(crate) fn layer(&mut self, i: usize) -> Result<&mut LayerCache> {
        self.layers.get_mut(i).ok_or_else(|| {
            Error::value("cache", format!("has no layer {i}")).hint("make it with the model's new_cache")
        })
    }

    pub(crate) fn advance(&mut self, t: usize) {
        self.len += t;
    }
}

impl LayerCache {
    /// Writes k and v (B, T, H, D) behind what is there, in place; returns all that is filled.
    pub(crate) fn append(&mut self, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (start, t) = (self.len, k.dims()[1]);
        let keys = write(&mut self.keys, k, start)?.slice(1, 0, start + t, 1)?;
        let values = write(&mut self.values, v, start)?.slice(1, 0, start + t, 1)?;
        self.len += t;
        Ok((keys, values))
    }
}

/// Gives the cell's tensor to the op and puts the result back: in place, since nobody else holds it.
fn write(cell: &mut Option<Tensor>, new: &Tensor, start: usize) -> Result<Tensor> {
    let old = cell.take().ok_or_else(|| Error::internal("cache", "an earlier write failed"))?;
    let written = apply_owned(SliceAssign { axis: 1, start }, vec![old, new.clone()])?.swap_remove(0);
    *cell = Some(written.clone());
    Ok(written)
}
