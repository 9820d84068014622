//! What a run did, counted: what an emulated device gives in place of a time.

use serde::{Deserialize, Serialize};

/// Work of one run, over all its launches. An instruction is counted once per warp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Kernels launched.
    pub launches: u64,
    /// Instructions that warps issued.
    pub instructions: u64,
    /// Bytes that lanes read from global memory.
    pub global_read_bytes: u64,
    /// Bytes that lanes wrote to global memory.
    pub global_write_bytes: u64,
    /// 32-byte sectors that global reads touched, each instruction of a warp for itself.
    pub global_read_sectors: u64,
    /// 32-byte sectors that global writes touched, each instruction of a warp for itself.
    pub global_write_sectors: u64,
    /// Bytes that lanes read from shared memory.
    #[serde(default)]
    pub shared_read_bytes: u64,
    /// Bytes that lanes wrote to shared memory.
    #[serde(default)]
    pub shared_write_bytes: u64,
    /// Loads and stores of any space, once per warp.
    #[serde(default)]
    pub memory_instructions: u64,
    /// Passes over the 32 banks of shared memory beyond the fewest possible.
    pub shared_bank_conflicts: u64,
    /// Floating-point operations of tensor cores.
    pub matrix_flops: u64,
    /// Barriers, per warp that arrived.
    pub barriers: u64,
}

impl Counts {
    /// Every number with its name.
    pub fn named(&self) -> [(&'static str, u64); 12] {
        [
            ("launches", self.launches),
            ("instructions", self.instructions),
            ("bytes read", self.global_read_bytes),
            ("bytes written", self.global_write_bytes),
            ("sectors read", self.global_read_sectors),
            ("sectors written", self.global_write_sectors),
            ("shared bytes read", self.shared_read_bytes),
            ("shared bytes written", self.shared_write_bytes),
            ("loads and stores", self.memory_instructions),
            ("bank conflicts", self.shared_bank_conflicts),
            ("FLOPs of tensor cores", self.matrix_flops),
            ("barriers", self.barriers),
        ]
    }
}

/// Something that counts what the device did since it was last asked; `None` where nothing counts.
pub trait Meter {
    /// The counts since the last call, which starts them anew.
    fn take(&self) -> Option<Counts>;

    /// What the device adds to the last error, if it has more to say: the thread and the line of a fault.
    fn explain(&self) -> Option<String> {
        None
    }
}

/// The meter of a device that does not count.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMeter;

impl Meter for NoMeter {
    fn take(&self) -> Option<Counts> {
        None
    }
}
