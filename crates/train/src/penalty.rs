//! Penalties of large weights, as a part of the loss: L1, λ₁·Σ|w|, and L2, λ₂/2·Σw². Their gradients, λ₁·sign(w) and λ₂·w, are
//! added to those of the loss, of parameters with two axes or more; vectors (biases, norms) are not penalised, as they do not decay.
//!
//! L1 makes weights exactly unimportant one by one, L2 all of them a little smaller (Tibshirani 1996; Hoerl and Kennard 1970).
//!
//! With plain SGD, L2 and decoupled weight decay are the same step. With Adam they are not: a gradient is divided by the root of its
//! mean square, so weights with large gradients feel the penalty less. Decoupled decay (`weight_decay`, AdamW) shrinks all weights
//! by the same factor, after that division (Loshchilov and Hutter 2019, §2).

use warpsmith_autograd::{Gradients, Parameter, TensorExt};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::Result;

/// The factors of the penalties; 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Penalty {
    /// λ₁.
    pub l1: f64,
    /// λ₂.
    pub l2: f64,
}

/// Adds the gradients of the penalties, once for each parameter, also if it is named twice (tied).
///
/// # Errors
/// If memory runs out.
pub fn penalise(gradients: &mut Gradients, parameters: &[Parameter], penalty: Penalty) -> Result<()> {
    let Penalty { l1, l2 } = penalty;
    let is_first = |i: usize| !parameters[..i].iter().any(|other| other.is_same(&parameters[i]));
    for (i, parameter) in parameters.iter().enumerate() {
        let value = parameter.get();
        if value.rank() < 2 || !is_first(i) {
            continue;
        }
        if l1 != 0.0 {
            // λ₁ in each place, computed from the weights: a constant made by the host cannot be part of a recorded step.
            let factor = value.detach().affine(0.0, l1)?;
            gradients.accumulate(value.abs()?.backward_from(factor)?)?;
        }
        if l2 != 0.0 {
            let pull = value.detach().affine(l2, 0.0)?;
            match gradients.take(parameter) {
                Some(mut gradient) => {
                    gradient.accumulate(&pull)?;
                    gradients.set(parameter, gradient);
                }
                None => gradients.set(parameter, pull),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use warpsmith_tensor::{Device, Tensor};

    #[test]
    fn gradients_are_those_of_the_penalties_and_vectors_have_none() -> Result<()> {
        let tensor = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu);
        let w = Parameter::new("w", &tensor(&[2.0, -0.5, 0.0, -3.0], &[2, 2])?)?;
        let b = Parameter::new("b", &tensor(&[1.0, -1.0], &[2])?)?;
        let x = tensor(&[1.0, 10.0, 100.0, 1000.0], &[2, 2])?;
        // Of Σ x·w the gradient is x.
        let mut gradients = w.get().mul(&x)?.sum_all()?.add(&b.get().sum_all()?)?.backward()?;
        penalise(&mut gradients, &[w.clone(), b.clone(), w.clone()], Penalty { l1: 0.25, l2: 0.5 })?;
        let of = |p: &Parameter| gradients.get(p).map_or(Ok(Vec::new()), |g| g.to_vec::<f32>());
        assert_eq!(of(&w)?, [1.0 + 0.25 + 1.0, 10.0 - 0.25 - 0.25, 100.0, 1000.0 - 0.25 - 1.5]);
        assert_eq!(of(&b)?, [1.0, 1.0]);
        let mut none = Gradients::default();
        penalise(&mut none, std::slice::from_ref(&w), Penalty::default())?;
        assert!(none.is_empty());
        penalise(&mut none, std::slice::from_ref(&w), Penalty { l1: 0.0, l2: 2.0 })?;
        assert_eq!(none.get(&w).map(|g| g.to_vec::<f32>()).transpose()?, Some(vec![4.0, -1.0, 0.0, -6.0]));
        Ok(())
    }
}
