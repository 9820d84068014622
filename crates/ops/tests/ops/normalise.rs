//! What normalisations are not asked in a sweep.

use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Kind, Tensor};

#[test]
fn an_epsilon_below_zero_is_refused() {
    let ones =
        |dims: &[usize]| Tensor::from_vec(vec![1f32; dims.iter().product()], dims, &Device::Cpu).unwrap();
    let (x, w) = (ones(&[2, 3]), ones(&[3]));
    for eps in [-1e-9, f64::NEG_INFINITY, f64::INFINITY, f64::NAN] {
        let errors = [
            x.layer_norm(&w, None, eps).unwrap_err(),
            x.rms_norm(&w, eps).unwrap_err(),
            x.batch_norm(&w, &w, eps).map(drop).unwrap_err(),
        ];
        assert!(errors.iter().all(|error| error.kind() == Kind::Value), "{errors:?}");
    }
    assert!(x.layer_norm(&w, None, 0.0).is_ok() && x.rms_norm(&w, 0.0).is_ok());
}
