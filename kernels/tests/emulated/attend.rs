//! Attention forward and backward and its decoding form, against the formulas in f64.

use warpsmith_emulator::Schedule;
use warpsmith_kernels::attention::{self, Attention, Dropout, Gradients, Heads, Mask};
use warpsmith_kernels::{Float, Launch, decode};

use crate::gpu::{Exact, Gpu, check, numbers};

mod ladder;
mod unbounded;

/// Sizes and attributes of a call.
#[derive(Clone, Debug)]
struct Call {
    /// B, Tq, Tk, H, Hkv, D
    sizes: [usize; 6],
    mask: Mask,
    lengths: Option<Vec<i64>>,
    p: f32,
    /// Elements between the end of one row of D and the next.
    gap: usize,
    /// What scores are multiplied by, of either sign.
    scale: f64,
}

fn call(sizes: [usize; 6], mask: Mask) -> Call {
    Call { sizes, mask, lengths: None, p: 0.0, gap: 0, scale: SCALE }
}

/// Tails of every tile, odd and wide heads, shared heads, windows, queries that see nothing, padding, dropout, gaps that
/// leave rows unaligned.
fn calls() -> Vec<Call> {
    vec![
        call([1, 1, 1, 1, 1, 64], Mask::Full),
        call([1, 70, 70, 2, 1, 16], Mask::Causal),
        call([1, 3, 37, 4, 1, 80], Mask::Causal),
        call([1, 5, 9, 1, 1, 96], Mask::Full),
        Call { gap: 1, ..call([1, 9, 11, 2, 2, 20], Mask::Full) },
        call([1, 66, 66, 1, 1, 64], Mask::Window(7)),
        call([1, 6, 3, 2, 2, 8], Mask::Causal),
        call([1, 17, 20, 1, 1, 200], Mask::Causal),
        // The widest heads, shared, with tails of every tile.
        call([1, 70, 70, 2, 1, 256], Mask::Causal),
        Call { lengths: Some(vec![33, 7]), ..call([2, 5, 40, 2, 1, 256], Mask::Window(9)) },
        Call { lengths: Some(vec![9, 5, 0]), ..call([3, 4, 9, 2, 2, 24], Mask::Full) },
        Call { lengths: Some(vec![5]), ..call([1, 7, 9, 2, 1, 64], Mask::Window(3)) },
        Call { p: 0.25, ..call([2, 9, 13, 2, 1, 8], Mask::Causal) },
        // Three tiles in turn, and some that the first query of a warp sees whole and the last does not.
        call([1, 150, 150, 1, 1, 8], Mask::Window(70)),
        // Whole tiles of full heads, shared, and the rest of one.
        call([1, 150, 150, 2, 1, 64], Mask::Causal),
        call([1, 35, 100, 2, 1, 128], Mask::Full),
        // A narrow head whose keys are whole tiles: what follows a row is not its own, and nothing follows the last.
        call([1, 5, 64, 1, 1, 16], Mask::Full),
        // Factors for which the largest score is not the largest product.
        Call { scale: -SCALE, ..call([1, 9, 70, 1, 1, 64], Mask::Causal) },
        Call { scale: 0.0, ..call([1, 9, 70, 1, 1, 64], Mask::Causal) },
    ]
}

/// An array (B, T, H, D) with gaps, on the device and gapless here.
struct Array {
    heads: Heads,
    stored: usize,
    values: Vec<f64>,
}

const SEED: u64 = 7;
const STREAM: u64 = 3;
const SCALE: f64 = 0.3;

struct Case {
    gpu: Gpu,
    call: Call,
    dtype: Float,
    attention: Attention,
    q: Array,
    k: Array,
    v: Array,
    out: Array,
}

