//! The loops of elementwise ops on the host: operands of any strides, read in the order of the output, in runs that
//! fit in the first-level cache.
//!
//! A run that is not gapless (a broadcast, a transposed tensor) is gathered into a buffer first. So each formula is
//! compiled once per instruction set, as one loop over slices, and not once per combination of strides.

use bytemuck::Pod;
use warpsmith_tensor::cpu::{dispatch, for_rows, strided};
use warpsmith_tensor::{Element, Layout, Result, Shape, Tensor};

/// Elements per run: with one buffer per operand, half of a first-level cache of 32 KiB at most.
const RUN: usize = 1024;

/// An operand: storage, and how it lies when stretched to the output's shape.
pub(crate) struct Operand<'a, R> {
    data: &'a [R],
    layout: Layout,
    whole: bool,
}

impl<'a, R: Copy> Operand<'a, R> {
    /// `x`, which holds `T`, stretched to `shape`.
    pub fn new<T: Element<Repr = R>>(x: &'a Tensor, shape: &Shape) -> Result<Self> {
        let layout = x.layout().broadcast_to(shape)?;
        Ok(Self { data: x.storage_data::<T>()?, layout, whole: layout.is_contiguous() })
    }

    /// The `len` elements from number `at` on (row-major, within one row unless the operand is whole), if they lie
    /// side by side.
    fn side_by_side(&self, at: usize, len: usize) -> Option<&'a [R]> {
        match self.whole {
            true => Some(&self.data[self.layout.offset() + at..][..len]),
            false if self.step() == 1 => Some(&self.data[self.start(at)..][..len]),
            false => None,
        }
    }

    /// Copies the elements from number `at` on, as many as `to` has.
    fn load(&self, at: usize, to: &mut [R]) {
        match (self.side_by_side(at, to.len()), self.step()) {
            (Some(run), _) => to.copy_from_slice(run),
            (None, 0) => to.fill(self.data[self.start(at)]),
            (None, step) => {
                let from = &self.data[self.start(at)..];
                to.iter_mut().enumerate().for_each(|(j, to)| *to = from[j * step]);
            }
        }
    }

    /// The elements from number `at` on, as many as `buffer` has: where they lie, or there.
    fn run<'b>(&self, at: usize, buffer: &'b mut [R]) -> &'b [R]
    where
        'a: 'b,
    {
        match self.side_by_side(at, buffer.len()) {
            Some(run) => run,
            None => {
                self.load(at, buffer);
                buffer
            }
        }
    }

    /// Where element number `at` lies.
    fn start(&self, at: usize) -> usize {
        let row = self.layout.shape().last();
        strided::row_start(&self.layout, at / row) + at % row * self.step()
    }

    /// Elements between neighbours of a row.
    fn step(&self) -> usize {
        self.layout.strides().last().copied().unwrap_or(0)
    }
}

/// Cuts a block that starts at element `at` into runs that end where a row ends.
fn runs<Y>(mut at: usize, mut block: &mut [Y], row: usize, mut body: impl FnMut(usize, &mut [Y])) {
    while !block.is_empty() {
        let len = RUN.min(row - at % row).min(block.len());
        let (run, rest) = block.split_at_mut(len);
        body(at, run);
        at += len;
        block = rest;
    }
}

/// y = f(a, b).
pub(crate) fn zip<A, B, Y>(
    y: &mut [Y],
    a: &Operand<'_, A>,
    b: &Operand<'_, B>,
    cost: usize,
    f: impl Fn(A, B) -> Y + Sync,
) where
    A: Pod + Sync,
    B: Pod + Sync,
    Y: Send,
{
    let row = if a.whole && b.whole { y.len() } else { a.layout.shape().last() };
    for_rows(y, 1, cost, |at, block| {
        let (mut buffer_a, mut buffer_b) = ([A::zeroed(); RUN], [B::zeroed(); RUN]);
        runs(at, block, row, |at, y| {
            let a = a.run(at, &mut buffer_a[..y.len()]);
            let b = b.run(at, &mut buffer_b[..y.len()]);
            dispatch(
                #[inline(always)]
                || {
                    for (y, (a, b)) in y.iter_mut().zip(a.iter().zip(b)) {
                        *y = f(*a, *b);
                    }
                },
            );
        });
    });
}

