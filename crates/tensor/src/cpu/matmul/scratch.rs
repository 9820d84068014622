//! Packing buffers that are kept and reused, so that a product in steady state allocates nothing.

use std::cell::Cell;

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A buffer that grows and never shrinks, aligned to 64 bytes.
#[derive(Default)]
struct Aligned(Vec<Line>);

impl Aligned {
    /// Room for `len` values of a plain number type, contents unspecified but initialised.
    fn get<T: bytemuck::Pod>(&mut self, len: usize) -> *mut T {
        let lines = (len * size_of::<T>()).div_ceil(64);
        if self.0.len() < lines {
            self.0 = Vec::new();
            self.0.resize(lines, Line([0; 64]));
        }
        self.0.as_mut_ptr().cast()
    }
}

/// Packing space for one thread. Grows to what the largest product needed and is then reused.
#[derive(Default)]
pub struct Scratch {
    a: Aligned,
    b: Aligned,
}

impl Scratch {
    /// An empty scratch; the first product sizes it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Space for `a_len` packed values of A and `b_len` of B, each aligned to 64 bytes.
    pub(super) fn buffers<T: bytemuck::Pod>(&mut self, a_len: usize, b_len: usize) -> (*mut T, *mut T) {
        (self.a.get(a_len), self.b.get(b_len))
    }
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Runs `f` with this thread's scratch. A product started inside `f` on the same thread gets a fresh one.
pub(super) fn with_thread_scratch<R>(f: impl FnOnce(&mut Scratch) -> R) -> R {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let result = f(&mut scratch);
    SCRATCH.set(Some(scratch));
    result
}