impl Case {
    fn new(gpu: Gpu, dtype: Float, call: &Call) -> Self {
        let [batch, queries, keys, heads, kv_heads, width] = call.sizes.map(|n| n as u32);
        let mut case = Self {
            gpu,
            call: call.clone(),
            dtype,
            attention: Attention {
                dtype,
                batch,
                queries,
                keys,
                heads,
                kv_heads,
                width,
                q: Heads::default(),
                k: Heads::default(),
                v: Heads::default(),
                out: Heads::default(),
                lse: 0,
                lengths: 0,
                scale: call.scale as f32,
                mask: call.mask,
                dropout: (call.p > 0.0).then_some(Dropout {
                    p: call.p,
                    seed: SEED,
                    stream: STREAM,
                    advance: 0,
                }),
            },
            q: Array { heads: Heads::default(), stored: 0, values: Vec::new() },
            k: Array { heads: Heads::default(), stored: 0, values: Vec::new() },
            v: Array { heads: Heads::default(), stored: 0, values: Vec::new() },
            out: Array { heads: Heads::default(), stored: 0, values: Vec::new() },
        };
        let [_, tq, tk, h, hkv, _] = call.sizes;
        case.q = case.array(tq, h, Some(1));
        case.k = case.array(tk, hkv, Some(2));
        case.v = case.array(tk, hkv, Some(3));
        case.out = case.array(tq, h, None);
        let lengths = call.lengths.as_ref().map_or(0, |lengths| case.gpu.pod(lengths));
        let lse = case.gpu.room_for(Float::F32, case.rows());
        let (q, k, v, out) = (case.q.heads, case.k.heads, case.v.heads, case.out.heads);
        case.attention = Attention { q, k, v, out, lse, lengths, ..case.attention };
        case
    }

    /// (B, T, H, D), numbers or never written.
    fn array(&mut self, time: usize, heads: usize, seed: Option<u64>) -> Array {
        let [batch, _, _, _, _, width] = self.call.sizes;
        let pitch = width + self.call.gap;
        let stored = batch * time * heads * pitch;
        let values = seed.map(|seed| numbers(self.dtype, stored, seed, -2.0, 2.0));
        let pointer = match &values {
            Some(values) => self.gpu.floats(self.dtype, values),
            None => self.gpu.room_for(self.dtype, stored),
        };
        let values = values.map_or_else(Vec::new, |values| without_gaps(&values, pitch, width));
        let strides = [time * heads * pitch, heads * pitch, pitch].map(|n| n as i64);
        Array {
            heads: Heads { pointer, batch: strides[0], time: strides[1], head: strides[2] },
            stored,
            values,
        }
    }

    /// B·H·Tq
    fn rows(&self) -> usize {
        self.call.sizes[0] * self.call.sizes[3] * self.call.sizes[1]
    }

    fn found(&self, array: &Array) -> Vec<f64> {
        let (width, pitch) = (self.call.sizes[5], self.call.sizes[5] + self.call.gap);
        let row = |r: usize| {
            let address = array.heads.pointer + (r * pitch * self.dtype.size()) as u64;
            self.gpu.read_floats(self.dtype, address, width)
        };
        (0..array.stored / pitch).flat_map(row).collect()
    }

    /// The keys that query `i` of batch row `b` sees.
    fn visible(&self, b: usize, i: usize) -> std::ops::Range<usize> {
        let [_, tq, tk, ..] = self.call.sizes;
        let causal = (i + 1 + tk).saturating_sub(tq).min(tk);
        let length = self.call.lengths.as_ref().map_or(tk, |lengths| lengths[b] as usize);
        let (start, end) = match self.call.mask {
            Mask::Full => (0, tk),
            Mask::Causal => (0, causal),
            Mask::Window(window) => (causal.saturating_sub(window as usize), causal),
            Mask::Trailing(window) => (length.saturating_sub(window as usize), length),
        };
        let end = end.min(length);
        start.min(end)..end
    }

    fn at(&self, [b, t, h]: [usize; 3], keys: bool) -> usize {
        let [_, tq, tk, heads, kv_heads, width] = self.call.sizes;
        let (time, heads) = if keys { (tk, kv_heads) } else { (tq, heads) };
        ((b * time + t) * heads + h) * width
    }

