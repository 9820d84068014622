//! From logits to a token: the parameters of Hugging Face's `generate`, in a fixed order.
//!
//! Order: penalties → typical_p → temperature → top_k → top_p → min_p, then one draw. [`Sampling::order`] prints it.

mod typical;

use warpsmith_ops::prelude::*;
use warpsmith_ops::sample::{FINE, HAS_NAN, Sample};
use warpsmith_tensor::{DType, Device, Error, Result, Seed, Tensor};

use crate::Penalties;

/// How the next token is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// How many tokens to write at most.
    pub max_new_tokens: usize,
    /// Logits are divided by this; 0 takes the likeliest token.
    pub temperature: f64,
    /// Only this many of the likeliest tokens stay; 0: all.
    pub top_k: usize,
    /// Only the likeliest tokens that together reach this probability stay (Holtzman et al. 2019, arXiv 1904.09751,
    /// §3.1); 1: all.
    pub top_p: f64,
    /// Only tokens with at least this share of the likeliest one's probability stay; 0: all.
    pub min_p: f64,
    /// Only the tokens stay whose surprise is nearest to the expected one and which together reach this probability
    /// (Meister et al. 2022, arXiv 2202.00666, §3); 1: all.
    pub typical_p: f64,
    /// What is done to the logits before anything else.
    pub penalties: Penalties,
    /// The seed: the same seed, prompt and model give the same tokens.
    pub seed: Seed,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            max_new_tokens: 100,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            penalties: Penalties::default(),
            seed: Seed(1337),
        }
    }
}

impl Sampling {
    /// Always the likeliest token.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    /// The same with another limit of tokens.
    pub fn max_new_tokens(self, max_new_tokens: usize) -> Self {
        Self { max_new_tokens, ..self }
    }

    /// The same with another temperature.
    pub fn temperature(self, temperature: f64) -> Self {
        Self { temperature, ..self }
    }

    /// The same with another seed.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Seed(seed), ..self }
    }

    /// The steps in the order in which they are applied.
    pub fn order() -> String {
        format!("{} → typical_p → temperature → top_k → top_p → min_p", Penalties::ORDER)
    }

    /// The steps that change something, in their order, each with its number.
    pub fn steps(&self) -> String {
        let mut steps = self.penalties.steps();
        let mut add = |name: &str, value: f64, neutral: f64| {
            if value != neutral {
                steps.push(format!("{name} {value}"));
            }
        };
        match self.temperature == 0.0 {
            true => steps.push("the likeliest token".into()),
            false => {
                add("typical_p", self.typical_p, 1.0);
                add("temperature", self.temperature, 1.0);
                add("top_k", self.top_k as f64, 0.0);
                add("top_p", self.top_p, 1.0);
                add("min_p", self.min_p, 0.0);
                steps.push("a draw".into());
            }
        }
        steps.join(" → ")
    }

    /// An error that names the first parameter outside its range.
    pub fn validate(&self) -> Result<()> {
        self.draw(0).validate("sampling")?;
        if !(self.typical_p > 0.0 && self.typical_p <= 1.0) {
            let message = format!("typical_p = {} must be above 0 and at most 1", self.typical_p);
            return Err(Error::value("sampling", message));
        }
        self.penalties.validate()
    }

    /// Draw number `draw`.
    fn draw(&self, draw: u64) -> Sample {
        let Self { temperature, top_k, top_p, min_p, seed, .. } = *self;
        Sample { temperature, top_k, top_p, min_p, seed, stream: 0, draw }
    }
}

/// Draws tokens: draw number i of a sampler is a pure function of (seed, i).
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    prompt: usize,
    draws: u64,
}

impl Sampler {
    /// A sampler at its first draw.
    ///
    /// # Errors
    /// If a parameter is outside its range.
    pub fn new(sampling: Sampling) -> Result<Self> {
        sampling.validate()?;
        Ok(Self { sampling, prompt: 0, draws: 0 })
    }

