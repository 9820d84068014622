//! A bf16 copy of f32 numbers, kept beside them: weights that are multiplied in bf16 are rounded once, not at each use.
//!
//! Whoever writes the numbers either writes the copy, too ([`Rounded::kept_current`]), or spoils it ([`Rounded::spoil`]);
//! a spoiled one is made again, in the same place, when it is read next. A recorded graph remembers which copies it reads
//! and which it spoils, and does at each launch what would have been done eagerly.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use warpsmith_kernels::cast::{self, Cast};
use warpsmith_kernels::{Dtype, Operand, dims};

use super::buffer::DeviceBuffer;
use super::stream::Stream;
use crate::{Result, Shape};

/// The copy of one buffer, if it was asked for.
pub struct Rounded {
    stream: Stream,
    /// Where the numbers are, and how many.
    from: u64,
    count: usize,
    copy: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    buffer: Option<Arc<DeviceBuffer>>,
    /// Whether it is what the numbers round to.
    is_current: bool,
    /// Whether a recording that makes the numbers makes the copy, too: at each launch it is there without anybody's doing.
    is_recorded: bool,
}

/// What a recording does to copies.
#[derive(Default)]
pub(super) struct Touched {
    read: Vec<Arc<Rounded>>,
    spoiled: Vec<Arc<Rounded>>,
}

impl Rounded {
    /// No copy yet of `count` numbers at `from`.
    pub(super) fn new(stream: &Stream, from: u64, count: usize) -> Self {
        Self { stream: stream.clone(), from, count, copy: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The copy, made if it is spoiled, or, with `make`, not there yet; `None` if there is none. While a graph is recorded,
    /// one that is not current counts as none: the graph would make it anew at each launch.
    ///
    /// # Errors
    /// If the memory cannot be had, or the device refuses.
    pub fn current(self: &Arc<Self>, make: bool) -> Result<Option<Arc<DeviceBuffer>>> {
        let (kept, context) = (&mut *self.kept(), &self.stream.context);
        if context.is_recording() {
            if !kept.is_current {
                return Ok(None);
            }
            if !kept.is_recorded {
                note(&mut context.touched().read, self);
            }
        } else if make {
            self.make(kept)?;
        }
        self.refresh(kept)?;
        Ok(kept.buffer.clone())
    }

    /// The address of a copy that is current, for a kernel that writes it together with the numbers; 0 if there is none, which
    /// then is spoiled.
    pub fn kept_current(self: &Arc<Self>) -> u64 {
        let address = {
            let kept = self.kept();
            kept.buffer.as_ref().filter(|_| kept.is_current).map_or(0, |buffer| buffer.address())
        };
        if address == 0 {
            self.spoil();
        }
        address
    }

    /// The address of the copy, made if there is none, for a kernel that is about to write numbers and copy.
    ///
    /// # Errors
    /// If the memory cannot be had.
    pub fn filled(self: &Arc<Self>) -> Result<u64> {
        let kept = &mut *self.kept();
        let address = self.make(kept)?;
        (kept.is_current, kept.is_recorded) = (true, self.stream.context.is_recording());
        Ok(address)
    }

    /// Memory for the copy, if there is none yet.
    fn make(&self, kept: &mut Kept) -> Result<u64> {
        if let Some(buffer) = &kept.buffer {
            return Ok(buffer.address());
        }
        let bytes = 2 * self.count;
        let buffer = Arc::new(self.stream.allocate(bytes)?);
        let address = buffer.address();
        kept.buffer = Some(buffer);
        self.stream.context.copies.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(address)
    }

    /// The numbers are about to change.
    pub fn spoil(self: &Arc<Self>) {
        self.kept().is_current = false;
        if self.stream.context.is_recording() {
            note(&mut self.stream.context.touched().spoiled, self);
        }
    }

    fn refresh(&self, kept: &mut Kept) -> Result<()> {
        let Some(to) = kept.buffer.as_ref().filter(|_| !kept.is_current) else { return Ok(()) };
        let shape = Shape::new(&[self.count])?;
        let whole = |address| Operand::contiguous(address, dims(shape.dims()));
        let (y, x) = (whole(to.address()), whole(self.from));
        let call = Cast { from: Dtype::F32, to: Dtype::Bf16, dims: dims(shape.dims()), y, x };
        warpsmith_kernels::Stream::launch(&self.stream, &cast::cast(&call))?;
        kept.is_current = true;
        Ok(())
    }
}

impl Drop for Rounded {
    fn drop(&mut self) {
        if self.kept().buffer.is_some() {
            self.stream.context.copies.fetch_sub(2 * self.count as u64, Ordering::Relaxed);
        }
    }
}

/// Puts it on the list, once.
fn note(list: &mut Vec<Arc<Rounded>>, rounded: &Arc<Rounded>) {
    if !list.iter().any(|known| Arc::ptr_eq(known, rounded)) {
        list.push(rounded.clone());
    }
}

impl Touched {
    /// Forgets what was gone before the recording ended.
    pub fn prune(&mut self) {
        self.spoiled.retain(|rounded| Arc::strong_count(rounded) > 1);
    }

    /// Before a launch: what it reads is current.
    pub fn refresh(&self) -> Result<()> {
        self.read.iter().try_for_each(|rounded| rounded.refresh(&mut rounded.kept()))
    }

    /// After a launch: what it changed without the copy.
    pub fn spoil(&self) {
        self.spoiled.iter().for_each(|rounded| rounded.kept().is_current = false);
    }
}