    /// The probabilities of a row, what dropout multiplies them by, and the log-sum-exp.
    fn probabilities(&self, [b, i, h]: [usize; 3]) -> (Vec<f64>, Vec<f64>, f64) {
        let [_, tq, tk, heads, kv_heads, width] = self.call.sizes;
        let q = &self.q.values[self.at([b, i, h], false)..][..width];
        let score = |j: usize| {
            let k = &self.k.values[self.at([b, j, h / (heads / kv_heads)], true)..][..width];
            q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>() * self.call.scale
        };
        let visible = self.visible(b, i);
        let scores: Vec<f64> = visible.clone().map(score).collect();
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = scores.iter().map(|s| (s - max).exp()).sum();
        let mut p = vec![0.0; tk];
        for (j, s) in visible.zip(&scores) {
            p[j] = (s - max).exp() / total;
        }
        let first = ((b * heads + h) * tq + i) * tk;
        let kept = (0..tk).map(|j| dropped(self.call.p, (first + j) as u64)).collect();
        (p, kept, max + total.ln())
    }
}

/// Rows of `width` out of rows of `pitch`.
fn without_gaps(values: &[f64], pitch: usize, width: usize) -> Vec<f64> {
    values.chunks(pitch).flat_map(|row| row[..width].to_vec()).collect()
}

/// 0 or 1/(1 - p): Philox4x32-10 with the counter (index/4, stream), word index % 4.
fn dropped(p: f32, index: u64) -> f64 {
    if p == 0.0 {
        return 1.0;
    }
    let (counter, mut key) = (index / 4, [SEED as u32, (SEED >> 32) as u32]);
    let mut c = [counter as u32, (counter >> 32) as u32, STREAM as u32, (STREAM >> 32) as u32];
    for _ in 0..10 {
        let (x, y) = (0xd251_1f53 * u64::from(c[0]), 0xcd9e_8d57 * u64::from(c[2]));
        c = [(y >> 32) as u32 ^ c[1] ^ key[0], y as u32, (x >> 32) as u32 ^ c[3] ^ key[1], x as u32];
        key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
    }
    let unit = (c[(index % 4) as usize] >> 8) as f32 / 16_777_216.0;
    if unit < p { 0.0 } else { 1.0 / (1.0 - f64::from(p)) }
}

/// Units of 2⁻²⁴ by which a probability, a score gradient and their sums may be off, relative to the sum of sizes: the
/// scores' own rounding, the exponential's, and that of p or ds to a 16-bit factor of the tensor cores.
fn roundings(dtype: Float, width: usize, terms: usize) -> f64 {
    let scores = 4.0 * (width as f64 * 4.0 * SCALE + 10.0) + 4.0 * terms as f64;
    scores
        + match dtype {
            Float::F32 => 0.0,
            Float::F16 => f64::from(1 << 13) * 1.5,
            Float::Bf16 => f64::from(1 << 16) * 1.5,
        }
}

/// Adds a·b to a sum, and |size·b| to what its error is measured against. The tensor cores take a in the dtype: what is less
/// than the smallest normal number of f16 errs as that does.
fn add(dtype: Float, sum: &mut Exact, a: f64, size: f64, b: f64) {
    let least = if dtype == Float::F16 { 2f64.powi(-14) } else { 0.0 };
    sum.value += a * b;
    sum.scale += (size.abs().max(least) * b).abs();
}

fn check_forward(case: &Case, what: &str) {
    let [batch, tq, tk, heads, kv_heads, width] = case.call.sizes;
    let mut out = vec![Exact::of(0.0); batch * tq * heads * width];
    let mut lse = vec![Exact::of(0.0); case.rows()];
    for (b, i, h) in places(batch, tq, heads) {
        let (p, kept, logarithm) = case.probabilities([b, i, h]);
        let row = &mut out[case.at([b, i, h], false)..][..width];
        for j in case.visible(b, i) {
            let v = &case.v.values[case.at([b, j, h / (heads / kv_heads)], true)..][..width];
            let kept = p[j] * kept[j];
            row.iter_mut().zip(v).for_each(|(sum, v)| add(case.dtype, sum, kept, kept, *v));
        }
        let none = case.visible(b, i).is_empty();
        let value = if none { f64::NEG_INFINITY } else { logarithm };
        lse[(b * heads + h) * tq + i] = Exact { value, scale: value.abs() + 1.0 };
    }
    let limit = roundings(case.dtype, width, tk);
    check(what, case.dtype, &case.found(&case.out), &out, limit);
    if case.attention.lse != 0 {
        let found = case.gpu.read_floats(Float::F32, case.attention.lse, case.rows());
        check(&format!("lse of {what}"), Float::F32, &found, &lse, roundings(Float::F32, width, tk));
    }
}