/// Where the first operand of a loop in f32 is: `None` if it stands in the output already.
pub(crate) type First<'a> = Option<Operand<'a, f32>>;

// A formula over one run of elements, written over the first operand. Not a type parameter of the loops below: they are
// compiled once, and a formula alone is compiled anew for every instruction set.

/// y = f(y).
pub(crate) type Formula1<'a> = &'a (dyn Fn(&mut [f32]) + Sync);
/// y = f(y, b).
pub(crate) type Formula2<'a> = &'a (dyn Fn(&mut [f32], &[f32]) + Sync);
/// y = f(y, b, c).
pub(crate) type Formula3<'a> = &'a (dyn Fn(&mut [f32], &[f32], &[f32]) + Sync);

/// y = f(a), or f(y).
pub(crate) fn map_f32(y: &mut [f32], a: &First<'_>, cost: usize, f: Formula1) {
    let row = row_of(y.len(), [a.as_ref()]);
    for_rows(y, 1, cost, |at, block| {
        runs(at, block, row, |at, y| {
            if let Some(a) = a {
                a.load(at, y);
            }
            f(y);
        });
    });
}

/// y = f(a, b); `None` for the one of the two that stands in the output already.
pub(crate) fn zip_f32(y: &mut [f32], a: &First<'_>, b: &First<'_>, cost: usize, f: Formula2) {
    let row = row_of(y.len(), [a.as_ref(), b.as_ref()]);
    for_rows(y, 1, cost, |at, block| {
        let mut buffer = [0f32; RUN];
        runs(at, block, row, |at, y| {
            let buffer = &mut buffer[..y.len()];
            let b = match b {
                Some(b) => b.run(at, buffer),
                None => {
                    buffer.copy_from_slice(y);
                    buffer
                }
            };
            if let Some(a) = a {
                a.load(at, y);
            }
            f(y, b);
        });
    });
}

/// y = f(a, b, c).
pub(crate) fn zip3_f32(y: &mut [f32], [a, b, c]: [Operand<'_, f32>; 3], cost: usize, f: Formula3) {
    let row = row_of(y.len(), [Some(&a), Some(&b), Some(&c)]);
    for_rows(y, 1, cost, |at, block| {
        let (mut buffer_b, mut buffer_c) = ([0f32; RUN], [0f32; RUN]);
        runs(at, block, row, |at, y| {
            let b = b.run(at, &mut buffer_b[..y.len()]);
            let c = c.run(at, &mut buffer_c[..y.len()]);
            a.load(at, y);
            f(y, b, c);
        });
    });
}

/// y = value where the mask is true, else x.
pub(crate) fn select<R: Pod + Send + Sync>(
    y: &mut [R],
    mask: &Operand<'_, u8>,
    value: &Operand<'_, R>,
    x: &Operand<'_, R>,
) {
    let row = if x.whole && mask.whole && value.whole { y.len() } else { x.layout.shape().last() };
    for_rows(y, 1, 1, |at, block| {
        let (mut masks, mut values) = ([0; RUN], [R::zeroed(); RUN]);
        runs(at, block, row, |at, y| {
            let mask = mask.run(at, &mut masks[..y.len()]);
            let value = value.run(at, &mut values[..y.len()]);
            x.load(at, y);
            for (y, (m, v)) in y.iter_mut().zip(mask.iter().zip(value)) {
                *y = if *m != 0 { *v } else { *y };
            }
        });
    });
}

/// Runs may be as long as the output if all operands are whole.
fn row_of<const N: usize>(len: usize, operands: [Option<&Operand<'_, f32>>; N]) -> usize {
    operands.into_iter().flatten().find(|operand| !operand.whole).map_or(len, |o| o.layout.shape().last())
}
