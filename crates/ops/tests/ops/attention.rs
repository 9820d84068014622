//! What the sweep of the registry cannot see: bits across chunks, threads and layouts, and what masked keys may hold.

use warpsmith_autograd::TensorExt;
use warpsmith_ops::attention::{AttentionOptions, Dropout, Mask};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Kind, Layout, Rng, Seed, Shape, Tensor};

const CAUSAL: AttentionOptions =
    AttentionOptions { scale: None, mask: Mask::Causal, key_lengths: None, dropout: None };

/// (q, k, v) of normal numbers.
fn inputs(seed: u64, [b, tq, tk, h, hkv, d]: [usize; 6]) -> [Tensor; 3] {
    let rng = Rng::new(Seed(seed));
    [(tq, h), (tk, hkv), (tk, hkv)].map(|(t, h)| Tensor::randn(&[b, t, h, d], &rng, &Device::Cpu).unwrap())
}

/// Times `from..to` of a (B, T, H, D) tensor, as a view.
fn times(x: &Tensor, from: usize, to: usize) -> Tensor {
    x.view(x.layout().slice(1, from, to - from, 1).unwrap()).unwrap()
}

fn bits(x: &Tensor) -> Vec<u32> {
    x.to_vec::<f32>().unwrap().iter().map(|v| v.to_bits()).collect()
}

/// (out, dq, dk, dv) with a fixed gradient of the output.
fn with_gradients([q, k, v]: &[Tensor; 3], options: &AttentionOptions) -> Vec<Tensor> {
    let leaves = [q, k, v].map(|t| t.requires_grad().unwrap());
    let out = leaves[0].attention(&leaves[1], &leaves[2], options).unwrap();
    let dout = Tensor::randn(out.dims(), &Rng::new(Seed(99)), &Device::Cpu).unwrap();
    let grads = out.backward_from(dout).unwrap();
    let mut all = vec![out.detach()];
    all.extend(leaves.iter().map(|leaf| grads.of(leaf).unwrap().clone()));
    all
}