fn places(batch: usize, times: usize, heads: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..batch * times * heads).map(move |n| (n / heads / times, n / heads % times, n % heads))
}

#[test]
fn the_forward_pass_is_softmax_and_two_products() {
    for dtype in Float::ALL {
        for call in calls() {
            let mut case = Case::new(Gpu::new(), dtype, &call);
            let launch = attention::forward(&case.attention).unwrap();
            case.gpu.run(&launch);
            check_forward(&case, &format!("{call:?}"));
        }
    }
}

#[test]
fn the_backward_pass_is_the_derivative() {
    for dtype in Float::ALL {
        for call in calls() {
            check_backward(dtype, &call);
        }
    }
}

fn check_backward(dtype: Float, call: &Call) {
    check_gradients(dtype, call, |_, a, gradients| attention::backward(a, gradients).unwrap().into());
}

/// The gradients that these launches give, beside the formulas.
fn check_gradients(
    dtype: Float,
    call: &Call,
    launches: impl Fn(&mut Gpu, &Attention, &Gradients) -> Vec<Launch>,
) {
    let [batch, tq, tk, heads, kv_heads, width] = call.sizes;
    let mut case = Case::new(Gpu::new(), dtype, call);
    case.gpu.run(&attention::forward(&case.attention).unwrap());
    let dout = case.array(tq, heads, Some(4));
    let [dq, dk, dv] = [(tq, heads), (tk, kv_heads), (tk, kv_heads)].map(|(t, h)| case.array(t, h, None));
    let delta = case.gpu.room_for(Float::F32, case.rows());
    let gradients = Gradients { dout: dout.heads, dq: dq.heads, dk: dk.heads, dv: dv.heads, delta };
    let launches = launches(&mut case.gpu, &case.attention, &gradients);
    case.gpu.run_all(&launches);
    let out = case.found(&case.out);
    let mut exact =
        [tq * heads, tk * kv_heads, tk * kv_heads].map(|n| vec![Exact::of(0.0); batch * n * width]);
    for (b, i, h) in places(batch, tq, heads) {
        let (p, kept, _) = case.probabilities([b, i, h]);
        let at = case.at([b, i, h], false);
        let (q, g, o) = (&case.q.values[at..][..width], &dout.values[at..][..width], &out[at..][..width]);
        let dot = |x: &[f64], y: &[f64]| {
            let terms = x.iter().zip(y).map(|(x, y)| x * y);
            (terms.clone().sum::<f64>(), terms.map(f64::abs).sum::<f64>())
        };
        let (row, row_size) = dot(g, o);
        for j in case.visible(b, i) {
            let to = case.at([b, j, h / (heads / kv_heads)], true);
            let (k, v) = (&case.k.values[to..][..width], &case.v.values[to..][..width]);
            let (dp, dp_size) = dot(g, v);
            let ds = p[j] * (dp * kept[j] - row) * case.call.scale;
            let size = p[j] * (dp_size * kept[j] + row_size) * case.call.scale.abs();
            for c in 0..width {
                add(dtype, &mut exact[0][at + c], ds, size, k[c]);
                add(dtype, &mut exact[1][to + c], ds, size, q[c]);
                add(dtype, &mut exact[2][to + c], p[j] * kept[j], p[j] * kept[j], g[c]);
            }
        }
    }
    let limit = roundings(dtype, width, tk.max(tq * heads / kv_heads));
    for (name, array, exact) in [("dq", &dq, &exact[0]), ("dk", &dk, &exact[1]), ("dv", &dv, &exact[2])] {
        check(&format!("{name} of {call:?}"), dtype, &case.found(array), exact, limit);
    }
}

/// Of one tile and of several, between the widths that have a kernel of their own.
#[test]
fn every_width_of_a_head_is_computed_both_ways() {
    for width in (32..=256).step_by(8) {
        for dtype in [Float::F32, Float::Bf16] {
            let call = call([1, 3, 21, 2, 1, width], Mask::Causal);
            let mut case = Case::new(Gpu::new(), dtype, &call);
            case.gpu.run(&attention::forward(&case.attention).unwrap());
            check_forward(&case, &format!("{call:?}"));
            check_backward(dtype, &call);
        }
    }
}

