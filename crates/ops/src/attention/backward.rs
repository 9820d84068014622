//! The backward kernel: the probabilities again, block by block, from the scores and their log-sum-exp
//! (FlashAttention-2, §3.1.2). Sums run over rows and keys in ascending order, so that no bit depends on the cut.

use std::f32::consts::{LN_2, LOG2_E};

use pulp::{Arch, Simd, WithSimd};
use warpsmith_autograd::Meta;
use warpsmith_tensor::cpu::blocks::{Block, Order, split};
use warpsmith_tensor::cpu::math;
use warpsmith_tensor::{Result, Tensor};

use super::Attention;
use super::geometry::Sizes;
use super::panel::{
    Intervals, KEYS, Rows, Scratch, drop_out, finite, for_tasks, hide, masked_sum, with_gapless_rows,
};
use super::tile::{LANES, Product, ROWS, dot};

/// Query rows whose probabilities are held at once.
const QUERIES: usize = 8 * ROWS;

/// dq, dk, dv from dout, q, k, v, out and lse.
pub(super) fn backward(
    op: &Attention,
    sizes: &Sizes,
    [dout, q, k, v, out, lse]: [&Tensor; 6],
    lengths: &[usize],
    y: &[Meta],
) -> Result<Vec<Tensor>> {
    let device = q.device();
    let mut grads = y.iter().map(|m| Tensor::empty(m.shape, m.dtype, &device)).collect::<Result<Vec<_>>>()?;
    if sizes.queries == 0 || sizes.keys == 0 {
        grads.iter_mut().try_for_each(|g| g.data_mut::<f32>().map(|g| g.fill(0.0)))?;
        return Ok(grads);
    }
    let rows = [dout, q, k, v, out].map(with_gapless_rows);
    let [dout, q, k, v, out] = rows;
    let (dout, q, k, v, out, lse) = (dout?, q?, k?, v?, out?, lse.contiguous()?);
    let call = Backward {
        op,
        sizes,
        dout: Rows::new(&dout)?,
        q: Rows::new(&q)?,
        k: Rows::new(&k)?,
        v: Rows::new(&v)?,
        out: Rows::new(&out)?,
        lse: lse.data::<f32>()?,
        lengths,
    };
    let [dq, dk, dv] = grads.as_mut_slice() else { return Ok(grads) };
    call.run(dq.data_mut::<f32>()?, dk.data_mut::<f32>()?, dv.data_mut::<f32>()?)?;
    Ok(grads)
}

/// The inputs of a call.
struct Backward<'a> {
    op: &'a Attention,
    sizes: &'a Sizes,
    dout: Rows<'a>,
    q: Rows<'a>,
    k: Rows<'a>,
    v: Rows<'a>,
    out: Rows<'a>,
    /// (B, H, Tq)
    lse: &'a [f32],
    lengths: &'a [usize],
}

/// The gradients that one task writes. Absent ones are not computed.
struct Task<'a, 'b> {
    call: &'a Backward<'a>,
    dq: Option<Block<'b, f32>>,
    dkv: Option<(Block<'b, f32>, Block<'b, f32>)>,
    scratch: &'a mut Scratch,
}

