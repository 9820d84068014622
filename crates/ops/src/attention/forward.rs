//! The forward kernel: blocks of keys outside, tiles of query rows inside, softmax as it goes (FlashAttention-2, §3.1).
//!
//! Queries are multiplied by scale·log₂e once, when they are copied: scores are then exponents of 2, which are cheaper than
//! those of e, and there are as many of them as pairs of a query and a key.

use std::f32::consts::LN_2;

use pulp::{Arch, Simd, WithSimd};
use warpsmith_autograd::Meta;
use warpsmith_tensor::cpu::blocks::{Block, Order, split};
use warpsmith_tensor::cpu::math;
use warpsmith_tensor::cpu::matmul::{
    Epilogue, MatMut, MatRef, Scratch as PackingSpace, fused, matmul_serial,
};
use warpsmith_tensor::{Result, Tensor};

use super::Attention;
use super::geometry::Sizes;
use super::panel::{
    Intervals, KEYS, Rows, Scratch, drop_out, finite, for_tasks, hide, masked_sum, with_gapless_rows,
};
use super::tile::{LANES, Product, ROWS, largest, sum};
use crate::matmul::bug;

/// Fewer pairs of batch row and key head than this are cut along time, too. (Not the number of threads: but since a
/// row's bits do not depend on the cut, it could be.)
const TASKS: usize = 8;

/// Query rows of a task, as in decoding, for which keys and values are read where they lie: a copy is read only so many times.
const FEW: usize = 4;

/// How many multiply-adds a number of the keys or values costs where so few queries use it: it comes from memory.
const OF_MEMORY: usize = 8;

/// out and lse from q, k, v.
pub(super) fn forward(
    op: &Attention,
    sizes: &Sizes,
    [q, k, v]: [&Tensor; 3],
    lengths: &[usize],
    y: &[Meta],
) -> Result<Vec<Tensor>> {
    let device = q.device();
    let [q, k, v] = [with_gapless_rows(q)?, with_gapless_rows(k)?, with_gapless_rows(v)?];
    let forward = Forward { op, sizes, q: Rows::new(&q)?, k: Rows::new(&k)?, v: Rows::new(&v)?, lengths };
    let mut out = Tensor::empty(y[0].shape, y[0].dtype, &device)?;
    let mut lse = Tensor::empty(y[1].shape, y[1].dtype, &device)?;
    let cuts = TASKS.div_ceil((sizes.batch * sizes.kv_heads).max(1));
    let step = (sizes.queries.div_ceil(cuts).max(KEYS), sizes.group());
    let outs = split(
        out.data_mut::<f32>()?,
        [sizes.batch, sizes.queries, sizes.heads, sizes.width],
        Order::TimeOutside,
        step,
    )?;
    let lses = split(
        lse.data_mut::<f32>()?,
        [sizes.batch, sizes.queries, sizes.heads, 1],
        Order::HeadOutside,
        step,
    )?;
    let rows = sizes.group() * step.0.min(sizes.queries);
    let per_number = if rows <= FEW { OF_MEMORY } else { 1 };
    let work = rows * sizes.keys * sizes.width * per_number;
    for_tasks(outs.into_iter().zip(lses).collect(), work, |(out, lse)| {
        Scratch::with(|scratch| Arch::new().dispatch(Task { forward: &forward, out, lse, scratch }))
    })?;
    Ok(vec![out, lse])
}

/// The inputs of a call.
struct Forward<'a> {
    op: &'a Attention,
    sizes: &'a Sizes,
    q: Rows<'a>,
    k: Rows<'a>,
    v: Rows<'a>,
    lengths: &'a [usize],
}

/// The query rows of one key head and some times: row r is time r / group, head r % group of the block.
struct Task<'a, 'b> {
    forward: &'a Forward<'a>,
    out: Block<'b, f32>,
    lse: Block<'b, f32>,
    scratch: &'a mut Scratch,
}

/// What a tile of query rows has seen so far.
struct Running<'a> {
    /// (rows, D): Σ 2^(s - max)·v
    sums: &'a mut [f32],
    /// The largest score.
    max: &'a mut [f32],
    /// Σ 2^(s - max)
    total: &'a mut [f32],
}

