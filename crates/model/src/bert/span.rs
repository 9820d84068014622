//! Answers that are spans of what is read: the loss of their ends, and the best span of some logits.
//!
//! Source: Devlin et al., *BERT*, 2018, arXiv 1810.04805, §4.2 and §4.3.

use std::ops::Range;

use warpsmith_ops::prelude::*;
use warpsmith_tensor::{Error, Result, Rng, Tensor};

use super::{BertTask, EncoderBatch, Task};

/// A span of tokens, both ends within it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// The first token.
    pub start: usize,
    /// The last token.
    pub end: usize,
    /// The logit of the start and that of the end, added.
    pub score: f64,
}

impl BertTask {
    /// The mean of -ln p over the starts and ends of the spans of sequences, one for each, in nats: tokens within the sequence, both
    /// ends included. What has no answer has the span of its first token, (0, 0).
    ///
    /// # Errors
    /// If the model is not for answers, there are not as many spans as sequences, or a span does not lie in its sequence.
    pub fn span_loss(
        &self,
        batch: &EncoderBatch,
        spans: &[(usize, usize)],
        rng: Option<&Rng>,
    ) -> Result<Tensor> {
        if self.task() != Task::QuestionAnswering {
            return Err(Error::value("span_loss", "the model has no head for answers")
                .hint("make it with Task::QuestionAnswering"));
        }
        let lengths = batch.lengths.to_vec::<i64>()?;
        let lies_within = |((start, end), length): (&(usize, usize), &i64)| {
            start <= end && i64::try_from(*end).is_ok_and(|end| end < *length)
        };
        if spans.len() != lengths.len() || !spans.iter().zip(&lengths).all(lies_within) {
            let problem = format!("spans {spans:?} for sequences of {lengths:?} tokens");
            return Err(Error::value("span_loss", problem).hint("give one span within each sequence"));
        }
        let logits = self.forward(batch, rng)?; // (B, T, 2)
        let (b, t, device) = (logits.dims()[0], logits.dims()[1], self.encoder().device());
        // No answer ends behind its sequence.
        let behind: Vec<bool> = lengths.iter().flat_map(|&n| (0..t).map(move |at| at as i64 >= n)).collect();
        let behind = Tensor::from_vec(behind, &[b, t], device)?;
        let loss_of = |part: usize, places: Vec<i64>| {
            let logits = logits.narrow(2, part, 1)?.squeeze(-1)?; // (B, T)
            let places = Tensor::from_vec(places, &[b], device)?;
            logits.masked_fill(&behind, f64::NEG_INFINITY)?.cross_entropy(&places)
        };
        let starts = loss_of(0, spans.iter().map(|span| span.0 as i64).collect())?;
        let ends = loss_of(1, spans.iter().map(|span| span.1 as i64).collect())?;
        starts.add(&ends)?.mul_scalar(0.5)
    }
}

impl Span {
    /// The span of at most `longest` tokens within `among` whose logits add up to most; the first of equals. `None` if there is none.
    ///
    /// `logits` are (T, 2) in one row: the start's and the end's of each token.
    pub fn best(logits: &[f32], among: Range<usize>, longest: usize) -> Option<Self> {
        let last = among.end.min(logits.len() / 2);
        let mut best: Option<Self> = None;
        for start in among.start..last {
            for end in start..last.min(start + longest) {
                let score = f64::from(logits[2 * start]) + f64::from(logits[2 * end + 1]);
                if best.is_none_or(|best| score > best.score) {
                    best = Some(Self { start, end, score });
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use warpsmith_autograd::no_grad;
    use warpsmith_tensor::{Device, Seed};

    use super::*;
    use crate::bert::{BertConfig, HiddenActivation};

    fn model(task: Task) -> BertTask {
        let config = BertConfig {
            vocab_size: 9,
            hidden_size: 8,
            intermediate_size: 16,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            max_position_embeddings: 6,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            hidden_act: HiddenActivation::Relu,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            initializer_range: 0.5,
            labels: vec!["none".into()],
        };
        BertTask::new(config, task, &Device::Cpu, Seed(3)).unwrap()
    }

    #[test]
    fn the_loss_is_that_of_both_ends_among_the_tokens_of_each_sequence() {
        let (model, rows) = (model(Task::QuestionAnswering), [&[1, 2, 3, 4, 5][..], &[6, 7]]);
        let batch = EncoderBatch::new(&rows, None, &Device::Cpu).unwrap();
        let spans = [(2, 4), (0, 1)];
        let loss = model.span_loss(&batch, &spans, None).unwrap().item().unwrap();
        let mut sum = 0.0;
        for (row, (start, end)) in rows.iter().zip(spans) {
            // Alone, a sequence has nothing behind it.
            let alone = EncoderBatch::new(&[row], None, &Device::Cpu).unwrap();
            let logits = no_grad(|| model.forward(&alone, None)).unwrap().to_vec::<f32>().unwrap();
            for (part, place) in [(0, start), (1, end)] {
                let of_part: Vec<f64> = logits.chunks(2).map(|both| f64::from(both[part])).collect();
                sum += of_part.iter().map(|x| x.exp()).sum::<f64>().ln() - of_part[place];
            }
        }
        assert!((loss - sum / 4.0).abs() < 1e-6, "{loss}, not {}", sum / 4.0);
    }

    #[test]
    fn a_span_that_lies_nowhere_is_refused() {
        let batch = EncoderBatch::new(&[&[1, 2, 3], &[4]], None, &Device::Cpu).unwrap();
        let asked = model(Task::QuestionAnswering);
        for spans in [&[(0, 0)][..], &[(0, 0), (0, 1)], &[(2, 1), (0, 0)]] {
            let error = asked.span_loss(&batch, spans, None).unwrap_err().to_string();
            assert!(error.contains("[3, 1] tokens"), "{error}");
        }
        let error = model(Task::MaskedLm).span_loss(&batch, &[(0, 0), (0, 0)], None).unwrap_err();
        assert!(error.to_string().contains("no head for answers"), "{error}");
    }

    #[test]
    fn the_best_span_lies_among_what_may_answer_and_does_not_run_backwards() {
        // The best start stands behind the best end, and the best of all outside.
        let logits = [9.0, 9.0, 1.0, 0.0, 0.0, 4.0, 5.0, 0.5, 0.0, 2.0, 0.0, 1.5];
        assert_eq!(Span::best(&logits, 1..6, 9), Some(Span { start: 3, end: 4, score: 7.0 }));
        assert_eq!(Span::best(&logits, 1..6, 1), Some(Span { start: 3, end: 3, score: 5.5 }));
        assert_eq!(Span::best(&logits, 1..3, 9), Some(Span { start: 1, end: 2, score: 5.0 }));
        assert_eq!(Span::best(&logits, 0..99, 9), Some(Span { start: 0, end: 0, score: 18.0 }));
        assert_eq!((Span::best(&logits, 4..4, 9), Span::best(&logits, 0..6, 0)), (None, None));
    }
}
