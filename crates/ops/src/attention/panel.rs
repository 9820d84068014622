//! Strided rows of the inputs, and their copies in the forms that the products read.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

use warpsmith_tensor::arena::Line;
use warpsmith_tensor::cpu::columns::copy_columns;
use warpsmith_tensor::cpu::for_each;
use warpsmith_tensor::{Result, Tensor};

use super::geometry::Sizes;
use super::tile::LANES;
use super::{Attention, Dropout};

/// Keys per block. Blocks start at multiples of this, counted from key 0, so that a query's sums break at the same
/// keys whichever other queries and keys are in the call.
pub(super) const KEYS: usize = 64;

/// The rows of a (B, T, H, D) tensor whose innermost axis is gapless.
pub(super) struct Rows<'a> {
    data: &'a [f32],
    offset: usize,
    strides: [usize; 3],
    width: usize,
}

/// The tensor if [`Rows`] can read it, else a copy that it can.
pub(super) fn with_gapless_rows(x: &Tensor) -> Result<Tensor> {
    let last = x.layout().strides().last().copied().unwrap_or(1);
    if last == 1 || x.shape().last() == 1 { Ok(x.detach()) } else { x.contiguous() }
}

impl<'a> Rows<'a> {
    /// The rows of what [`with_gapless_rows`] gave.
    pub fn new(x: &'a Tensor) -> Result<Self> {
        let layout = x.layout();
        let strides = [layout.strides()[0], layout.strides()[1], layout.strides()[2]];
        Ok(Self { data: x.storage_data::<f32>()?, offset: layout.offset(), strides, width: x.shape().last() })
    }

    /// Where a row starts: batch row, time, head.
    #[inline(always)]
    fn at(&self, b: usize, t: usize, h: usize) -> usize {
        self.offset + b * self.strides[0] + t * self.strides[1] + h * self.strides[2]
    }

    /// One row: batch row, time, head.
    #[inline(always)]
    pub fn row(&self, b: usize, t: usize, h: usize) -> &'a [f32] {
        let at = self.at(b, t, h);
        &self.data[at..at + self.width]
    }

    /// Copies one row times a factor into `out`: batch row, time, head.
    #[inline(always)]
    pub fn copy_row(&self, b: usize, t: usize, h: usize, factor: f32, out: &mut [f32]) {
        let row = self.row(b, t, h);
        for i in 0..row.len() {
            out[i] = row[i] * factor;
        }
    }

    /// Copies `rows` of one head into `out`, (rows, padded), the padding zero.
    #[inline(always)]
    pub fn copy(&self, b: usize, h: usize, first: usize, out: &mut [f32], padded: usize) {
        for (i, to) in out.chunks_exact_mut(padded).enumerate() {
            to[..self.width].copy_from_slice(self.row(b, first + i, h));
            to[self.width..].fill(0.0);
        }
    }

    /// `count` rows of one head from `first` on where they lie, and the distance from one to the next.
    #[inline(always)]
    pub fn in_place(&self, b: usize, h: usize, first: usize, count: usize) -> (&'a [f32], usize) {
        let (at, stride) = (self.at(b, first, h), self.strides[1]);
        (&self.data[at..at + (count - 1) * stride + self.width], stride)
    }

    /// Copies `count` rows of one head from `first` on as columns: (D, [`KEYS`]), absent ones zero.
    #[inline(always)]
    pub fn copy_columns(
        &self,
        b: usize,
        h: usize,
        first: usize,
        count: usize,
        out: &mut [f32],
    ) -> Result<()> {
        if count < KEYS {
            for column in out.chunks_exact_mut(KEYS).take(self.width) {
                column[count..].fill(0.0);
            }
        }
        let from = &self.data[self.at(b, first, h)..];
        copy_columns(from, self.strides[1], (count, self.width), out, KEYS)
    }
}

/// Whether no number is NaN or infinite. (As integers, so that the loop is SIMD code.)
#[inline(always)]
pub(super) fn finite(x: &[f32]) -> bool {
    let mut largest = 0;
    for v in x {
        largest = largest.max(v.to_bits() & 0x7fff_ffff);
    }
    largest < f32::INFINITY.to_bits()
}

/// The visible keys of some query rows: one interval each.
pub(super) struct Intervals<'a>(&'a [(usize, usize)]);