impl WithSimd for Task<'_, '_> {
    type Output = Result<()>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Result<()> {
        let Task { forward, mut out, mut lse, scratch } = self;
        let (sizes, b, group) = (forward.sizes, out.batch, forward.sizes.group());
        let (d, padded) = (sizes.width, sizes.width.next_multiple_of(LANES));
        let (first_time, first_head, n) = (out.times.start, out.heads.start, out.times.len() * group);
        let at = |r: usize| (first_time + r / group, first_head + r % group);
        let seen = |r: usize| {
            let range = forward.op.visible(sizes, at(r).0, forward.lengths[b]);
            (range.start, range.end)
        };
        let lengths = [n * d, n * padded, n, n, d * KEYS, KEYS * padded, ROWS * KEYS];
        let (buffers, seen) = scratch.buffers(lengths, (0..n).map(seen));
        let [q, sums, max, total, k, v, scores] = buffers;
        let factor = forward.op.log2_factor(d);
        for (r, to) in q.chunks_exact_mut(d).enumerate() {
            forward.q.copy_row(b, at(r).0, at(r).1, factor, to);
        }
        sums.fill(0.0);
        max.fill(f32::NEG_INFINITY);
        total.fill(0.0);
        let mut running = Running { sums, max, total };
        let (low, high) = seen.hull(0, n).unwrap_or((0, 0));
        for first in (low / KEYS * KEYS..high).step_by(KEYS) {
            let (head, count) = (first_head / group, (sizes.keys - first).min(KEYS));
            let few = n <= FEW && fused();
            let k = if few {
                let (rows, stride) = forward.k.in_place(b, head, first, count);
                Keys::Rows(MatRef::new(rows, d, count, 1, stride).map_err(bug("attention"))?)
            } else {
                forward.k.copy_columns(b, head, first, count, k)?;
                Keys::Columns(k)
            };
            // What all rows see counts as it is, finite or not.
            let all_see = || (0..n).all(|r| seen.in_block(r, first) == (0, count));
            let in_place = (few && d == padded)
                .then(|| forward.v.in_place(b, head, first, count))
                .filter(|(rows, stride)| all_see() || (0..count).all(|j| finite(&rows[j * stride..][..d])));
            let (v, v_row, finite) = match in_place {
                Some((rows, stride)) => (rows, stride, true),
                None => {
                    let v = &mut v[..count * padded];
                    forward.v.copy(b, head, first, v, padded);
                    (&*v, padded, finite(v))
                }
            };
            let block = KeyBlock { first, count, k, v, v_row, finite, padded };
            for r in (0..n).step_by(ROWS) {
                let tile = r..(r + ROWS).min(n);
                forward.tile(simd, &block, tile, (b, &at), q, &seen, scores, &mut running)?;
            }
        }
        for r in 0..n {
            let (time, head) = at(r);
            let seen = seen.hull(r, r + 1).is_some();
            let statistic = running.finish(r, seen, padded, out.row(time, head));
            lse.row(time, head)[0] = statistic;
        }
        Ok(())
    }
}

/// The keys of a block. A score is the same chain of multiply-adds over D with either.
enum Keys<'a> {
    /// Copied: (D, KEYS).
    Columns(&'a [f32]),
    /// Where they lie, as (D, keys): for few queries, on processors whose products round a multiply-add once.
    Rows(MatRef<'a, f32>),
}

/// One block of keys and values.
struct KeyBlock<'a> {
    /// The number of the first key.
    first: usize,
    /// How many there are.
    count: usize,
    k: Keys<'a>,
    /// (count, D), `v_row` from one row to the next.
    v: &'a [f32],
    v_row: usize,
    /// Whether `v` is, or may be anything since all rows see all of it: no weight of 0 hides an infinity there.
    finite: bool,
    /// D rounded up to whole registers.
    padded: usize,
}

