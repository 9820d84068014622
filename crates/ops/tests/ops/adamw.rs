//! The two ways to give AdamW its numbers, and clipping's factor with them.

use warpsmith_autograd::apply;
use warpsmith_ops::adamw::{AdamW, AdamWByNumbers};
use warpsmith_ops::clip_by_norm::{ClipByNorm, ClipFactor};
use warpsmith_ops::prelude::*;
use warpsmith_ops::sgd::{Sgd, SgdByNumbers};
use warpsmith_tensor::{Device, Tensor};

#[test]
fn numbers_in_a_tensor_take_the_same_step_and_a_nan_rate_takes_none() {
    let op = AdamW { lr: 3e-3, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, step: 3 };
    let tensor = |x: &[f32]| Tensor::from_slice(x, &[x.len()], &Device::Cpu).unwrap();
    let group = [[1.0f32, -2.0], [0.5, 3.0], [0.1, 0.2], [0.3, 0.4]].map(|x| tensor(&x));
    let values = |out: Vec<Tensor>| -> Vec<Vec<f32>> { out.iter().map(|t| t.to_vec().unwrap()).collect() };
    let known = values(apply(op, &group.each_ref()).unwrap());
    let by = |numbers: [f64; 7]| {
        let numbers = tensor(&numbers.map(|n| n as f32));
        let ([p, g, m, v], one) = (&group, Tensor::scalar(1.0f32, &Device::Cpu).unwrap());
        values(apply(AdamWByNumbers, &[&numbers, &one, p, g, m, v]).unwrap())
    };
    assert_eq!(by(op.numbers()), known);
    let mut numbers = op.numbers();
    numbers[6] = f64::NAN;
    assert_eq!(by(numbers), [[1.0, -2.0], [0.1, 0.2], [0.3, 0.4]]);
}

#[test]
fn an_update_that_multiplies_by_the_factor_has_the_bits_of_one_after_clipping() {
    let tensor = |seed: u32| {
        let x: Vec<f32> = (0..777u32).map(|i| ((i * 97 + seed * 31) % 1013) as f32 / 506.0 - 1.0).collect();
        Tensor::from_slice(&x, &[x.len()], &Device::Cpu).unwrap()
    };
    let [p, g, m] = [1, 2, 3].map(tensor);
    let v = m.mul(&m).unwrap();
    let values = |out: Vec<Tensor>| -> Vec<Vec<f32>> { out.iter().map(|t| t.to_vec().unwrap()).collect() };
    let adam = AdamW { lr: 3e-3, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, step: 3 };
    let adam_numbers = adam.numbers().map(|n| n as f32);
    let adam_numbers = Tensor::from_slice(&adam_numbers, &[7], &Device::Cpu).unwrap();
    for max_norm in [0.3, 1e6] {
        let factor = apply(ClipFactor { max_norm }, &[&g]).unwrap().remove(1);
        let clipped = apply(ClipByNorm { max_norm }, &[&g]).unwrap().remove(1);
        assert_eq!(clipped.to_vec::<f32>().unwrap() == g.to_vec::<f32>().unwrap(), max_norm > 1.0);
        let after = values(apply(adam, &[&p, &clipped, &m, &v]).unwrap());
        let folded = apply(AdamWByNumbers, &[&adam_numbers, &factor, &p, &g, &m, &v]).unwrap();
        assert_eq!(values(folded), after, "AdamW, at most {max_norm}");
        for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
            let sgd = Sgd { lr: 0.1, momentum, nesterov, weight_decay: 0.01 };
            let numbers = sgd.numbers().map(|n| n as f32);
            let numbers = Tensor::from_slice(&numbers, &[3], &Device::Cpu).unwrap();
            let has_velocity = momentum != 0.0;
            let state: &[&Tensor] = if has_velocity { &[&m] } else { &[] };
            let after = values(apply(sgd, &[&[&p, &clipped], state].concat()).unwrap());
            let inputs = [&[&numbers, &factor, &p, &g], state].concat();
            let folded = values(apply(SgdByNumbers { has_velocity, nesterov }, &inputs).unwrap());
            assert_eq!(
                folded, after,
                "SGD with momentum {momentum}, nesterov {nesterov}, at most {max_norm}"
            );
        }
    }
}
