//! A piece of device memory with an owner.

use std::sync::{Arc, OnceLock};

use super::rounded::Rounded;
use super::stream::Stream;
use crate::Result;

/// `len` bytes of device memory, aligned to 256; goes back to the arena of its device when dropped.
pub struct DeviceBuffer {
    stream: Stream,
    address: u64,
    len: usize,
    /// Of its bytes as f32, once somebody has asked.
    rounded: OnceLock<Arc<Rounded>>,
}

/// Up to this size memory is painted in debug builds: an op that forgets to write shows on small tensors too.
const PAINTED: usize = 16 << 20;

impl DeviceBuffer {
    /// Memory whose contents are whatever it held before (in debug builds: bytes of 0xFF, which read as NaN, up to
    /// 16 MiB).
    pub(super) fn new(stream: &Stream, len: usize) -> Result<Self> {
        let address = stream.context.allocate("allocate", len as u64)?;
        let buffer = Self { stream: stream.clone(), address, len, rounded: OnceLock::new() };
        if len <= PAINTED && stream.context.arena.is_painted() {
            stream.fill("allocate", address, 0xff, 1, len as u64)?;
        }
        Ok(buffer)
    }

    /// Where it begins.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The queue of its device.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The bf16 copy of its bytes as f32.
    pub(crate) fn rounded(&self) -> &Arc<Rounded> {
        self.rounded.get_or_init(|| Arc::new(Rounded::new(&self.stream, self.address, self.len / 4)))
    }

    /// Its bytes are about to change. Nobody who asks for a copy later knows what a recording writes, so that notes it now.
    pub(crate) fn spoil(&self) {
        if self.rounded.get().is_some() || self.stream.context.is_recording() {
            self.rounded().spoil();
        }
    }

    /// Copies `from` to the bytes that begin at `at`.
    ///
    /// # Errors
    /// If they are not all inside, or while a graph is being recorded.
    pub fn write(&mut self, at: usize, from: &[u8]) -> Result<()> {
        self.require("write", at, from.len())?;
        self.spoil();
        self.stream.copy_in("write", self.address + at as u64, from)
    }

    /// Copies the bytes that begin at `at` to `to`, when all work queued before is done.
    ///
    /// # Errors
    /// If they are not all inside, while a graph is being recorded, or if work queued before has failed.
    pub fn read(&self, at: usize, to: &mut [u8]) -> Result<()> {
        self.require("read", at, to.len())?;
        self.stream.copy_out("read", to, self.address + at as u64)
    }

    fn require(&self, op: &'static str, at: usize, len: usize) -> Result<()> {
        if at.checked_add(len).is_some_and(|end| end <= self.len) {
            return Ok(());
        }
        Err(crate::Error::index(op, format!("{len} bytes from {at} leave a buffer of {} bytes", self.len)))
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        self.stream.context.give(self.address);
    }
}
