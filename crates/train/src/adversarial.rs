//! The fast gradient method on embeddings (Miyato, Dai and Goodfellow, *Adversarial Training Methods for Semi-Supervised Text
//! Classification*, ICLR 2017, §3): the step also learns from its examples as they look to a table of embeddings that was moved
//! by r = ε·g/‖g‖₂, along the gradient g of the loss, where the loss grows fastest.
//!
//! The paper moves the embedded tokens of each example by an r of its own, of embeddings normalised to mean 0 and variance 1. This
//! moves the table, so that a token is moved alike wherever it stands, and normalises nothing: ε is in the units of the table.

use warpsmith_autograd::{Gradients, Parameter};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Error, Result};

/// Adds to `gradients`, those of the loss, the gradients of the loss with the table `embedding` moved against the model. `again`
/// computes them anew; dropout should draw in it what it drew before. Afterwards the table is as it was, to the bit.
///
/// Waits for the norm of the gradient, so that it cannot be part of a recorded step.
///
/// # Errors
/// If ε is not a finite number of at least 0, the table has no gradient, or `again` fails: the table is as it was then, too.
pub fn fgm(
    embedding: &Parameter,
    epsilon: f64,
    gradients: &mut Gradients,
    again: impl FnOnce() -> Result<Gradients>,
) -> Result<()> {
    if !(epsilon.is_finite() && epsilon >= 0.0) {
        return Err(Error::value("fgm", format!("ε must be a finite number, 0 or more, not {epsilon}")));
    }
    let gradient = gradients.get(embedding).ok_or_else(|| {
        Error::value(
            "fgm",
            format!("{} has no gradient: is it the table that the loss was computed with?", embedding.name()),
        )
    })?;
    let norm = gradient.detach().square()?.sum_all()?.item()?.sqrt();
    if norm == 0.0 || !norm.is_finite() {
        // Nowhere to go; a gradient that is no number is for the caller to refuse.
        return Ok(());
    }
    let before = embedding.get().detach();
    embedding.set(&before.add(&gradient.detach().affine(epsilon / norm, 0.0)?)?)?;
    let found = again();
    embedding.set(&before)?;
    gradients.accumulate(found?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use warpsmith_autograd::TensorExt;
    use warpsmith_tensor::{DType, Device, Shape, Tensor};

    /// A table (3, 2) and the loss Σ e² / 2 of its rows 0 and 2, whose gradient is the rows themselves.
    fn table() -> Result<(Parameter, impl Fn() -> Result<Tensor>)> {
        let values = [3.0_f32, 0.0, 7.0, 7.0, 0.0, -4.0];
        let table = Parameter::new("wte", &Tensor::from_slice(&values, &[3, 2], &Device::Cpu)?)?;
        let ids = Tensor::from_slice(&[0_u32, 2], &[2], &Device::Cpu)?;
        let own = table.clone();
        Ok((table, move || own.get().index_select(0, &ids)?.square()?.sum_all()?.affine(0.5, 0.0)))
    }

    #[test]
    fn gradients_are_those_at_the_table_and_at_the_moved_table() -> Result<()> {
        let (table, loss) = table()?;
        let before = table.get().to_vec::<f32>()?;
        let mut gradients = loss()?.backward()?;
        // The gradient has norm 5: the rows move by ε/5 of themselves.
        let mut moved = 0.0;
        fgm(&table, 0.5, &mut gradients, || {
            let loss = loss()?;
            moved = loss.item()?;
            loss.backward()
        })?;
        assert!((moved - 12.5 * 1.1 * 1.1).abs() < 1e-5, "{moved}");
        let sum = gradients.get(&table).map(|g| g.to_vec::<f32>()).transpose()?.unwrap_or_default();
        for (sum, value) in sum.iter().zip([3.0, 0.0, 0.0, 0.0, 0.0, -4.0]) {
            assert!((sum - 2.1 * value).abs() < 1e-5, "{sum} for {value}");
        }
        assert_eq!(table.get().to_vec::<f32>()?, before);
        Ok(())
    }

    #[test]
    fn the_table_comes_back_when_the_loss_fails() -> Result<()> {
        let (table, loss) = table()?;
        let before = table.get().to_vec::<f32>()?;
        let mut gradients = loss()?.backward()?;
        let failed = fgm(&table, 1.0, &mut gradients, || Err(Error::value("loss", "none")));
        assert!(failed.is_err());
        assert_eq!(table.get().to_vec::<f32>()?, before);
        Ok(())
    }

    #[test]
    fn without_a_way_there_is_no_step_and_nonsense_is_refused() -> Result<()> {
        let (table, loss) = table()?;
        let mut gradients = loss()?.backward()?;
        let again = || loss()?.backward();
        for epsilon in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(fgm(&table, epsilon, &mut gradients, again).is_err());
        }
        let other = Parameter::new("other", &Tensor::zeros(Shape::new(&[2, 2])?, DType::F32, &Device::Cpu)?)?;
        let message = fgm(&other, 1.0, &mut gradients, again).map_err(|e| e.to_string()).unwrap_err();
        assert!(message.contains("other has no gradient"), "{message}");
        let mut flat = other.get().square()?.sum_all()?.backward()?;
        fgm(&other, 1.0, &mut flat, || Err(Error::value("loss", "must not be asked for")))
    }
}
