//! Classes of texts are learned: sequences of ids, each with the number of its label.

use warpsmith_autograd::{Parameter, no_grad};
use warpsmith_metrics::classification::{Average, Confusion, Scores, ZeroDivision};
use warpsmith_model::TextClassifier;
use warpsmith_ops::cross_entropy::CrossEntropy;
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Rng, Tensor};

use super::Lesson;
use crate::{Error, Result};

/// A text's tokens, and the number of its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled {
    /// Its ids, with the marks that the model wants around a text.
    pub ids: Vec<u32>,
    /// Its class, an index into the model's labels.
    pub label: usize,
}

/// How well classes are told apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassScores {
    /// The share of texts that were called what they are.
    pub accuracy: f64,
    /// The means over the classes of precision, recall and F1; a class that was never named has precision 0.
    pub macro_average: Scores,
}

impl ClassScores {
    /// The scores of a confusion matrix.
    pub fn of(confusion: &Confusion) -> Self {
        let macro_average = confusion.average(Average::Macro, ZeroDivision::Zero);
        Self { accuracy: confusion.accuracy(), macro_average }
    }
}

/// The mean loss over texts in nats, and how often each class was taken for another.
///
/// # Errors
/// If there is no text, or the model refuses one.
pub fn judge(model: &TextClassifier, examples: &[Labelled], batch_size: usize) -> Result<(f64, Confusion)> {
    let (mut sum, mut found) = (0.0, Vec::with_capacity(examples.len()));
    for examples in examples.chunks(batch_size.max(1)) {
        let examples: Vec<&Labelled> = examples.iter().collect();
        let (logits, targets) = no_grad(|| logits(model, &examples, None))?;
        sum += no_grad(|| logits.cross_entropy_with(&targets, CrossEntropy::SUM)?.item())?;
        found.extend(logits.argmax(-1, false)?.to_vec::<i64>()?.into_iter().map(|label| label as usize));
    }
    let truth: Vec<usize> = examples.iter().map(|example| example.label).collect();
    let confusion = Confusion::of(&truth, &found, model.labels().len());
    let confusion = confusion.map_err(|e| Error::Run(e.to_string()))?;
    Ok((sum / examples.len() as f64, confusion))
}

/// Logits (B, labels) and the labels (B,).
fn logits(
    model: &TextClassifier,
    examples: &[&Labelled],
    rng: Option<&Rng>,
) -> warpsmith_tensor::Result<(Tensor, Tensor)> {
    let rows: Vec<&[u32]> = examples.iter().map(|example| example.ids.as_slice()).collect();
    let labels = examples.iter().map(|example| example.label as i64).collect();
    Ok((model.forward(&rows, rng)?, Tensor::from_vec(labels, &[rows.len()], model.device())?))
}

/// A model learns to classify.
pub(super) struct Classifying<'a>(pub(super) &'a TextClassifier);

impl Lesson for Classifying<'_> {
    type Example = Labelled;

    fn parameters(&self) -> Vec<Parameter> {
        self.0.parameters()
    }

    fn head(&self) -> Vec<Parameter> {
        self.0.head()
    }

    fn loss(&self, examples: &[&Labelled], rng: &Rng) -> Result<Tensor> {
        let (logits, targets) = logits(self.0, examples, Some(rng))?;
        Ok(logits.cross_entropy(&targets)?)
    }

    fn judge(&self, examples: &[Labelled], batch_size: usize) -> Result<(f64, Option<ClassScores>)> {
        let (loss, confusion) = judge(self.0, examples, batch_size)?;
        Ok((loss, Some(ClassScores::of(&confusion))))
    }
}

#[cfg(test)]
mod tests;
