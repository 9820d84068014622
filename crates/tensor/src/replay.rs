//! Work that repeats: done eagerly once, recorded the second time, launched from then on.

use crate::{Device, Recording, Result};

/// Work that a device does again and again on the same memory, and what it makes. What differs between the times lies in
/// tensors that the caller overwrites; random numbers follow the number of the time.
pub struct Replay<T> {
    recorded: Option<Recorded<T>>,
    /// Whether the work was done eagerly, so that all its kernels are loaded.
    is_warm: bool,
}

struct Recorded<T> {
    recording: Recording,
    made: T,
    /// The number with which it was recorded.
    number: u64,
    /// Where the memory lay: once moved, the recording is of no use.
    addresses: Vec<u64>,
}

impl<T> Default for Replay<T> {
    fn default() -> Self {
        Self { recorded: None, is_warm: false }
    }
}

impl<T: Clone> Replay<T> {
    /// Queues the work as number `number`, and gives what it makes: eagerly the first time; afterwards by one launch,
    /// recorded anew whenever `addresses`, where everything lies that outlives the work, are others or the number falls.
    /// `work` draws the random numbers of `number`, and keeps to the rules of [`Device::record`].
    ///
    /// # Errors
    /// The error of `work`, or what the device refuses.
    pub fn queue(
        &mut self,
        device: &Device,
        number: u64,
        addresses: Vec<u64>,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        if !self.is_warm {
            let made = work()?;
            self.is_warm = true;
            return Ok(made);
        }
        let fits = |old: &Recorded<T>| old.addresses == addresses && old.number <= number;
        let recorded = match self.recorded.take().filter(fits) {
            Some(recorded) => recorded,
            // The old one is gone here: the new one needs as much memory.
            None => {
                let (recording, made) = device.record(work)?;
                Recorded { recording, made, number, addresses }
            }
        };
        recorded.recording.launch_as(number - recorded.number)?;
        Ok(self.recorded.insert(recorded).made.clone())
    }

    /// Forgets the recording, and frees its memory. What comes next may lie in new memory, so it is done eagerly once more.
    pub fn forget(&mut self) {
        self.recorded = None;
        self.is_warm = false;
    }
}
