//! The classical layers against PyTorch: outputs and all gradients, from `tests/golden/classical.py`.

use warpsmith_autograd::{Gradients, Parameter, TensorExt};
use warpsmith_model::classical::{
    AdditiveAttention, BatchNorm1d, Cell, Conv1d, Recurrent, RecurrentConfig, RecurrentState, Window,
    binary_cross_entropy, hinge, mean_squared_error,
};
use warpsmith_model::{Weights, from_safetensors};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Device, Seed, Tensor};

use crate::golden::{Tensors, noise, path};

/// The largest error of any number: the bound, for numbers about 1.
const BOUND: f64 = 1e-5;

fn draw(name: &str, dims: &[usize]) -> Tensor {
    let values = noise(name, dims.iter().product()).map(|v| v / 2.0).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

/// One case of the golden file.
struct Case {
    name: &'static str,
    truth: Tensors,
}

impl Case {
    fn new(name: &'static str) -> Self {
        let bytes = std::fs::read(path("../classical.safetensors")).unwrap();
        let all = from_safetensors(&bytes, &Device::Cpu).unwrap();
        let own = |(key, t): (String, Tensor)| Some((key.strip_prefix(&format!("{name}."))?.to_owned(), t));
        Self { name, truth: all.into_iter().filter_map(own).collect() }
    }

    /// The weights of the layer: noise by name, in the shapes of their gradients; and numbers that are not trained.
    fn weights(&self, inputs: &[&str], more: &[(&str, f64, usize)]) -> Weights {
        let trained = self.truth.iter().filter_map(|(key, t)| Some((key.strip_prefix("grad.")?, t)));
        let trained = trained.filter(|(name, _)| !inputs.contains(name));
        let mut tensors: Tensors = trained
            .map(|(name, t)| (name.to_owned(), draw(&format!("{}.{name}", self.name), t.dims())))
            .collect();
        for (name, value, count) in more {
            let values = vec![*value as f32; *count];
            tensors.insert((*name).to_owned(), Tensor::from_vec(values, &[*count], &Device::Cpu).unwrap());
        }
        Weights::given(tensors, &Device::Cpu)
    }

    /// An input whose gradient is known.
    fn input(&self, name: &str) -> Parameter {
        let dims = self.truth[&format!("grad.{name}")].dims().to_vec();
        Parameter::new(name, &draw(&format!("{}.{name}", self.name), &dims)).unwrap()
    }

    fn close(&self, what: &str, ours: &Tensor) {
        let truth = &self.truth[what];
        assert_eq!(ours.dims(), truth.dims(), "{} {what}", self.name);
        for (i, (a, b)) in ours.to_f64_vec().unwrap().iter().zip(truth.to_f64_vec().unwrap()).enumerate() {
            assert!((a - b).abs() <= BOUND, "{} {what}: element {i} is {a}, not {b}", self.name);
        }
    }

    /// Holds outputs, and the gradients of their sum by noise, to the golden ones; all of them must be there.
    fn check(&self, outputs: &[(&str, &Tensor)], leaves: &[Parameter]) -> Gradients {
        let mut loss: Option<Tensor> = None;
        for (name, y) in outputs {
            self.close(&format!("out.{name}"), y);
            let weights = draw(&format!("{}.loss.{name}", self.name), y.dims());
            let term = y.mul(&weights).unwrap().sum_all().unwrap();
            loss = Some(loss.map_or(term.clone(), |loss| loss.add(&term).unwrap()));
        }
        let gradients = loss.unwrap().backward().unwrap();
        for leaf in leaves {
            self.close(&format!("grad.{}", leaf.name()), gradients.get(leaf).unwrap());
        }
        assert_eq!(self.truth.len(), outputs.len() + leaves.len(), "{}", self.name);
        gradients
    }
}

#[test]
fn recurrent_layers_are_those_of_pytorch() {
    let cells = [("rnn", Cell::Tanh), ("gru", Cell::Gru), ("lstm", Cell::Lstm)];
    for (name, cell) in cells {
        let case = Case::new(name);
        let config =
            RecurrentConfig { num_layers: 2, bidirectional: true, ..RecurrentConfig::new(cell, 3, 4) };
        let weights = case.weights(&["x", "h", "c"], &[]);
        let layer = Recurrent::new(&weights, config).unwrap();
        weights.finish().unwrap();
        let mut leaves = vec![case.input("x"), case.input("h")];
        if cell == Cell::Lstm {
            leaves.push(case.input("c"));
        }
        // (4, B, H) → 4 × (B, H)
        let states = |p: &Parameter| -> Vec<Tensor> {
            p.get().split(0, &[1; 4]).unwrap().iter().map(|t| t.squeeze(0).unwrap()).collect()
        };
        let state =
            RecurrentState { h: states(&leaves[1]), c: leaves.get(2).map(states).unwrap_or_default() };
        let (y, last) = layer.forward(&leaves[0].get(), Some(&state), None, None).unwrap();
        let together = |all: &[Tensor]| all[0].stack(&all[1..].iter().collect::<Vec<_>>(), 0).unwrap();
        let mut outputs = vec![("y", y), ("h", together(&last.h))];
        if cell == Cell::Lstm {
            outputs.push(("c", together(&last.c)));
        }
        let outputs: Vec<(&str, &Tensor)> = outputs.iter().map(|(name, t)| (*name, t)).collect();
        case.check(&outputs, &[leaves, layer.parameters()].concat());
    }
}

#[test]
fn rows_of_other_lengths_end_where_pytorch_ends_them() {
    let cells = [("rnn_lengths", Cell::Tanh), ("gru_lengths", Cell::Gru), ("lstm_lengths", Cell::Lstm)];
    for (name, cell) in cells {
        let case = Case::new(name);
        let config =
            RecurrentConfig { num_layers: 2, bidirectional: true, ..RecurrentConfig::new(cell, 3, 4) };
        let layer = Recurrent::new(&case.weights(&["x"], &[]), config).unwrap();
        let x = case.input("x");
        let (y, last) = layer.forward(&x.get(), None, Some(&[5, 2]), None).unwrap();
        let together = |all: &[Tensor]| all[0].stack(&all[1..].iter().collect::<Vec<_>>(), 0).unwrap();
        let h = together(&last.h);
        let c = (cell == Cell::Lstm).then(|| together(&last.c));
        let mut outputs = vec![("y", &y), ("h", &h)];
        outputs.extend(c.as_ref().map(|c| ("c", c)));
        case.check(&outputs, &[vec![x], layer.parameters()].concat());
    }
}

#[test]
fn convolutions_are_those_of_pytorch() {
    let cases = [
        ("conv", 1, Window { taps: 3, stride: 2, padding: 2, dilation: 2 }),
        ("conv_groups", 2, Window { padding: 1, ..Window::of(3) }),
    ];
    for (name, groups, window) in cases {
        let case = Case::new(name);
        let layer = Conv1d::new(&case.weights(&["x"], &[]), (4, 6), window, groups, true).unwrap();
        let x = case.input("x");
        let y = layer.forward(&x.get()).unwrap();
        case.check(&[("y", &y)], &[vec![x], layer.parameters()].concat());
    }
}

#[test]
fn batch_norm_is_that_of_pytorch_in_training_and_later() {
    for name in ["batch_norm", "batch_norm_times"] {
        let case = Case::new(name);
        let weights = case.weights(&["x"], &[("running_mean", 0.0, 3), ("running_var", 1.0, 3)]);
        let layer = BatchNorm1d::new(&weights, 3, 1e-5, 0.1).unwrap();
        let x = case.input("x");
        let y = layer.forward_train(&x.get()).unwrap();
        let [mean, variance] = [0, 1].map(|i| layer.buffers()[i].get().detach());
        let later = layer.forward(&x.get()).unwrap();
        let outputs = [("y", &y), ("mean", &mean), ("var", &variance), ("later", &later)];
        case.check(&outputs, &[vec![x], layer.parameters()].concat());
    }
    let layer = BatchNorm1d::new(&Weights::random(Seed(0), &Device::Cpu), 3, 1e-5, 0.1).unwrap();
    let error = layer.forward_train(&draw("one row", &[1, 3])).unwrap_err().to_string();
    assert!(error.contains("no variance"), "{error}");
}

#[test]
fn additive_attention_is_softmax_of_a_network_s_scores() {
    let case = Case::new("additive");
    let attention = AdditiveAttention::new(&case.weights(&["queries", "keys"], &[]), [4, 3, 5]).unwrap();
    let (queries, keys) = (case.input("queries"), case.input("keys"));
    let hidden: Vec<bool> = (0..10).map(|i| i == 9).collect();
    let hidden = Tensor::from_slice(&hidden, &[2, 1, 5], &Device::Cpu).unwrap();
    let known = attention.keys(&keys.get(), Some(&hidden)).unwrap();
    let (y, weights) = attention.forward(&queries.get(), &known).unwrap();
    case.check(&[("y", &y), ("weights", &weights)], &[vec![queries, keys], attention.parameters()].concat());
}

/// A column and a row would broadcast to all pairs, and the loss be one of nothing.
#[test]
fn losses_take_a_target_for_each_number() {
    let (x, target) = (draw("losses.target", &[4, 1]), draw("losses.target", &[4]));
    for loss in [mean_squared_error, binary_cross_entropy, hinge] {
        let error = loss(&x, &target).unwrap_err().to_string();
        assert!(error.contains("a target for each number") && error.contains("(4, 1)"), "{error}");
    }
}

#[test]
fn losses_are_those_of_pytorch_and_do_not_overflow() {
    let case = Case::new("losses");
    let leaf = case.input("x");
    let x = leaf.get().mul_scalar(20.0).unwrap();
    let target = draw("losses.target", &[4, 3]).add_scalar(0.5).unwrap();
    let signs: Vec<f32> =
        target.to_vec::<f32>().unwrap().iter().map(|t| if *t > 0.5 { 1.0 } else { -1.0 }).collect();
    let signs = Tensor::from_vec(signs, &[4, 3], &Device::Cpu).unwrap();
    let mse = mean_squared_error(&x, &target).unwrap();
    let bce = binary_cross_entropy(&x, &target).unwrap();
    let hinge = hinge(&x, &signs).unwrap();
    case.check(&[("mse", &mse), ("bce", &bce), ("hinge", &hinge)], &[leaf]);

    let logit = |x: f32| Tensor::from_slice(&[x], &[1], &Device::Cpu).unwrap();
    let of = |x: f32, t: f32| binary_cross_entropy(&logit(x), &logit(t)).unwrap().item().unwrap();
    assert_eq!((of(200.0, 0.0), of(-200.0, 1.0)), (200.0, 200.0));
    assert!((of(30.0, 1.0) / (-30f64).exp() - 1.0).abs() < 1e-6);
}