#[test]
fn what_lies_behind_the_length_is_never_read() {
    for dtype in [Float::F32, Float::Bf16] {
        let call = Call { lengths: Some(vec![5]), ..call([1, 2, 40, 1, 1, 16], Mask::Full) };
        let mut case = Case::new(Gpu::new(), dtype, &call);
        // Memory for five keys only: the emulator reports any access past it.
        case.attention.k.pointer = case.gpu.floats(dtype, &case.k.values[..5 * 16]);
        case.attention.v.pointer = case.gpu.floats(dtype, &case.v.values[..5 * 16]);
        let launch = attention::forward(&case.attention).unwrap();
        case.gpu.run(&launch);
        check_forward(&case, "padding");
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_in_any_order_of_blocks() {
    for dtype in [Float::F32, Float::Bf16] {
        let outs = |queries: usize, schedule| {
            let call = call([1, queries, 70, 1, 1, 32], Mask::Causal);
            let mut case = Case::new(Gpu::with(schedule), dtype, &call);
            // The last of 70 queries, so that those of the short call are the last of the long one.
            let all = numbers(dtype, 70 * 32, 1, -2.0, 2.0);
            case.attention.q.pointer = case.gpu.floats(dtype, &all[(70 - queries) * 32..]);
            case.gpu.run(&attention::forward(&case.attention).unwrap());
            case.found(&case.out)
        };
        let all = outs(70, Schedule::Forward);
        assert_eq!(outs(70, Schedule::Reverse), all);
        assert_eq!(outs(3, Schedule::Seeded(5)), all[67 * 32..]);
    }
}

#[test]
fn decoding_gives_the_last_query() {
    let calls = [
        call([1, 1, 1, 1, 1, 64], Mask::Causal),
        call([2, 1, 300, 2, 2, 16], Mask::Causal),
        Call { lengths: Some(vec![270, 5, 0]), ..call([3, 1, 270, 6, 1, 80], Mask::Causal) },
        Call { gap: 1, ..call([1, 1, 40, 2, 1, 20], Mask::Full) },
        call([1, 1, 290, 3, 1, 136], Mask::Window(20)),
        call([2, 1, 270, 2, 1, 256], Mask::Causal),
        // A window in the middle of a part, over two parts, and longer than what there is.
        Call { lengths: Some(vec![290, 259, 3, 0]), ..call([4, 1, 300, 2, 1, 16], Mask::Trailing(20)) },
        call([1, 1, 40, 2, 2, 128], Mask::Trailing(7)),
    ];
    for dtype in Float::ALL {
        for call in &calls {
            let mut case = Case::new(Gpu::new(), dtype, call);
            let workspace = case.gpu.room(decode::workspace_bytes(&case.attention));
            let launches = decode::forward(&case.attention, workspace).unwrap();
            case.gpu.run_all(&launches);
            check_forward(&case, &format!("decoding {call:?}"));
        }
    }
}

#[test]
fn a_row_decoded_alone_has_the_bits_of_that_row_in_a_batch() {
    let batch = call([3, 1, 300, 2, 1, 16], Mask::Causal);
    let decoded = |case: &mut Case| {
        let workspace = case.gpu.room(decode::workspace_bytes(&case.attention));
        let launches = decode::forward(&case.attention, workspace).unwrap();
        case.gpu.run_all(&launches);
        case.found(&case.out)
    };
    let all = decoded(&mut Case::new(Gpu::new(), Float::Bf16, &batch));
    let mut alone = Case::new(Gpu::with(Schedule::Reverse), Float::Bf16, &batch);
    alone.attention.batch = 1;
    for array in [&mut alone.attention.q, &mut alone.attention.k, &mut alone.attention.v] {
        array.pointer += 2 * array.batch as u64 * 2;
    }
    let workspace = alone.gpu.room(decode::workspace_bytes(&alone.attention));
    let launches = decode::forward(&alone.attention, workspace).unwrap();
    alone.gpu.run_all(&launches);
    let found = alone.gpu.read_floats(Float::Bf16, alone.out.heads.pointer, 32);
    assert_eq!(found, all[64..]);
}