impl Backward<'_> {
    /// One pass over pairs of batch row and key head if there are enough of them for the threads; else dk and dv by
    /// blocks of keys, then dq by blocks of queries, which computes the scores twice. The bits are the same.
    fn run(&self, dq: &mut [f32], dk: &mut [f32], dv: &mut [f32]) -> Result<()> {
        let Sizes { batch, queries, keys, heads, kv_heads, width } = *self.sizes;
        let threads = rayon::current_num_threads();
        let pairs = batch * kv_heads;
        let whole = pairs >= threads || queries.max(keys) <= KEYS;
        // Four tasks per thread even out the unequal work under a causal mask.
        let cut = |n: usize| if whole { n } else { n.div_ceil((4 * threads).div_ceil(pairs.max(1))) };
        let (query_step, key_step) = (cut(queries), cut(keys).next_multiple_of(KEYS));
        let dqs =
            split(dq, [batch, queries, heads, width], Order::TimeOutside, (query_step, self.sizes.group()))?;
        let dks = split(dk, [batch, keys, kv_heads, width], Order::TimeOutside, (key_step, 1))?;
        let dvs = split(dv, [batch, keys, kv_heads, width], Order::TimeOutside, (key_step, 1))?;
        let dkvs = dks.into_iter().zip(dvs);
        let tasks: Vec<_> = if whole {
            dqs.into_iter().zip(dkvs).map(|(dq, dkv)| (Some(dq), Some(dkv))).collect()
        } else {
            dkvs.map(|dkv| (None, Some(dkv))).chain(dqs.into_iter().map(|dq| (Some(dq), None))).collect()
        };
        let work = 3 * batch * heads * queries * keys * width / tasks.len().max(1);
        for_tasks(tasks, work, |(dq, dkv)| {
            Scratch::with(|scratch| Arch::new().dispatch(Task { call: self, dq, dkv, scratch }))
        })
    }
}

impl WithSimd for Task<'_, '_> {
    type Output = Result<()>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Result<()> {
        let Task { call, mut dq, mut dkv, scratch } = self;
        let (sizes, group) = (call.sizes, call.sizes.group());
        let (d, padded) = (sizes.width, sizes.width.next_multiple_of(LANES));
        let factor = call.op.factor(d) as f32;
        let (b, kv_head) = match (&dq, &dkv) {
            (Some(dq), _) => (dq.batch, dq.heads.start / group),
            (None, Some((dk, _))) => (dk.batch, dk.heads.start),
            (None, None) => return Ok(()),
        };
        let times = dq.as_ref().map_or(0..sizes.queries, |dq| dq.times.clone());
        let keys = dkv.as_ref().map_or(0..sizes.keys, |(dk, _)| dk.times.clone());
        let n = times.len() * group;
        let at = |r: usize| (times.start + r / group, kv_head * group + r % group);
        let seen = |r: usize| {
            let range = call.op.visible(sizes, at(r).0, call.lengths[b]);
            (range.start.clamp(keys.start, keys.end), range.end.clamp(keys.start, keys.end))
        };
        let (rows, panel, block) = (n * padded, d * KEYS, KEYS * padded);
        let lengths =
            [rows, rows, rows, n, n, panel, panel, block, block, block, QUERIES * KEYS, QUERIES * KEYS];
        let (buffers, seen) = scratch.buffers(lengths, (0..n).map(seen));
        let [q, dout, dq_sum, lse, delta, k_columns, v_columns, k, dk_sum, dv_sum, p, ds] = buffers;
        for r in 0..n {
            let (i, h) = at(r);
            let row = r * padded;
            let (numbers, padding) = q[row..row + padded].split_at_mut(d);
            call.q.copy_row(b, i, h, call.op.log2_factor(d), numbers);
            padding.fill(0.0);
            call.dout.copy(b, h, i, &mut dout[row..row + padded], padded);
            lse[r] = call.lse[(b * sizes.heads + h) * sizes.queries + i] * LOG2_E;
            // dq has not begun: its row holds that of the output for a moment.
            call.out.copy(b, h, i, &mut dq_sum[row..row + padded], padded);
            delta[r] = dot(simd, &dout[row..row + padded], &dq_sum[row..row + padded]);
        }
        dq_sum.fill(0.0);
        let rows_finite = finite(q) && finite(dout);
        for first in (keys.start..keys.end).step_by(KEYS) {
            let count = (keys.end - first).min(KEYS);
            dk_sum.fill(0.0);
            dv_sum.fill(0.0);
            if seen.columns(0, n, first).is_some() {
                call.k.copy_columns(b, kv_head, first, count, k_columns)?;
                call.v.copy_columns(b, kv_head, first, count, v_columns)?;
                call.k.copy(b, kv_head, first, &mut k[..count * padded], padded);
                k[count * padded..].fill(0.0);
                let keys_finite = finite(k);
                let key_block = KeyBlock { first, k_columns, v_columns, k, keys_finite, rows_finite, padded };
                for start in (0..n).step_by(QUERIES) {
                    let end = (start + QUERIES).min(n);
                    let rows = QueryRows { q, dout, lse, delta, seen: &seen, start, end };
                    let wanted = (dq.is_some(), dkv.is_some());
                    call.block(simd, &key_block, &rows, (b, &at), wanted, (p, ds), dq_sum, dk_sum, dv_sum);
                }
            }
            if let Some((dk, dv)) = &mut dkv {
                for j in 0..count {
                    // The queries were multiplied by the factor and log₂e.
                    write(&dk_sum[j * padded..], LN_2, dk.row(first + j, kv_head));
                    write(&dv_sum[j * padded..], 1.0, dv.row(first + j, kv_head));
                }
            }
        }
        if let Some(dq) = &mut dq {
            for r in 0..n {
                let (i, h) = at(r);
                write(&dq_sum[r * padded..], factor, dq.row(i, h));
            }
        }
        Ok(())
    }
}