    /// The same sampler where the first `prompt` of the tokens seen are not of its own writing.
    pub fn after_prompt(self, prompt: usize) -> Self {
        Self { prompt, ..self }
    }

    /// How it draws.
    pub(crate) fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// Chooses the token after `seen`, given its logits (V).
    ///
    /// # Errors
    /// If a logit is NaN, or none is above -∞.
    pub fn next(&mut self, logits: &[f32], seen: &[u32]) -> Result<u32> {
        self.next_of(&Tensor::from_slice(logits, &[logits.len()], &Device::Cpu)?, seen)
    }

    /// As [`Sampler::next`], for one row of logits (…, V) on any device: only the token comes to the host, unless there are
    /// penalties or `typical_p`. The same logits give the same token everywhere (see `warpsmith_ops::sample`).
    ///
    /// # Errors
    /// As [`Sampler::next`], and if there is more than one row.
    pub fn next_of(&mut self, logits: &Tensor, seen: &[u32]) -> Result<u32> {
        let how = self.draw();
        let drawn = match self.is_plain() {
            true => logits.detach().sample(how)?,
            false => self.changed(logits, seen)?.sample(how)?,
        };
        self.take(&drawn)
    }

    /// The token of what [`Sampler::draw`] drew: one of each (tokens, flags).
    pub(crate) fn take(&mut self, [tokens, flags]: &[Tensor; 2]) -> Result<u32> {
        let shape = *tokens.shape();
        let (tokens, flags) = (tokens.to_vec::<u32>()?, flags.to_vec::<u32>()?);
        let (&[token], &[flag]) = (tokens.as_slice(), flags.as_slice()) else {
            let message = format!("one row of logits gives one token, here are {}", tokens.len());
            return Err(Error::shape("sampling", &[shape], message));
        };
        match flag {
            FINE => {
                self.draws += u64::from(self.sampling.temperature > 0.0);
                Ok(token)
            }
            HAS_NAN => Err(Error::value("sampling", format!("the logit of token {token} is NaN"))
                .hint("the model's weights are broken, or training diverged")),
            _ => Err(Error::value("sampling", "every token has a logit of -∞")),
        }
    }

    /// Whether the logits are drawn from as they are.
    pub(crate) fn is_plain(&self) -> bool {
        self.sampling.penalties.is_none() && !self.is_typical()
    }

    /// The likeliest token is taken whatever its surprise.
    fn is_typical(&self) -> bool {
        self.sampling.typical_p < 1.0 && self.sampling.temperature > 0.0
    }

    /// The next draw.
    pub(crate) fn draw(&self) -> Sample {
        self.sampling.draw(self.draws)
    }

