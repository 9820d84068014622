//! What is done to logits before any token is chosen: biases and penalties, in a fixed order.

use std::collections::BTreeMap;

use warpsmith_tensor::{Error, Result};

/// Changes to logits that depend on what has been said; the default changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Penalties {
    /// Added to the logits of these tokens; -∞ forbids one.
    pub logit_bias: BTreeMap<u32, f32>,
    /// Logits of tokens already seen, in prompt or text, are divided by this if positive, multiplied if negative (Keskar et
    /// al. 2019, arXiv 1909.05858, §4.1); 1: no penalty.
    pub repetition_penalty: f64,
    /// Taken from the logits of tokens that the text (not the prompt) has; 0: no penalty.
    pub presence_penalty: f64,
    /// Taken from the logits of tokens as often as the text (not the prompt) has them; 0: no penalty.
    pub frequency_penalty: f64,
    /// No run of so many tokens may come twice, the prompt counted; 0: any may.
    pub no_repeat_ngram_size: usize,
}

impl Default for Penalties {
    fn default() -> Self {
        Self {
            logit_bias: BTreeMap::new(),
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            no_repeat_ngram_size: 0,
        }
    }
}

impl Penalties {
    /// The steps in the order in which they are applied.
    pub const ORDER: &'static str =
        "logit_bias → repetition_penalty → presence_penalty → frequency_penalty → no_repeat_ngram_size";

    /// An error that names the first parameter outside its range.
    ///
    /// # Errors
    /// If the repetition penalty is not above 0, a penalty is not finite, or a bias is NaN or +∞.
    pub fn validate(&self) -> Result<()> {
        let error = |message: String| Err(Error::value("sampling", message));
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite()) {
            return error(format!("repetition_penalty = {} must be above 0", self.repetition_penalty));
        }
        for (name, value) in
            [("presence_penalty", self.presence_penalty), ("frequency_penalty", self.frequency_penalty)]
        {
            if !value.is_finite() {
                return error(format!("{name} = {value} must be a number"));
            }
        }
        match self.logit_bias.iter().find(|(_, bias)| bias.is_nan() || **bias == f32::INFINITY) {
            Some((token, bias)) => error(format!("logit_bias of token {token} is {bias}")),
            None => Ok(()),
        }
    }

    /// The steps that change something, in their order, each with its number.
    pub fn steps(&self) -> Vec<String> {
        let bias = match self.logit_bias.len() {
            0 => None,
            count => Some(format!("logit_bias of {count}")),
        };
        let number =
            |name: &str, value: f64, neutral: f64| (value != neutral).then(|| format!("{name} {value}"));
        [
            bias,
            number("repetition_penalty", self.repetition_penalty, 1.0),
            number("presence_penalty", self.presence_penalty, 0.0),
            number("frequency_penalty", self.frequency_penalty, 0.0),
            number("no_repeat_ngram_size", self.no_repeat_ngram_size as f64, 0.0),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether nothing is changed.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Changes the logits (V) of the token after `seen`, of which all from `prompt` on are text.
    pub fn apply(&self, logits: &mut [f32], seen: &[u32], prompt: usize) {
        for (&token, bias) in &self.logit_bias {
            at(logits, token, |logit| logit + bias);
        }
        if self.repetition_penalty != 1.0 {
            let penalty = self.repetition_penalty as f32;
            for token in counts(seen).into_keys() {
                at(logits, token, |logit| if logit > 0.0 { logit / penalty } else { logit * penalty });
            }
        }
        if self.presence_penalty != 0.0 || self.frequency_penalty != 0.0 {
            for (token, count) in counts(seen.get(prompt..).unwrap_or_default()) {
                let penalty = self.presence_penalty + self.frequency_penalty * f64::from(count);
                at(logits, token, |logit| logit - penalty as f32);
            }
        }
        for token in self.forbidden(seen) {
            at(logits, token, |_| f32::NEG_INFINITY);
        }
    }

    /// The tokens that would complete a run of `no_repeat_ngram_size` that has been there.
    fn forbidden<'a>(&self, seen: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
        let n = self.no_repeat_ngram_size;
        let start = (seen.len() + 1).checked_sub(n).filter(|_| n > 0);
        // The run so far, short of its last token; `windows` of 0 does not exist.
        let begun = start.map_or(seen, |start| &seen[start..]);
        let runs = start.map(|_| seen.windows(n));
        runs.into_iter().flatten().filter(move |run| run[..n - 1] == *begun).map(move |run| run[n - 1])
    }
}

