//! Tables that kernels read and that depend on nothing but a few numbers: made once, and kept as long as the device is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::PoisonError;

use super::context::Context;
use crate::Result;

/// Where each table lies, by the op and the numbers that it is made of.
pub(super) type Constants = HashMap<(&'static str, [u64; 3]), u64>;

impl Context {
    /// The address of a table, which `make` makes if it is not there yet.
    pub fn constant(&self, op: &'static str, key: [u64; 3], make: impl FnOnce() -> Vec<f32>) -> Result<u64> {
        let mut known = self.constants.lock().unwrap_or_else(PoisonError::into_inner);
        match known.entry((op, key)) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(place) => {
                self.enter_unrecorded(op)?;
                let table = make();
                let bytes = bytemuck::cast_slice(&table);
                let address = self.allocate(op, bytes.len() as u64)?;
                self.copy_in(op, address, bytes).inspect_err(|_| self.give(address))?;
                Ok(*place.insert(address))
            }
        }
    }

    /// Gives the memory of all tables back, at the end.
    pub fn end_constants(&self) {
        let mut known = self.constants.lock().unwrap_or_else(PoisonError::into_inner);
        known.drain().for_each(|(_, address)| self.arena.give(address));
    }
}
