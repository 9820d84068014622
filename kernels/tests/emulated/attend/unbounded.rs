//! NaN and ∞ reach those alone that see them.

use super::*;

/// Which array, at which time of head 0 of batch row 0, in which column, holds what.
type Poison = (Which, usize, usize, f64);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Which {
    Query,
    Key,
    Value,
    Dout,
}

/// out and, if they were asked for, dq, dk and dv.
struct Results {
    out: Vec<f64>,
    grads: [Vec<f64>; 3],
}

fn run(dtype: Float, call: &Call, (which, t, c, value): Poison, with_gradients: bool) -> Results {
    let [_, tq, tk, heads, kv_heads, width] = call.sizes;
    let mut case = Case::new(Gpu::new(), dtype, call);
    let mut dout = case.array(tq, heads, Some(4));
    let set = |gpu: &mut Gpu, array: &mut Array, heads: usize| {
        array.values[t * heads * width + c] = value;
        array.heads.pointer = gpu.floats(dtype, &array.values);
        array.heads
    };
    match which {
        Which::Query => case.attention.q = set(&mut case.gpu, &mut case.q, heads),
        Which::Key => case.attention.k = set(&mut case.gpu, &mut case.k, kv_heads),
        Which::Value => case.attention.v = set(&mut case.gpu, &mut case.v, kv_heads),
        Which::Dout => drop(set(&mut case.gpu, &mut dout, heads)),
    }
    case.gpu.run(&attention::forward(&case.attention).unwrap());
    if !with_gradients {
        return Results { out: case.found(&case.out), grads: Default::default() };
    }
    let [dq, dk, dv] = [(tq, heads), (tk, kv_heads), (tk, kv_heads)].map(|(t, h)| case.array(t, h, None));
    let delta = case.gpu.room_for(Float::F32, case.rows());
    let gradients = Gradients { dout: dout.heads, dq: dq.heads, dk: dk.heads, dv: dv.heads, delta };
    case.gpu.run_all(&attention::backward(&case.attention, &gradients).unwrap());
    Results { out: case.found(&case.out), grads: [dq, dk, dv].map(|array| case.found(&array)) }
}

/// Whether query `i` sees key `j`.
fn sees(call: &Call, i: usize, j: usize) -> bool {
    let i = (i + call.sizes[2]) as i64 - call.sizes[1] as i64;
    let begin = if let Mask::Window(keys) = call.mask { i + 1 - i64::from(keys) } else { 0 };
    call.mask == Mask::Full || (begin..=i).contains(&(j as i64))
}

/// Rows (t, h) of two arrays of so many heads that differ in their bits, and whether any of theirs is not finite.
fn changed(clean: &[f64], found: &[f64], heads: usize, width: usize) -> Vec<(usize, usize, bool)> {
    let rows = clean.chunks(width).zip(found.chunks(width)).enumerate();
    let bits = |row: &[f64]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    rows.filter(|(_, (a, b))| bits(a) != bits(b))
        .map(|(r, (_, b))| (r / heads, r % heads, b.iter().any(|x| !x.is_finite())))
        .collect()
}

fn calls() -> Vec<Call> {
    vec![
        call([1, 70, 70, 2, 1, 16], Mask::Causal),
        call([1, 66, 66, 1, 1, 72], Mask::Window(7)),
        call([1, 20, 37, 2, 2, 136], Mask::Causal),
    ]
}

#[test]
fn a_value_reaches_those_queries_alone_that_see_it() {
    for dtype in Float::ALL {
        for call in calls() {
            let [_, tq, tk, heads, _, width] = call.sizes;
            let j = tk - 9;
            for value in [f64::NAN, f64::NEG_INFINITY] {
                let clean = run(dtype, &call, (Which::Value, j, 3, 0.0), false).out;
                let found = run(dtype, &call, (Which::Value, j, 3, value), false).out;
                // Query head 0, and all that share key head 0 with it.
                let sharing = heads / call.sizes[4];
                for (i, h) in (0..tq).flat_map(|i| (0..heads).map(move |h| (i, h))) {
                    let at = (i * heads + h) * width;
                    let mut expected = clean[at..][..width].to_vec();
                    if h < sharing && sees(&call, i, j) {
                        expected[3] = value;
                    }
                    let bits = |row: &[f64]| {
                        row.iter().map(|x| (x.is_nan(), x.to_bits() & !(1 << 63))).collect::<Vec<_>>()
                    };
                    let same = bits(&found[at..][..width]).into_iter().zip(bits(&expected));
                    let same = same.fold(true, |all, (a, b)| all && (a == b || (a.0 && b.0)));
                    assert!(same, "{dtype:?} {call:?} {value} at query {i} head {h}");
                }
            }
        }
    }
}

#[test]
fn gradients_are_lost_in_those_rows_alone_that_have_a_part_in_it() {
    for dtype in [Float::F32, Float::Bf16] {
        for call in calls() {
            let [_, tq, tk, heads, kv_heads, width] = call.sizes;
            let sharing = heads / kv_heads;
            for (which, t) in
                [(Which::Query, 11), (Which::Dout, 11), (Which::Key, tk - 9), (Which::Value, tk - 9)]
            {
                let clean = run(dtype, &call, (which, t, 3, 0.0), true);
                let found = run(dtype, &call, (which, t, 3, f64::NAN), true);
                // The queries (of which heads) whose softmax or gradient is NaN, and the keys that those see.
                let own = which == Which::Query || which == Which::Dout;
                let is_lost = |i: usize, h: usize| {
                    if own { i == t && h == 0 } else { h < sharing && sees(&call, i, t) }
                };
                let lost_key = |j: usize, kv: usize| {
                    kv == 0 && (0..tq).any(|i| (0..sharing).any(|h| is_lost(i, h) && sees(&call, i, j)))
                };
                let what = format!("{dtype:?} {call:?} {which:?}");
                let rows = changed(&clean.grads[0], &found.grads[0], heads, width);
                assert!(rows.iter().all(|&(i, h, lost)| lost && is_lost(i, h)), "dq of {what}: {rows:?}");
                let count = (0..tq)
                    .flat_map(|i| (0..heads).map(move |h| (i, h)))
                    .filter(|&(i, h)| is_lost(i, h))
                    .count();
                assert_eq!(rows.len(), count, "dq of {what}");
                for grad in [1, 2] {
                    let rows = changed(&clean.grads[grad], &found.grads[grad], kv_heads, width);
                    assert!(
                        rows.iter().all(|&(j, kv, lost)| lost && lost_key(j, kv)),
                        "{grad} of {what}: {rows:?}"
                    );
                    // A value has no part in its own gradient.
                    assert_eq!(rows.is_empty(), which == Which::Value && grad == 2, "{grad} of {what}");
                }
            }
        }
    }
}
