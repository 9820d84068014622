//! What the emulator counted, in place of the times that an emulated device cannot give.

/// Work of all launches since it was last asked for, in the order in which the emulator's `tally.rs` gives it. An
/// instruction is counted once per warp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Counts {
    /// Kernels launched.
    pub launches: u64,
    /// Instructions that warps issued.
    pub instructions: u64,
    /// Loads and stores of any space among them.
    pub memory_instructions: u64,
    /// Bytes that lanes read from global memory.
    pub global_read_bytes: u64,
    /// Bytes that lanes wrote to global memory.
    pub global_write_bytes: u64,
    /// 32-byte sectors that global reads touched, each instruction of a warp for itself.
    pub global_read_sectors: u64,
    /// The same of writes.
    pub global_write_sectors: u64,
    /// Bytes that lanes read from shared memory.
    pub shared_read_bytes: u64,
    /// Bytes that lanes wrote to shared memory.
    pub shared_write_bytes: u64,
    /// Passes over the 32 banks of shared memory beyond the fewest possible.
    pub shared_bank_conflicts: u64,
    /// Floating-point operations of tensor cores.
    pub matrix_flops: u64,
    /// Barriers, per warp that arrived.
    pub barriers: u64,
}

/// What all launches of the process did since the last call of this; `None` if the emulator is not installed.
pub fn counts() -> Option<Counts> {
    #[cfg(target_os = "linux")]
    {
        let mut counts = Counts::default();
        let numbers = bytemuck::cast_slice_mut(std::slice::from_mut(&mut counts));
        // An emulator that has more or fewer is of another version: what its numbers mean is not known here.
        (crate::linux::counts(numbers)? == numbers.len()).then_some(counts)
    }
    #[cfg(not(target_os = "linux"))]
    None
}