impl Intervals<'_> {
    /// The smallest interval that holds those of rows `from..to`; `None` if they see nothing.
    #[inline(always)]
    pub fn hull(&self, from: usize, to: usize) -> Option<(usize, usize)> {
        let mut hull = None;
        for &(start, end) in &self.0[from..to] {
            if start < end {
                let (low, high) = hull.unwrap_or((start, end));
                hull = Some((low.min(start), high.max(end)));
            }
        }
        hull
    }

    /// The part of row `r`'s interval in the block that starts at `first`, counted from there.
    #[inline(always)]
    pub fn in_block(&self, r: usize, first: usize) -> (usize, usize) {
        let (start, end) = self.0[r];
        (start.saturating_sub(first).min(KEYS), end.saturating_sub(first).min(KEYS))
    }

    /// The columns, rounded out to whole registers, that rows `from..to` see of the block that starts at `first`.
    #[inline(always)]
    pub fn columns(&self, from: usize, to: usize, first: usize) -> Option<(usize, usize)> {
        let (low, high) = self.hull(from, to)?;
        let low = low.saturating_sub(first) / LANES * LANES;
        let high = high.saturating_sub(first).min(KEYS).next_multiple_of(LANES);
        (low < high).then_some((low, high))
    }
}

/// Multiply-adds below which a task is not worth waking a thread for: about 5 µs.
const GRAIN: usize = 200_000;

/// Runs all tasks, of `work` multiply-adds each, in parallel if worthwhile.
pub(super) fn for_tasks<T: Send>(
    tasks: Vec<T>,
    work: usize,
    run: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    let few = (GRAIN / work.max(1)).max(1);
    if tasks.len() <= few {
        tasks.into_iter().try_for_each(run)
    } else {
        let failed = Mutex::new(Ok(()));
        for_each(tasks.into_iter(), &|task| {
            if let Err(error) = run(task) {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Err(error);
            }
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread's working space, kept between calls.
#[derive(Default)]
pub(super) struct Scratch {
    lines: Vec<Line>,
    intervals: Vec<(usize, usize)>,
}

thread_local! {
    static SCRATCH: Cell<Option<Scratch>> = const { Cell::new(None) };
}

impl Scratch {
    /// Runs `body` with this thread's working space.
    pub fn with<R>(body: impl FnOnce(&mut Self) -> R) -> R {
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let result = body(&mut scratch);
        SCRATCH.set(Some(scratch));
        result
    }

    /// Buffers of these lengths, each on a cache line of its own, holding anything; and the intervals of `rows` rows.
    pub fn buffers<const N: usize>(
        &mut self,
        lengths: [usize; N],
        rows: impl Iterator<Item = (usize, usize)>,
    ) -> ([&mut [f32]; N], Intervals<'_>) {
        self.intervals.clear();
        self.intervals.extend(rows);
        let total: usize = lengths.iter().map(|n| n.div_ceil(LANES)).sum();
        if self.lines.len() < total {
            self.lines = bytemuck::zeroed_vec(total);
        }
        let mut rest: &mut [f32] = bytemuck::cast_slice_mut(&mut self.lines);
        let buffers = lengths.map(|n| {
            let (buffer, after) = std::mem::take(&mut rest).split_at_mut(n.next_multiple_of(LANES));
            rest = after;
            &mut buffer[..n]
        });
        (buffers, Intervals(&self.intervals))
    }
}

impl Attention {
    /// The dropout mask of row (b, h, i) in the block of keys that begins with `first`; None without dropout.
    #[inline(always)]
    pub(super) fn mask(
        &self,
        sizes: &Sizes,
        (b, h, i): (usize, usize, usize),
        first: usize,
    ) -> Option<[f32; KEYS]> {
        let dropout = self.dropout?;
        Some(dropout.factors(Dropout::row_start(sizes, b, h, i) + first as u64))
    }
}

/// Multiplies a row of a block by its dropout mask.
#[inline(always)]
pub(super) fn drop_out(p: &mut [f32; KEYS], mask: &[f32; KEYS]) {
    for i in 0..KEYS {
        p[i] *= mask[i];
    }
}

/// Puts `value` where a row sees no key of a block.
#[inline(always)]
pub(super) fn hide(x: &mut [f32; KEYS], (start, end): (usize, usize), value: f32) {
    if (start, end) != (0, KEYS) {
        for j in 0..KEYS {
            let key = j as u32;
            x[j] = if (key >= start as u32) & (key < end as u32) { x[j] } else { value };
        }
    }
}

/// c += Σ a[s]·b[s] over the steps that `sees` allows, one after the other: a step that is masked takes no part, even
/// if it holds NaN or ∞, which a product with 0 would spread. Slow, and needed only then.
#[inline(always)]
pub(super) fn masked_sum(
    c: &mut [f32],
    steps: usize,
    a: impl Fn(usize) -> f32,
    b: &[f32],
    sees: impl Fn(usize) -> bool,
) {
    for s in (0..steps).filter(|&s| sees(s)) {
        let (a, b) = (a(s), &b[s * c.len()..][..c.len()]);
        for i in 0..c.len() {
            c[i] = a.mul_add(b[i], c[i]);
        }
    }
}
