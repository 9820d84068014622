//! How much is dropped, and when.

use warpsmith_ops::prelude::*;
use warpsmith_tensor::rng::{bits, unit};
use warpsmith_tensor::{Device, Seed, Tensor};

#[test]
fn the_share_of_kept_elements_is_right() {
    let n = 1 << 20;
    let ones = Tensor::from_slice(&vec![1f32; n], &[n], &Device::Cpu).unwrap();
    for p in [0.1, 0.5, 0.9] {
        let y = ones.dropout(p, Seed(11), 5).unwrap().to_vec::<f32>().unwrap();
        let kept = y.iter().filter(|&&v| v != 0.0).count() as f64;
        let five_errors = 5.0 * (n as f64 * p * (1.0 - p)).sqrt();
        assert!((kept - n as f64 * (1.0 - p)).abs() < five_errors, "p {p}: kept {kept}");
        assert!(y.iter().all(|&v| v == 0.0 || v == (1.0 / (1.0 - p)) as f32));
    }
}

#[test]
fn the_mask_depends_on_seed_stream_and_place_alone() {
    let n = 100_003;
    let ones = Tensor::from_slice(&vec![1f32; n], &[n], &Device::Cpu).unwrap();
    let mask = |threads: usize, stream: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| ones.dropout(0.3, Seed(1), stream).unwrap().to_vec::<f32>().unwrap())
    };
    assert_eq!(mask(1, 4), mask(3, 4));
    assert_ne!(mask(1, 4), mask(1, 5));
    let expected = (0..n as u64).map(|i| unit(bits(Seed(1), 4, i)) >= 0.3);
    assert!(mask(2, 4).iter().map(|&v| v != 0.0).eq(expected));
}
