//! What a launch did, in numbers that the headers of the kernels can be held to.

use std::ops::AddAssign;

/// Work counted while a launch runs. Instructions are counted per warp, lane operations per active lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Instructions that warps issued.
    pub instructions: u64,
    /// Instructions times the lanes that took part.
    pub lane_operations: u64,
    /// Integer, logic, comparison and move instructions.
    pub integer: u64,
    /// Floating-point instructions of any width, conversions included.
    pub float: u64,
    /// Loads, stores and atomics of any space.
    pub memory: u64,
    /// Branches, calls, returns and barriers.
    pub control: u64,
    /// Shuffles, votes, matches and reductions over a warp.
    pub warp: u64,
    /// Tensor-core products.
    pub matrix: u64,
    /// Bytes that lanes read from global memory.
    pub global_read_bytes: u64,
    /// Bytes that lanes wrote to global memory.
    pub global_write_bytes: u64,
    /// 32-byte sectors that global reads touched, each instruction of a warp counted for itself.
    pub global_read_sectors: u64,
    /// 32-byte sectors that global writes touched, each instruction of a warp counted for itself.
    pub global_write_sectors: u64,
    /// Bytes that lanes read from shared memory.
    pub shared_read_bytes: u64,
    /// Bytes that lanes wrote to shared memory.
    pub shared_write_bytes: u64,
    /// Passes over the 32 banks that shared accesses needed beyond the fewest possible.
    pub shared_bank_conflicts: u64,
    /// Atomic operations on global or shared memory, per lane.
    pub atomics: u64,
    /// Floating-point operations of tensor-core products: 2 M N K each.
    pub matrix_flops: u64,
    /// Barriers of a block that its warps arrived at, per warp.
    pub barriers: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.instructions += other.instructions;
        self.lane_operations += other.lane_operations;
        self.integer += other.integer;
        self.float += other.float;
        self.memory += other.memory;
        self.control += other.control;
        self.warp += other.warp;
        self.matrix += other.matrix;
        self.global_read_bytes += other.global_read_bytes;
        self.global_write_bytes += other.global_write_bytes;
        self.global_read_sectors += other.global_read_sectors;
        self.global_write_sectors += other.global_write_sectors;
        self.shared_read_bytes += other.shared_read_bytes;
        self.shared_write_bytes += other.shared_write_bytes;
        self.shared_bank_conflicts += other.shared_bank_conflicts;
        self.atomics += other.atomics;
        self.matrix_flops += other.matrix_flops;
        self.barriers += other.barriers;
    }
}