/// Writes the start of a row of sums times a factor. + 0 makes every zero positive: masked rows add +0 or -0.
#[inline(always)]
fn write(sums: &[f32], factor: f32, to: &mut [f32]) {
    let sums = &sums[..to.len()];
    for i in 0..to.len() {
        to[i] = sums[i] * factor + 0.0;
    }
}

/// One block of keys and values.
struct KeyBlock<'a> {
    /// The number of the first key.
    first: usize,
    /// (D, KEYS)
    k_columns: &'a [f32],
    /// (D, KEYS)
    v_columns: &'a [f32],
    /// (KEYS, padded)
    k: &'a [f32],
    keys_finite: bool,
    rows_finite: bool,
    /// D rounded up to whole registers.
    padded: usize,
}

/// Query rows `start..end` of a task.
struct QueryRows<'a> {
    /// (rows, padded), times the factor and log₂e: a product with a key is an exponent of 2.
    q: &'a [f32],
    /// (rows, padded)
    dout: &'a [f32],
    /// Of the base 2.
    lse: &'a [f32],
    delta: &'a [f32],
    seen: &'a Intervals<'a>,
    start: usize,
    end: usize,
}

impl Backward<'_> {
    /// What one block of query rows and one block of keys add to the gradients.
    #[inline(always)]
    fn block<S: Simd>(
        &self,
        simd: S,
        keys: &KeyBlock,
        rows: &QueryRows,
        (b, at): (usize, &impl Fn(usize) -> (usize, usize)),
        (want_dq, want_dkv): (bool, bool),
        (p, ds): (&mut [f32], &mut [f32]),
        dq: &mut [f32],
        dk: &mut [f32],
        dv: &mut [f32],
    ) {
        if rows.seen.columns(rows.start, rows.end, keys.first).is_none() {
            return;
        }
        let padded = keys.padded;
        for start in (rows.start..rows.end).step_by(ROWS) {
            let tile = start..(start + ROWS).min(rows.end);
            let here = (start - rows.start) * KEYS..(tile.end - rows.start) * KEYS;
            let (p, ds) = (&mut p[here.clone()], &mut ds[here]);
            let Some((low, high)) = rows.seen.columns(tile.start, tile.end, keys.first) else {
                p.fill(0.0);
                ds.fill(0.0);
                continue;
            };
            self.scores(simd, keys, rows, tile.clone(), (b, at), (low, high), (p, ds));
            if want_dq {
                self.add_dq(simd, keys, rows, tile, (low, high), ds, dq);
            }
        }
        if want_dkv {
            let (q, dout) = (&rows.q[rows.start * padded..], &rows.dout[rows.start * padded..]);
            self.add_columns(simd, keys, rows, p, dout, dv);
            self.add_columns(simd, keys, rows, ds, q, dk);
        }
    }

    /// p and ds of one tile; 0 where a row sees no key.
    #[inline(always)]
    fn scores<S: Simd>(
        &self,
        simd: S,
        keys: &KeyBlock,
        rows: &QueryRows,
        tile: std::ops::Range<usize>,
        (b, at): (usize, &impl Fn(usize) -> (usize, usize)),
        (low, high): (usize, usize),
        (p, ds): (&mut [f32], &mut [f32]),
    ) {
        let d = self.sizes.width;
        let products = [(rows.q, keys.k_columns, &mut p[low..]), (rows.dout, keys.v_columns, &mut ds[low..])];
        for (a, b, c) in products {
            let product = Product {
                a: &a[tile.start * keys.padded..],
                a_row: keys.padded,
                b: &b[low..],
                b_row: KEYS,
                c,
                c_row: KEYS,
                rows: tile.len(),
                cols: high - low,
                steps: d,
                accumulate: false,
            };
            product.run::<S, false>(simd); // (rows, high - low)
        }
        let (p, ds) = (p.as_chunks_mut().0, ds.as_chunks_mut().0);
        for r in tile.clone() {
            let (p, ds): (&mut [f32; KEYS], &mut [f32; KEYS]) =
                (&mut p[r - tile.start], &mut ds[r - tile.start]);
            let (seen, lse, delta) = (rows.seen.in_block(r, keys.first), rows.lse[r], rows.delta[r]);
            for p in p.iter_mut() {
                *p = math::exp2_or_zero(*p - lse);
            }
            let (i, h) = at(r);
            let mask = self.op.mask(self.sizes, (b, h, i), keys.first);
            if let Some(mask) = &mask {
                drop_out(ds, mask);
            }
            for j in 0..KEYS {
                ds[j] = p[j] * (ds[j] - delta);
            }
            if let Some(mask) = &mask {
                drop_out(p, mask);
            }
            hide(p, seen, 0.0);
            hide(ds, seen, 0.0);
        }
    }

    /// dq += ds·k for one tile.
    #[inline(always)]
    fn add_dq<S: Simd>(
        &self,
        simd: S,
        keys: &KeyBlock,
        rows: &QueryRows,
        tile: std::ops::Range<usize>,
        (low, high): (usize, usize),
        ds: &[f32],
        dq: &mut [f32],
    ) {
        let padded = keys.padded;
        let dq = &mut dq[tile.start * padded..tile.end * padded];
        if keys.keys_finite {
            let product = Product {
                a: &ds[low..],
                a_row: KEYS,
                b: &keys.k[low * padded..],
                b_row: padded,
                c: dq,
                c_row: padded,
                rows: tile.len(),
                cols: padded,
                steps: high - low,
                accumulate: true,
            };
            return product.run::<S, false>(simd); // (rows, padded)
        }
        for (r, (dq, ds)) in tile.zip(dq.chunks_exact_mut(padded).zip(ds.chunks_exact(KEYS))) {
            let (start, end) = rows.seen.in_block(r, keys.first);
            masked_sum(dq, KEYS, |j| ds[j], keys.k, |j| (start..end).contains(&j));
        }
    }

    /// c += pᵀ·x: row j of c gathers the rows of x that see key j.
    #[inline(always)]
    fn add_columns<S: Simd>(
        &self,
        simd: S,
        keys: &KeyBlock,
        rows: &QueryRows,
        p: &[f32],
        x: &[f32],
        c: &mut [f32],
    ) {
        let (padded, steps) = (keys.padded, rows.end - rows.start);
        if keys.rows_finite {
            let product = Product {
                a: p,
                a_row: KEYS,
                b: x,
                b_row: padded,
                c,
                c_row: padded,
                rows: KEYS,
                cols: padded,
                steps,
                accumulate: true,
            };
            return product.run::<S, true>(simd); // (KEYS, padded)
        }
        for (j, c) in c.chunks_exact_mut(padded).enumerate() {
            let sees = |r: usize| {
                let (start, end) = rows.seen.in_block(rows.start + r, keys.first);
                (start..end).contains(&j)
            };
            masked_sum(c, steps, |r| p[r * KEYS + j], x, sees);
        }
    }
}
