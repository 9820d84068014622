//! The two ways to give AdamW its numbers.

use warpsmith_autograd::apply;
use warpsmith_ops::adamw::{AdamW, AdamWByNumbers};
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
        let [p, g, m, v] = &group;
        values(apply(AdamWByNumbers, &[&numbers, p, g, m, v]).unwrap())
    };
    assert_eq!(by(op.numbers()), known);
    let mut numbers = op.numbers();
    numbers[6] = f64::NAN;
    assert_eq!(by(numbers), [[1.0, -2.0], [0.1, 0.2], [0.3, 0.4]]);
}