impl Forward<'_> {
    /// Takes one block of keys into one tile of query rows.
    #[inline(always)]
    fn tile<S: Simd>(
        &self,
        simd: S,
        block: &KeyBlock,
        tile: std::ops::Range<usize>,
        (b, at): (usize, &impl Fn(usize) -> (usize, usize)),
        q: &[f32],
        seen: &Intervals,
        scores: &mut [f32],
        running: &mut Running,
    ) -> Result<()> {
        let (d, padded, rows) = (self.sizes.width, block.padded, tile.len());
        let Some((low, high)) = seen.columns(tile.start, tile.end, block.first) else { return Ok(()) };
        match &block.k {
            Keys::Columns(k) => Product {
                a: &q[tile.start * d..],
                a_row: d,
                b: &k[low..],
                b_row: KEYS,
                c: &mut scores[low..],
                c_row: KEYS,
                rows,
                cols: high - low,
                steps: d,
                accumulate: false,
            }
            .run::<S, false>(simd), // (rows, high - low)
            Keys::Rows(k) => {
                let q = MatRef::row_major(&q[tile.start * d..], rows, d).map_err(bug("attention"))?;
                let scores = MatMut::new(scores, rows, k.shape().1, KEYS).map_err(bug("attention"))?;
                matmul_serial(q, *k, scores, Epilogue::default(), &mut PackingSpace::new())
                    .map_err(bug("attention"))?;
            }
        }
        for (r, p) in tile.clone().zip(scores.as_chunks_mut().0) {
            running.softmax(simd, r, seen.in_block(r, block.first), padded, p);
            let (i, h) = at(r);
            if let Some(mask) = self.op.mask(self.sizes, (b, h, i), block.first) {
                drop_out(p, &mask);
            }
        }
        let sums = &mut running.sums[tile.start * padded..tile.end * padded];
        if block.finite {
            let product = Product {
                a: &scores[low..],
                a_row: KEYS,
                b: &block.v[low * block.v_row..],
                b_row: block.v_row,
                c: sums,
                c_row: padded,
                rows,
                cols: padded,
                steps: high.min(block.count) - low,
                accumulate: true,
            };
            product.run::<S, false>(simd); // (rows, padded)
        } else {
            for (r, sums) in tile.zip(sums.chunks_exact_mut(padded)) {
                let (start, end) = seen.in_block(r, block.first);
                let p = &scores[r % ROWS * KEYS..][..KEYS];
                masked_sum(sums, KEYS, |j| p[j], block.v, |j| (start..end).contains(&j));
            }
        }
        Ok(())
    }
}

impl Running<'_> {
    /// Turns row `r`'s scores of one block, of which it sees `seen`, into 2^(s - max), with the maximum so far,
    /// and brings the sums so far to that maximum.
    #[inline(always)]
    fn softmax<S: Simd>(
        &mut self,
        simd: S,
        r: usize,
        seen: (usize, usize),
        padded: usize,
        s: &mut [f32; KEYS],
    ) {
        hide(s, seen, f32::NEG_INFINITY);
        // Should NaN be lost here, it comes back through the exponentials, their sum and the division by it.
        let (old, block) = (self.max[r], largest(simd, s));
        let max = if old > block { old } else { block };
        // Where nothing finite was seen yet, -∞ - -∞ would be NaN; any other number gives 2^(-∞) = 0, as it should be.
        let shift = if max == f32::NEG_INFINITY { 0.0 } else { max };
        for s in s.iter_mut() {
            *s = math::exp2_or_zero(*s - shift);
        }
        self.max[r] = max;
        if old == max {
            // The common case once the first blocks are seen: the factor would be 2⁰.
            self.total[r] += sum(simd, s);
            return;
        }
        let rescale = math::exp2_or_zero(old - shift);
        self.total[r] = self.total[r].mul_add(rescale, sum(simd, s));
        for v in &mut self.sums[r * padded..][..padded] {
            *v *= rescale;
        }
    }

    /// Writes row `r`'s output and returns its log-sum-exp.
    #[inline(always)]
    fn finish(&self, r: usize, seen: bool, padded: usize, out: &mut [f32]) -> f32 {
        if !seen {
            out.fill(0.0);
            return f32::NEG_INFINITY;
        }
        let total = self.total[r];
        let scale = 1.0 / total;
        // + 0 makes every zero positive: masked keys add +0 or -0, and how many there are depends on the call.
        let sums = &self.sums[r * padded..][..out.len()];
        for i in 0..out.len() {
            out[i] = sums[i] * scale + 0.0;
        }
        // Scores of -∞ alone: softmax is 0/0, so NaN, here as in the output.
        if total == 0.0 { f32::NAN } else { self.max[r].mul_add(LN_2, math::ln(total)) }
    }
}
