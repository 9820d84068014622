//! Classes of texts are learned: sequences of ids, each with the number of its label.

use warpsmith_autograd::{Parameter, no_grad};
use warpsmith_metrics::classification::{Average, Confusion, Scores, ZeroDivision};
use warpsmith_model::TextClassifier;
use warpsmith_ops::cross_entropy::{CrossEntropy, cross_entropy_before};
use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Rng, Seed, Tensor};

use super::{Beside, FinetuneConfig, Lesson, shuffled};
use crate::classifier::probabilities;
use crate::pseudo_labels::{pseudo_labels, weight};
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

/// Texts that nobody has labelled, to be learned by what the model says of them.
#[derive(Clone, Copy, Debug)]
pub struct Unlabelled<'a> {
    /// Their ids, as those of [`Labelled`].
    pub texts: &'a [Vec<u32>],
    /// The probability from which on the likeliest class counts as the label.
    pub threshold: f64,
    /// What their loss is multiplied by in the end.
    pub weight: f64,
}

impl Unlabelled<'_> {
    pub(super) fn check(&self) -> Result<()> {
        let problem = |what: &str| Err(Error::Run(format!("unlabelled texts: {what}")));
        match self {
            Self { texts: [], .. } => problem("there are none"),
            Self { threshold, .. } if !(0.0..=1.0).contains(threshold) => {
                problem("the threshold must lie in 0..=1")
            }
            Self { weight, .. } if !(weight.is_finite() && *weight >= 0.0) => {
                problem("the weight must be a number, and not below 0")
            }
            _ => Ok(()),
        }
    }
}

/// A model learns to classify.
pub(super) struct Classifying<'a> {
    model: &'a TextClassifier,
    unlabelled: Option<Unlabelled<'a>>,
    /// The texts without a label, in the order in which they are asked for, round and round.
    order: Vec<&'a Vec<u32>>,
    /// How many of them at a step.
    batch_size: usize,
}

impl<'a> Classifying<'a> {
    pub(super) fn new(
        model: &'a TextClassifier,
        unlabelled: Option<Unlabelled<'a>>,
        config: &FinetuneConfig,
    ) -> Self {
        // Apart from what the order of the examples is drawn from.
        let rng = Rng::new(Seed(config.seed)).round(1);
        let order = unlabelled.map_or(Vec::new(), |unlabelled| shuffled(unlabelled.texts, &rng));
        Self { model, unlabelled, batch_size: config.batch_size.min(order.len()), order }
    }
}

impl Lesson for Classifying<'_> {
    type Example = Labelled;

    fn parameters(&self) -> Vec<Parameter> {
        self.model.parameters()
    }

    fn head(&self) -> Vec<Parameter> {
        self.model.head()
    }

    fn token_table(&self) -> Option<Parameter> {
        self.model.token_table()
    }

    fn loss(&self, examples: &[&Labelled], rng: &Rng, g: &Tensor) -> Result<Tensor> {
        let (logits, targets) = logits(self.model, examples, Some(rng))?;
        Ok(cross_entropy_before(logits, &targets, g, CrossEntropy::MEAN)?)
    }

    /// The texts that the model is not sure of count as 0 in the mean: few sure ones do not weigh as much as many.
    fn beside(&self, step: usize, of: usize, rng: &Rng) -> Result<Option<Beside>> {
        let Some(unlabelled) = self.unlabelled else { return Ok(None) };
        let nothing = Beside { loss: None, texts: 0 };
        let weight = weight(step, of / 5, of * 3 / 5, unlabelled.weight);
        if weight == 0.0 {
            return Ok(Some(nothing));
        }
        let (n, asked) = (self.order.len(), self.batch_size);
        let texts: Vec<&[u32]> =
            (0..asked).map(|i| self.order[step.wrapping_mul(asked).wrapping_add(i) % n].as_slice()).collect();
        let logits = no_grad(|| self.model.forward(&texts, None))?.to_dtype(DType::F32)?.to_vec::<f32>()?;
        let rows: Vec<Vec<f64>> = logits.chunks(self.model.labels().len()).map(probabilities).collect();
        let sure: Vec<Labelled> = pseudo_labels(&rows, unlabelled.threshold, None)?
            .into_iter()
            .map(|found| Labelled { ids: texts[found.example].to_vec(), label: found.class })
            .collect();
        if sure.is_empty() {
            return Ok(Some(nothing));
        }
        let (logits, targets) = self::logits(self.model, &sure.iter().collect::<Vec<_>>(), Some(rng))?;
        let sum = logits.cross_entropy_with(&targets, CrossEntropy::SUM)?;
        Ok(Some(Beside { loss: Some(sum.affine(weight / asked as f64, 0.0)?), texts: sure.len() }))
    }

    fn judge(&self, examples: &[Labelled], batch_size: usize) -> Result<(f64, Option<ClassScores>)> {
        let (loss, confusion) = judge(self.model, examples, batch_size)?;
        Ok((loss, Some(ClassScores::of(&confusion))))
    }
}

#[cfg(test)]
mod tests;