    /// The logits on the host, after what depends on the tokens seen and on all logits together.
    fn changed(&self, logits: &Tensor, seen: &[u32]) -> Result<Tensor> {
        let mut values = logits.to_dtype(DType::F32)?.to_vec::<f32>()?;
        self.sampling.penalties.apply(&mut values, seen, self.prompt.min(seen.len()));
        if self.is_typical() {
            typical::keep(&mut values, self.sampling.temperature, self.sampling.typical_p);
        }
        Tensor::from_slice(&values, logits.dims(), &Device::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, 0.0, 2.0, -1.0];

    fn frequencies(sampling: Sampling, n: usize) -> [f64; 5] {
        let mut sampler = Sampler::new(sampling).unwrap();
        let mut counts = [0.0; 5];
        for _ in 0..n {
            counts[sampler.next(&LOGITS, &[]).unwrap() as usize] += 1.0 / n as f64;
        }
        counts
    }

    /// Pearson's χ² against the exact probabilities, at the 0.1 % level for 4 degrees of freedom.
    #[test]
    fn samples_follow_the_softmax() {
        let n = 20_000;
        for temperature in [0.5, 1.0, 2.0] {
            let observed = frequencies(Sampling { temperature, ..Sampling::default() }, n);
            let weights = LOGITS.map(|l| (l as f64 / temperature).exp());
            let total: f64 = weights.iter().sum();
            let chi: f64 = observed
                .iter()
                .zip(weights)
                .map(|(o, w)| (o - w / total).powi(2) / (w / total) * n as f64)
                .sum();
            assert!(chi < 18.47, "temperature {temperature}: χ² = {chi}");
        }
    }

    #[test]
    fn the_cuts_keep_what_they_should() {
        let kept = |s: Sampling| frequencies(s, 4000).map(|f| f > 0.0);
        assert_eq!(kept(Sampling { top_k: 2, ..Sampling::default() }), [false, true, false, true, false]);
        // e³/Σ = 0.64, (e³+e²)/Σ = 0.87: top_p 0.8 needs two tokens, 0.6 one.
        assert_eq!(kept(Sampling { top_p: 0.8, ..Sampling::default() }), [false, true, false, true, false]);
        assert_eq!(kept(Sampling { top_p: 0.6, ..Sampling::default() }), [false, true, false, false, false]);
        // e⁻² = 0.135: token 0 falls under 0.2 of the likeliest, token 3 (0.37) does not.
        assert_eq!(kept(Sampling { min_p: 0.2, ..Sampling::default() }), [false, true, false, true, false]);
    }

    #[test]
    fn greedy_takes_the_first_of_equals_and_penalties_count() {
        let mut greedy = Sampler::new(Sampling::greedy()).unwrap();
        assert_eq!(greedy.next(&[0.0, 2.0, 2.0], &[]).unwrap(), 1);
        let penalties = Penalties { repetition_penalty: 2.0, ..Penalties::default() };
        let penalised = Sampling { penalties, ..Sampling::greedy() };
        assert_eq!(Sampler::new(penalised).unwrap().next(&LOGITS, &[1, 1]).unwrap(), 3);
    }

    #[test]
    fn steps_that_do_nothing_are_not_told() {
        assert_eq!(Sampling::greedy().steps(), "the likeliest token");
        let penalties =
            Penalties { repetition_penalty: 1.5, no_repeat_ngram_size: 3, ..Penalties::default() };
        let how = Sampling { temperature: 0.5, top_k: 40, typical_p: 0.9, penalties, ..Sampling::default() };
        assert_eq!(
            how.steps(),
            "repetition_penalty 1.5 → no_repeat_ngram_size 3 → typical_p 0.9 → temperature 0.5 → top_k 40 → a draw"
        );
        let mut told = Sampling::order();
        told.retain(|c| c != ' ');
        let names: Vec<&str> = told.split('→').collect();
        let of_step = |step: &str| names.iter().position(|n| step.starts_with(n));
        let places: Vec<_> = how.steps().split(" → ").filter_map(of_step).collect();
        assert!(places.len() == 5 && places.is_sorted(), "{places:?}");
    }

    #[test]
    fn broken_logits_and_parameters_are_errors() {
        let mut sampler = Sampler::new(Sampling::default()).unwrap();
        assert!(sampler.next(&[0.0, f32::NAN], &[]).unwrap_err().to_string().contains("token 1 is NaN"));
        assert!(sampler.next(&[f32::NEG_INFINITY; 3], &[]).is_err());
        assert_eq!(sampler.next(&[f32::INFINITY, 0.0], &[]).unwrap(), 0);
        for bad in [
            Sampling { temperature: -1.0, ..Sampling::default() },
            Sampling { temperature: f64::NAN, ..Sampling::default() },
            Sampling { top_p: 0.0, ..Sampling::default() },
            Sampling { min_p: 2.0, ..Sampling::default() },
            Sampling { typical_p: 0.0, ..Sampling::default() },
            Sampling { typical_p: f64::NAN, ..Sampling::default() },
            Sampling {
                penalties: Penalties { repetition_penalty: 0.0, ..Penalties::default() },
                ..Sampling::default()
            },
        ] {
            assert!(Sampler::new(bad).is_err());
        }
    }
}