#[test]
fn a_prefill_has_the_same_bits_whole_in_chunks_and_token_by_token() {
    for mask in [Mask::Causal, Mask::SlidingWindow(70)] {
        let options = AttentionOptions { mask, ..CAUSAL };
        for (t, width) in [(150, 20), (131, 64)] {
            let [q, k, v] = inputs(1, [2, t, t, 4, 2, width]);
            let whole = q.attention(&k, &v, &options).unwrap();
            for chunk in [1, 7, 64, 100] {
                for start in (0..t).step_by(chunk) {
                    let end = (start + chunk).min(t);
                    let (k, v) = (times(&k, 0, end), times(&v, 0, end));
                    let part = times(&q, start, end).attention(&k, &v, &options).unwrap();
                    assert_eq!(
                        bits(&part),
                        bits(&times(&whole, start, end)),
                        "{mask:?} chunk {chunk} at {start}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_row_alone_has_the_bits_of_the_row_in_a_batch() {
    let [q, k, v] = inputs(2, [3, 90, 130, 2, 2, 33]);
    let options = AttentionOptions::default();
    let all = q.attention(&k, &v, &options).unwrap();
    let batch_row = |x: &Tensor| x.view(x.layout().slice(0, 1, 1, 1).unwrap()).unwrap();
    let alone = times(&batch_row(&q), 41, 42).attention(&batch_row(&k), &batch_row(&v), &options).unwrap();
    assert_eq!(bits(&alone), bits(&times(&batch_row(&all), 41, 42)));
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    // Two pairs of batch row and key head: with four threads the gradient takes two passes, with one thread one.
    for sizes in [[1, 300, 300, 4, 2, 24], [3, 70, 70, 4, 4, 16]] {
        let inputs = inputs(3, sizes);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| with_gradients(&inputs, &CAUSAL)).iter().map(bits).collect::<Vec<_>>()
        };
        let alone = run(1);
        assert!(alone == run(2) && alone == run(4), "{sizes:?}");
    }
}

#[test]
fn views_of_one_packed_activation_give_the_bits_of_copies() {
    let (b, t, h, d) = (2, 70, 3, 12);
    let packed = Tensor::randn(&[b, t, 3 * h * d], &Rng::new(Seed(4)), &Device::Cpu).unwrap();
    let views: [Tensor; 3] = std::array::from_fn(|i| {
        let part = packed.layout().slice(2, i * h * d, h * d, 1).unwrap();
        let heads = part.reshape(&Shape::new(&[b, t, h, d]).unwrap()).unwrap().unwrap();
        packed.view(heads).unwrap()
    });
    let copies = views.clone().map(|x| x.copy().unwrap());
    let expected: Vec<_> = with_gradients(&copies, &CAUSAL).iter().map(bits).collect();
    assert_eq!(with_gradients(&views, &CAUSAL).iter().map(bits).collect::<Vec<_>>(), expected);
    // And with the last axis strided, too.
    let turned = copies.clone().map(|x| {
        let back = x.view(x.layout().transpose(1, 3).unwrap()).unwrap().copy().unwrap();
        back.view(back.layout().transpose(1, 3).unwrap()).unwrap()
    });
    assert!(turned.iter().all(|x| x.layout().strides()[3] != 1));
    assert_eq!(with_gradients(&turned, &CAUSAL).iter().map(bits).collect::<Vec<_>>(), expected);
}

/// The tensor with every number of time `at` replaced.
fn spoiled(x: &Tensor, at: usize, value: f32) -> Tensor {
    let (heads, width) = (x.dims()[2], x.dims()[3]);
    let mut out = x.copy().unwrap();
    let per_batch = x.dims()[1] * heads * width;
    for row in out.data_mut::<f32>().unwrap().chunks_mut(per_batch) {
        row[at * heads * width..(at + 1) * heads * width].fill(value);
    }
    out
}

#[test]
fn what_a_masked_key_holds_does_not_matter() {
    let [q, k, v] = inputs(5, [2, 70, 70, 2, 1, 10]);
    let lengths = Tensor::from_slice(&[66i64, 3], &[2], &Device::Cpu).unwrap();
    let options = AttentionOptions { key_lengths: Some(lengths), ..Default::default() };
    let clean = with_gradients(&[q.clone(), spoiled(&k, 66, 0.0), spoiled(&v, 66, 0.0)], &options);
    for garbage in [f32::NAN, f32::INFINITY] {
        let spoiled = [q.clone(), spoiled(&k, 66, garbage), spoiled(&v, 66, garbage)];
        for (got, expected) in with_gradients(&spoiled, &options).iter().zip(&clean) {
            assert_eq!(bits(got), bits(expected));
        }
    }
}

#[test]
fn nan_in_a_value_reaches_the_queries_that_see_it_and_no_other() {
    let [q, k, v] = inputs(6, [1, 100, 100, 1, 1, 8]);
    let out = q.attention(&k, &spoiled(&v, 70, f32::NAN), &CAUSAL).unwrap().to_vec::<f32>().unwrap();
    for (i, row) in out.chunks(8).enumerate() {
        assert_eq!(row.iter().any(|v| v.is_nan()), i >= 70, "row {i}");
    }
    // A query of NaN spoils the gradients of the keys that it sees, and no other.
    let [_, _, dk, dv] = &with_gradients(&[spoiled(&q, 40, f32::NAN), k, v], &CAUSAL)[..] else { panic!() };
    for grad in [dk, dv] {
        for (j, row) in grad.to_vec::<f32>().unwrap().chunks(8).enumerate() {
            assert_eq!(row.iter().any(|v| v.is_nan()), j <= 40, "key {j}");
        }
    }
}

/// As in decoding, where values are read where they lie.
#[test]
fn what_a_single_query_does_not_see_does_not_matter_and_what_it_sees_does() {
    for (mask, keys, seen) in [(Mask::SlidingWindow(70), 150, 80..150), (Mask::Full, 150, 0..77)] {
        let lengths = Tensor::from_slice(&[seen.end as i64], &[1], &Device::Cpu).unwrap();
        let options = AttentionOptions { mask, key_lengths: Some(lengths), ..CAUSAL };
        let [q, k, v] = inputs(11, [1, 1, keys, 2, 1, 64]);
        let out = |v: &Tensor| q.attention(&k, v, &options).unwrap();
        for at in [0, 64, 76, 77, 79, 80, 127, 128, 149] {
            for garbage in [f32::NAN, f32::INFINITY] {
                let spoiled = out(&spoiled(&v, at, garbage));
                match seen.contains(&at) {
                    false => assert_eq!(bits(&spoiled), bits(&out(&v)), "{mask:?} {at}"),
                    true => assert!(
                        spoiled.to_vec::<f32>().unwrap().iter().any(|v| !v.is_finite()),
                        "{mask:?} {at}"
                    ),
                }
            }
        }
    }
}

#[test]
fn a_query_that_sees_nothing_gives_zero_and_has_no_gradient() {
    // The first two of five queries stand before the first of three keys.
    let [q, k, v] = inputs(7, [1, 5, 3, 1, 1, 4]);
    let all = with_gradients(&[q.clone(), k.clone(), v.clone()], &CAUSAL);
    for x in &all[..2] {
        let x = x.to_vec::<f32>().unwrap();
        assert!(x[..8].iter().all(|&v| v == 0.0) && x[8..].iter().any(|&v| v != 0.0));
    }
    // So the keys' gradients are those of the other three queries alone.
    let dout = Tensor::randn(&[1, 5, 1, 4], &Rng::new(Seed(99)), &Device::Cpu).unwrap();
    let leaves = [times(&q, 2, 5), k, v].map(|t| t.requires_grad().unwrap());
    let out = leaves[0].attention(&leaves[1], &leaves[2], &CAUSAL).unwrap();
    let grads = out.backward_from(times(&dout, 2, 5)).unwrap();
    assert_eq!(bits(grads.of(&leaves[1]).unwrap()), bits(&all[2]));
    assert_eq!(bits(grads.of(&leaves[2]).unwrap()), bits(&all[3]));
}

#[test]
fn scores_of_minus_infinity_in_the_first_blocks_do_not_spoil_the_rest() {
    let [q, k, v] = inputs(8, [1, 1, 130, 1, 1, 1]);
    let q = Tensor::full(*q.shape(), 1.0, DType::F32, &Device::Cpu).unwrap();
    let mut k = k.copy().unwrap();
    k.data_mut::<f32>().unwrap()[..100].fill(f32::NEG_INFINITY);
    let out = q.attention(&k, &v, &AttentionOptions::default()).unwrap();
    let rest = q.attention(&times(&k, 100, 130), &times(&v, 100, 130), &AttentionOptions::default()).unwrap();
    let (out, rest) = (out.item().unwrap(), rest.item().unwrap());
    assert!((out - rest).abs() <= 1e-6 * rest.abs(), "{out} {rest}");
    // All of them: 0/0, as in softmax.
    k.data_mut::<f32>().unwrap().fill(f32::NEG_INFINITY);
    assert!(q.attention(&k, &v, &AttentionOptions::default()).unwrap().item().unwrap().is_nan());
}

#[test]
fn dropout_drops_its_share_and_keeps_the_mean() {
    // Equal scores and values of 1: each output is the mean of its row of the dropout mask.
    let t = 400;
    let ones = |t| Tensor::full(Shape::new(&[1, t, 1, 1]).unwrap(), 1.0, DType::F32, &Device::Cpu).unwrap();
    let dropout = Some(Dropout { p: 0.25, seed: Seed(5), stream: 9 });
    let options = AttentionOptions { dropout, ..Default::default() };
    let out = ones(t).attention(&ones(t), &ones(t), &options).unwrap().to_vec::<f32>().unwrap();
    let mean = out.iter().map(|&v| v as f64).sum::<f64>() / t as f64;
    // Each of t² terms is 4/3 or 0 with variance 1/3: five standard errors.
    assert!((mean - 1.0).abs() < 5.0 * (1.0f64 / 3.0).sqrt() / t as f64, "{mean}");
    assert!(out[0] != out[1] && out[1] != out[2], "rows draw numbers of their own");
}

#[test]
fn what_does_not_fit_is_an_error_that_says_so() {
    let say = |sizes: [usize; 6], options: &AttentionOptions| {
        let [q, k, v] = inputs(10, sizes);
        q.attention(&k, &v, options).unwrap_err()
    };
    let plain = AttentionOptions::default();
    let error = say([1, 2, 2, 3, 2, 4], &plain);
    assert_eq!(error.kind(), Kind::Shape);
    assert!(error.to_string().contains("multiple of the heads of k"), "{error}");
    let window = AttentionOptions { mask: Mask::SlidingWindow(0), ..plain.clone() };
    assert_eq!(say([1, 2, 2, 1, 1, 4], &window).kind(), Kind::Value);
    let dropout =
        AttentionOptions { dropout: Some(Dropout { p: 1.0, seed: Seed(0), stream: 0 }), ..plain.clone() };
    assert_eq!(say([1, 2, 2, 1, 1, 4], &dropout).kind(), Kind::Value);
    for (lengths, kind) in [(&[2i64, 3][..], Kind::Index), (&[2, -1], Kind::Index), (&[2], Kind::Shape)] {
        let lengths = Tensor::from_slice(lengths, &[lengths.len()], &Device::Cpu).unwrap();
        let options = AttentionOptions { key_lengths: Some(lengths), ..plain.clone() };
        let error = say([2, 2, 2, 1, 1, 4], &options);
        assert_eq!(error.kind(), kind, "{error}");
    }
    let [q, k, v] = inputs(11, [1, 2, 2, 1, 1, 4]);
    let flat = k.view(Layout::contiguous(Shape::new(&[2, 4]).unwrap())).unwrap();
    assert!(q.attention(&flat, &flat, &plain).unwrap_err().to_string().contains("four axes"));
    let half = k.to_dtype(DType::BF16).unwrap();
    assert_eq!(q.attention(&half, &v, &plain).unwrap_err().kind(), Kind::DType);
}

#[test]
fn bf16_is_computed_in_f32_and_rounded_once() {
    let wide = inputs(12, [1, 20, 20, 2, 2, 8]).map(|x| x.to_dtype(DType::BF16).unwrap());
    let narrow = wide[0].attention(&wide[1], &wide[2], &CAUSAL).unwrap();
    let wide = wide.map(|x| x.to_dtype(DType::F32).unwrap());
    let expected = wide[0].attention(&wide[1], &wide[2], &CAUSAL).unwrap().to_dtype(DType::BF16).unwrap();
    assert_eq!(narrow.to_f64_vec().unwrap(), expected.to_f64_vec().unwrap());
}
