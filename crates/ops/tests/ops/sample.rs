//! Which token a row of logits has, where that is not a matter of chance.

use warpsmith_ops::prelude::*;
use warpsmith_ops::sample::{ALL_EXCLUDED, FINE, HAS_NAN, Sample};
use warpsmith_tensor::{Device, Seed, Tensor};

/// Rows longer than any register, all logits -8 but those named.
fn likeliest(temperature: f64, named: &[(usize, f32)]) -> (u32, u32) {
    let mut logits = [-8.0; 1003];
    named.iter().for_each(|&(at, logit)| logits[at] = logit);
    let how = Sample { temperature, top_k: 1, top_p: 1.0, min_p: 0.0, seed: Seed(1), stream: 2, draw: 3 };
    let logits = Tensor::from_slice(&logits, &[1, 1003], &Device::Cpu).unwrap();
    let [tokens, flags] = logits.sample(how).unwrap();
    (tokens.to_vec::<u32>().unwrap()[0], flags.to_vec::<u32>().unwrap()[0])
}

#[test]
fn the_likeliest_token_is_the_first_of_the_largest_and_a_zero_with_a_sign_is_below_one_without() {
    let inf = f32::INFINITY;
    for temperature in [0.0, 0.7] {
        for (named, token) in [
            (&[][..], 0),
            (&[(1002, -7.9)], 1002),
            (&[(700, 3.0), (37, 3.0), (701, 2.9)], 37),
            (&[(5, -0.0), (900, 0.0)], 900),
            (&[(5, -f32::MIN_POSITIVE), (6, -0.0)], 6),
            (&[(64, inf), (63, f32::MAX), (65, inf)], 64),
            (&[(0, -inf), (1, -9.0)], 2),
        ] {
            assert_eq!(likeliest(temperature, named), (token, FINE), "{named:?}");
        }
    }
}

#[test]
fn a_row_with_nan_has_no_token_and_one_of_minus_infinity_neither() {
    for nan in [f32::NAN, -f32::NAN] {
        for at in [0, 500, 1002] {
            assert_eq!(likeliest(0.0, &[(at, nan), (3, 9.0)]), (at as u32, HAS_NAN));
        }
    }
    let none: Vec<(usize, f32)> = (0..1003).map(|at| (at, f32::NEG_INFINITY)).collect();
    assert_eq!(likeliest(0.0, &none), (0, ALL_EXCLUDED));
}
