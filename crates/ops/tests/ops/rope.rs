//! What a rotation keeps.

use warpsmith_ops::prelude::*;
use warpsmith_ops::rope::Pairing;
use warpsmith_tensor::{Device, Rng, Seed, Tensor};

#[test]
fn scalar_products_depend_on_the_distance_alone() {
    let (width, rng) = (64, Rng::new(Seed(2)));
    let [q, k] = [0, 1].map(|_| Tensor::randn(&[1, 1, 1, width], &rng, &Device::Cpu).unwrap());
    for pairing in [Pairing::Halves, Pairing::Adjacent] {
        let product = |at_q: usize, at_k: usize| {
            let turned = |x: &Tensor, at| x.rope(pairing, 1e4, at).unwrap().to_f64_vec().unwrap();
            turned(&q, at_q).iter().zip(turned(&k, at_k)).map(|(a, b)| a * b).sum::<f64>()
        };
        let sizes: f64 = q.to_f64_vec().unwrap().iter().map(|v| v.abs()).sum::<f64>() * 4.0;
        assert!((product(17, 4) - product(1013, 1000)).abs() < sizes * 4.0 * f32::EPSILON as f64);
        assert!((product(17, 4) - product(17, 5)).abs() > 1e-3);
    }
}

#[test]
fn the_two_pairings_are_one_rotation_of_reordered_elements() {
    let x: Vec<f32> = (0..8).map(|i| i as f32).collect();
    let tensor = |x: &[f32]| Tensor::from_slice(x, &[1, 1, 1, 8], &Device::Cpu).unwrap();
    let adjacent = tensor(&x).rope(Pairing::Adjacent, 1e4, 3).unwrap().to_vec::<f32>().unwrap();
    let reordered: Vec<f32> = [0, 2, 4, 6, 1, 3, 5, 7].map(|i: usize| x[i]).into();
    let halves = tensor(&reordered).rope(Pairing::Halves, 1e4, 3).unwrap().to_vec::<f32>().unwrap();
    assert_eq!([0, 2, 4, 6, 1, 3, 5, 7].map(|i: usize| adjacent[i]).to_vec(), halves);
}
