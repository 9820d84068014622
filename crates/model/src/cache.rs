//! The KV cache: keys and values of all positions so far, so that a new token costs one position and not all.

mod memory;
mod reorder;

use warpsmith_autograd::apply_owned;
use warpsmith_ops::index_copy::IndexCopy;
use warpsmith_ops::prelude::*;
use warpsmith_ops::slice_assign::SliceAssign;
use warpsmith_tensor::{DType, Device, Error, Result, Shape, Tensor};

use crate::layers::rotary::Tables;
use memory::Memory;

pub use memory::ReadTexts;

/// Keys and values of every layer, for up to `capacity` positions.
pub struct KvCache {
    layers: Vec<LayerCache>,
    len: usize,
    capacity: usize,
    place: Option<Place>,
    /// By how much each position turns, once a model has asked; `None` in it if its ops know.
    tables: Option<Option<Tables>>,
    /// What its rows answer, if an encoder has read it.
    memory: Option<Memory>,
}

/// Keys and values of one layer: (B, capacity, H, D) each, of which the first positions are filled.
pub struct LayerCache {
    keys: Option<Tensor>,
    values: Option<Tensor>,
    /// How many positions were filled when the layer was asked for.
    len: usize,
    place: Option<Place>,
}

/// Where a single new position of one sequence stands, as numbers on the device: recorded work reads them anew at each
/// launch.
#[derive(Clone)]
pub(crate) struct Place {
    /// How many positions stand before it: (1,) i64.
    pub position: Tensor,
    /// How many there are with it: (1,) i64.
    pub filled: Tensor,
}

impl KvCache {
    /// An empty cache; `dims` are (B, capacity, H, D).
    pub fn new(layers: usize, dims: [usize; 4], dtype: DType, device: &Device) -> Result<Self> {
        let shape = Shape::new(&dims)?;
        let zeros = || Tensor::zeros(shape, dtype, device).map(Some);
        let layer = |_| Ok(LayerCache { keys: zeros()?, values: zeros()?, len: 0, place: None });
        Ok(Self {
            layers: (0..layers).map(layer).collect::<Result<_>>()?,
            len: 0,
            capacity: dims[1],
            place: None,
            tables: None,
            memory: None,
        })
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
        self.truncate(0);
    }

    /// Forgets all but the first `len` positions, keeping the memory.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// A cache of more positions that holds what this one holds.
    ///
    /// # Errors
    /// If memory runs out.
    pub(crate) fn grown(&self, capacity: usize) -> Result<Self> {
        let grow = |cell: &Option<Tensor>| {
            let old = cell.as_ref().ok_or_else(write_failed)?;
            let [batch, _, heads, width] = old.dims()[..] else {
                return Err(Error::internal("cache", "keys have four axes"));
            };
            let new =
                Tensor::zeros(Shape::new(&[batch, capacity, heads, width])?, old.dtype(), &old.device())?;
            let held = old.slice(1, 0, self.len, 1)?;
            let grown = apply_owned(SliceAssign { axis: 1, start: 0 }, vec![new, held])?.swap_remove(0);
            Ok(Some(grown))
        };
        let layer = |layer: &LayerCache| {
            Ok(LayerCache { keys: grow(&layer.keys)?, values: grow(&layer.values)?, len: 0, place: None })
        };
        Ok(Self {
            layers: self.layers.iter().map(layer).collect::<Result<_>>()?,
            len: self.len,
            capacity,
            place: None,
            tables: None,
            memory: self.memory.clone(),
        })
    }

    /// From now on the new position stands where `place` says, and nothing is counted: the numbers on the device will be
    /// others when the work is done. `None`: behind what is there, as usual.
    pub(crate) fn stand_at(&mut self, place: Option<Place>) {
        self.layers.iter_mut().for_each(|layer| layer.place.clone_from(&place));
        self.place = place;
    }

    /// Where the new position stands, if the device says it.
    pub(crate) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The tables of rotary positions for this capacity, which `make` makes at the first call.
    pub(crate) fn tables(
        &mut self,
        make: impl FnOnce() -> Result<Option<Tables>>,
    ) -> Result<Option<&Tables>> {
        if self.tables.is_none() {
            self.tables = Some(make()?);
        }
        Ok(self.tables.as_ref().and_then(Option::as_ref))
    }

    /// Where keys, values and tables lie: recorded work reads and writes there, wherever they have moved since.
    pub(crate) fn addresses(&self) -> Result<Vec<u64>> {
        let cells = self.layers.iter().flat_map(|layer| [&layer.keys, &layer.values]).flatten();
        cells.chain(self.tables.iter().flatten().flatten()).map(Tensor::device_address).collect()
    }

    pub(crate) fn layer(&mut self, i: usize) -> Result<&mut LayerCache> {
        let layer = self.layers.get_mut(i).ok_or_else(|| {
            Error::value("cache", format!("has no layer {i}")).hint("make it with the model's new_cache")
        })?;
        layer.len = self.len;
        Ok(layer)
    }

    pub(crate) fn advance(&mut self, t: usize) {
        if self.place.is_none() {
            self.len += t;
        }
    }
}

impl LayerCache {
    /// Writes k and v (B, T, H, D) behind what is there, in place; returns all that is filled, or everything if only the
    /// device knows how much that is: then [`LayerCache::key_lengths`] bounds it.
    pub(crate) fn append(&mut self, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (start, t) = (self.len, k.dims()[1]);
        if let Some(place) = &self.place {
            let write = |cell: &mut Option<Tensor>, new: &Tensor| {
                change(cell, |old| {
                    apply_owned(IndexCopy { axis: 1 }, vec![old, place.position.clone(), new.clone()])
                })
            };
            return Ok((write(&mut self.keys, k)?, write(&mut self.values, v)?));
        }
        let write =
            |cell: &mut Option<Tensor>, new: &Tensor| {
                change(cell, |old| apply_owned(SliceAssign { axis: 1, start }, vec![old, new.clone()]))?
                    .slice(1, 0, start + t, 1)
            };
        Ok((write(&mut self.keys, k)?, write(&mut self.values, v)?))
    }

    /// How many of the positions that [`LayerCache::append`] returned are filled, if not all: (B,) i64.
    pub(crate) fn key_lengths(&self) -> Option<Tensor> {
        self.place.as_ref().map(|place| place.filled.clone())
    }
}

/// Gives the cell's tensor to the op and puts the result back: in place, since nobody else holds it.
fn change(cell: &mut Option<Tensor>, write: impl FnOnce(Tensor) -> Result<Vec<Tensor>>) -> Result<Tensor> {
    let old = cell.take().ok_or_else(write_failed)?;
    let written = write(old)?.swap_remove(0);
    *cell = Some(written.clone());
    Ok(written)
}

fn write_failed() -> Error {
    Error::internal("cache", "an earlier write failed")
}
