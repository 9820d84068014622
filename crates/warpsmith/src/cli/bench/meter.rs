//! What an emulated GPU counts, which stands where a real one has times.

use warpsmith::tensor::Device;
use warpsmith_bench::counts::{Counts, Meter};
use warpsmith_emulator_loader as emulator;

/// The emulator, if it holds the device.
pub struct Emulator(bool);

impl Emulator {
    /// The emulator of this device; it is there only if the device is emulated.
    pub fn of(device: &Device) -> Self {
        Self(!device.is_cpu() && emulator::counts().is_some())
    }

    /// Whether the device is emulated.
    pub fn is_there(&self) -> bool {
        self.0
    }
}

impl Meter for Emulator {
    fn take(&self) -> Option<Counts> {
        let counts = emulator::counts().filter(|_| self.0)?;
        Some(Counts {
            launches: counts.launches,
            instructions: counts.instructions,
            global_read_bytes: counts.global_read_bytes,
            global_write_bytes: counts.global_write_bytes,
            global_read_sectors: counts.global_read_sectors,
            global_write_sectors: counts.global_write_sectors,
            shared_read_bytes: counts.shared_read_bytes,
            shared_write_bytes: counts.shared_write_bytes,
            memory_instructions: counts.memory_instructions,
            shared_bank_conflicts: counts.shared_bank_conflicts,
            matrix_flops: counts.matrix_flops,
            barriers: counts.barriers,
        })
    }

    fn explain(&self) -> Option<String> {
        emulator::last_fault().filter(|_| self.0)
    }
}
