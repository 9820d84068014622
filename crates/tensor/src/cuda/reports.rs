//! What kernels report back: an index out of range. Nobody waits for it; it is read when the host waits anyway.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::context::Context;
use super::driver;
use crate::{Error, Result};

/// How many places may report; those beyond share the last one.
const PLACES: usize = 256;

/// What a place holds while nothing was reported.
const NOTHING: u64 = u64::MAX;

/// One u64 of device memory per op and layer that takes indices, which receives the lowest position of a wrong one. A
/// place keeps its address, so that a recorded graph reports, too.
pub(super) struct Reports {
    table: Mutex<Table>,
    /// Whether work was queued since the last look.
    is_unread: AtomicBool,
}

struct Table {
    /// Of the device memory; 0 until the first op asks.
    address: u64,
    places: Vec<Place>,
}

struct Place {
    op: &'static str,
    scope: String,
    /// What indices must be below, if all calls from here agree.
    limit: Option<usize>,
}

impl Place {
    fn error(&self, position: u64) -> Error {
        let limit =
            self.limit.map_or(String::new(), |limit| format!(": it must be at least 0 and below {limit}"));
        let scope = if self.scope.is_empty() { String::new() } else { format!(" in {}", self.scope) };
        let message = format!("the index at position {position} is out of range{limit}{scope}");
        Error::index(self.op, message)
            .hint("a GPU reports this when the host waits for a result, not at the call")
    }
}

impl Reports {
    pub fn new() -> Self {
        let table = Table { address: 0, places: Vec::new() };
        Self { table: Mutex::new(table), is_unread: AtomicBool::new(false) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Work was queued that may report something. Said after it was queued: whoever waits in between has seen it.
    pub fn expect(&self) {
        self.is_unread.store(true, Ordering::Relaxed);
    }
}

impl Context {
    /// Where a kernel of `op` writes the lowest position of an index that is not below `limit`.
    pub fn watch(&self, op: &'static str, limit: usize) -> Result<u64> {
        let mut table = self.reports.table();
        if table.address == 0 {
            self.enter_unrecorded(op)?;
            let address = self.allocate(op, 8 * PLACES as u64)?;
            self.run(op, || driver::fill(address, u32::MAX, 4, 2 * PLACES as u64, self.stream))?;
            table.address = address;
        }
        let scope = crate::current_scope();
        let known = table.places.iter().position(|place| place.op == op && place.scope == scope);
        let which = known.unwrap_or(table.places.len()).min(PLACES - 1);
        match table.places.get_mut(which) {
            Some(place) if place.limit != Some(limit) => place.limit = None,
            Some(_) => {}
            None => table.places.push(Place { op, scope, limit: Some(limit) }),
        }
        Ok(table.address + 8 * which as u64)
    }

    /// What was reported by work that is done: call it when the host has waited. A report is told once.
    pub fn check_reports(&self) -> Result<()> {
        if !self.reports.is_unread.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let table = self.reports.table();
        if table.places.is_empty() {
            return Ok(());
        }
        let mut bytes = vec![0; 8 * table.places.len()];
        self.run("reports", || driver::copy_out(&mut bytes, table.address, self.stream))?;
        let reported = bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let Some((place, position)) = table.places.iter().zip(reported).find(|(_, at)| *at != NOTHING) else {
            return Ok(());
        };
        let words = 2 * table.places.len() as u64;
        self.run("reports", || driver::fill(table.address, u32::MAX, 4, words, self.stream))?;
        Err(place.error(position))
    }

    /// Gives the memory of the reports back, at the end.
    pub fn end_reports(&self) {
        let address = std::mem::take(&mut self.reports.table().address);
        if address != 0 {
            self.arena.give(address);
        }
    }
}