fn at(logits: &mut [f32], token: u32, f: impl Fn(f32) -> f32) {
    if let Some(logit) = logits.get_mut(token as usize) {
        *logit = f(*logit);
    }
}

fn counts(tokens: &[u32]) -> BTreeMap<u32, u32> {
    let mut counts = BTreeMap::new();
    tokens.iter().for_each(|&token| *counts.entry(token).or_insert(0) += 1);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(penalties: Penalties, seen: &[u32], prompt: usize) -> Vec<f32> {
        let mut logits = vec![1.0, 2.0, -1.0, 0.5];
        penalties.apply(&mut logits, seen, prompt);
        logits
    }

    #[test]
    fn each_penalty_does_what_its_name_says() {
        let none = Penalties::default();
        assert_eq!(applied(none.clone(), &[0, 1, 2, 3], 0), [1.0, 2.0, -1.0, 0.5]);
        let repetition = Penalties { repetition_penalty: 2.0, ..none.clone() };
        assert_eq!(applied(repetition, &[1, 2, 1, 9], 2), [1.0, 1.0, -2.0, 0.5]);
        let presence = Penalties { presence_penalty: 0.5, ..none.clone() };
        assert_eq!(applied(presence, &[0, 1, 2, 1], 1), [1.0, 1.5, -1.5, 0.5]);
        let frequency = Penalties { frequency_penalty: 0.5, ..none.clone() };
        assert_eq!(applied(frequency, &[0, 1, 2, 1], 1), [1.0, 1.0, -1.5, 0.5]);
        let bias = Penalties { logit_bias: BTreeMap::from([(0, 1.0), (7, 3.0)]), ..none };
        assert_eq!(applied(bias, &[], 0), [2.0, 2.0, -1.0, 0.5]);
    }

    #[test]
    fn no_run_comes_twice() {
        let gone = |n, seen: &[u32]| {
            let logits = applied(Penalties { no_repeat_ngram_size: n, ..Penalties::default() }, seen, 0);
            (0..4).filter(|&i| logits[i] == f32::NEG_INFINITY).collect::<Vec<_>>()
        };
        assert_eq!(gone(1, &[2, 0, 2]), [0, 2]);
        assert_eq!(gone(2, &[1, 2, 0, 1]), [2]);
        assert_eq!(gone(2, &[1, 1]), [1]);
        assert_eq!(gone(3, &[0, 1, 2, 3, 0, 1]), [2]);
        assert_eq!(gone(3, &[0, 1]), [0; 0]);
        assert_eq!(gone(9, &[0, 1]), [0; 0]);
        assert_eq!(gone(0, &[0, 0]), [0; 0]);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let none = Penalties::default();
        for bad in [
            Penalties { repetition_penalty: 0.0, ..none.clone() },
            Penalties { presence_penalty: f64::NAN, ..none.clone() },
            Penalties { frequency_penalty: f64::INFINITY, ..none.clone() },
            Penalties { logit_bias: BTreeMap::from([(3, f32::NAN)]), ..none.clone() },
        ] {
            assert!(bad.validate().is_err());
        }
        let forbidden = Penalties { logit_bias: BTreeMap::from([(3, f32::NEG_INFINITY)]), ..none };
        forbidden.validate().unwrap();
        assert_eq!(applied(forbidden, &[], 0)[3], f32::NEG_INFINITY);
    }
}
