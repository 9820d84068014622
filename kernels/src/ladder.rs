//! Ladders: kernels of one op from the naive one to the one that ships, one new idea a rung, all with the same arguments.
//! The sources lie in `ladder/<op>/`; the difference between neighbours is the lesson. The last rung is what ships, by
//! reference.

pub mod attention;
pub mod matmul;
pub mod softmax;

use crate::{Entry, Launch};

/// What a launch can be counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Bytes that lanes read from global memory.
    BytesRead,
    /// Bytes that lanes wrote to global memory.
    BytesWritten,
    /// 32-byte sectors that global reads touched, each instruction of a warp for itself.
    SectorsRead,
    /// The same of writes.
    SectorsWritten,
    /// Bytes that lanes read from and wrote to shared memory.
    SharedBytes,
    /// Passes over the 32 banks of shared memory beyond the fewest possible.
    BankConflicts,
    /// Instructions, once per warp.
    Instructions,
    /// Loads and stores of any space, once per warp.
    MemoryInstructions,
    /// Barriers, per warp that arrived.
    Barriers,
}

impl Count {
    /// As a reader calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BytesRead => "bytes read",
            Self::BytesWritten => "bytes written",
            Self::SectorsRead => "sectors read",
            Self::SectorsWritten => "sectors written",
            Self::SharedBytes => "bytes of shared memory",
            Self::BankConflicts => "bank conflicts",
            Self::Instructions => "instructions",
            Self::MemoryInstructions => "memory instructions",
            Self::Barriers => "barriers",
        }
    }
}

/// What a rung says that it does better than the one before: at least so many times fewer of something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    /// Of what.
    pub count: Count,
    /// How many times fewer, at the shape that its ladder's tests use.
    pub times_fewer: f64,
}

/// A kernel, or some in a row, that computes an op of arguments `A`.
#[derive(Debug)]
pub struct Rung<A: 'static> {
    /// The new idea in a few words: what the rung is called.
    pub name: &'static str,
    /// What it improves; the first rung, and one that only prepares the next, claim nothing.
    pub claims: &'static [Claim],
    /// Bytes of memory that its kernels need besides.
    pub room: fn(&A) -> u64,
    /// The launches, in order. An error says what arguments it wants.
    pub launches: fn(&A) -> Result<Vec<Launch>, &'static str>,
}

/// Every entry of the ladders.
pub(crate) fn entries() -> Vec<&'static Entry> {
    [attention::ENTRIES, matmul::ENTRIES, softmax::ENTRIES].concat()
}

/// The module of a rung and its entries, whose parameter is of type `$args`.
macro_rules! rung {
    ($module:ident: $args:ty = $path:literal { $($entry:ident = $name:literal),+ }) => {
        static $module: $crate::Module = $crate::module::built!($path);
        $(static $entry: $crate::Entry =
            $crate::Entry { module: &$module, name: $name, param_bytes: size_of::<$args>() };)+
    };
}

/// For rungs that keep nothing.
fn no_room<A>(_: &A) -> u64 {
    0
}

const fn claim(count: Count, times_fewer: f64) -> Claim {
    Claim { count, times_fewer }
}

use rung;
