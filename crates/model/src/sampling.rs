//! From logits to a token: the parameters of Hugging Face's `generate`, in a fixed order.
//!
//! Order: repetition penalty → temperature → top_k → top_p → min_p, then one draw. [`Sampling::order`] prints it.

use warpsmith_tensor::{Error, Result, Seed, rng};

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
    /// Logits of tokens already seen are divided by this if positive, multiplied if negative (Keskar et al. 2019,
    /// arXiv 1909.05858, §4.1); 1: no penalty.
    pub repetition_penalty: f64,
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
            repetition_penalty: 1.0,
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
    pub fn order() -> &'static str {
        "repetition_penalty → temperature → top_k → top_p → min_p"
    }

    /// An error that names the first parameter outside its range.
    pub fn validate(&self) -> Result<()> {
        let error = |message: String| Err(Error::value("sampling", message));
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return error(format!("temperature = {} must be 0 or more", self.temperature));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return error(format!("top_p = {} must be above 0 and at most 1", self.top_p));
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return error(format!("min_p = {} must be in [0, 1]", self.min_p));
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite()) {
            return error(format!("repetition_penalty = {} must be above 0", self.repetition_penalty));
        }
        Ok(())
    }
}

/// Draws tokens: draw number i of a sampler is a pure function of (seed, i).
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    draws: u64,
}

impl Sampler {
    /// A sampler at its first draw.
    ///
    /// # Errors
    /// If a parameter is outside its range.
    pub fn new(sampling: Sampling) -> Result<Self> {
        sampling.validate()?;
        Ok(Self { sampling, draws: 0 })
    }

    /// Chooses the token after `seen`, given its logits (V).
    ///
    /// # Errors
    /// If a logit is NaN, or none is above -∞.
    pub fn next(&mut self, logits: &[f32], seen: &[u32]) -> Result<u32> {
        if let Some(at) = logits.iter().position(|v| v.is_nan()) {
            return Err(Error::value("sampling", format!("the logit of token {at} is NaN"))
                .hint("the model's weights are broken, or training diverged"));
        }
        let mut logits = logits.to_vec();
        self.penalise(&mut logits, seen);
        // Likeliest first; equal logits in the order of ids, so that ties always fall the same way.
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        let likelier = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
        if self.sampling.temperature == 0.0 {
            return order
                .into_iter()
                .min_by(likelier)
                .ok_or_else(|| Error::value("sampling", "there are no logits"));
        }
        if self.sampling.top_k > 0 && self.sampling.top_k < order.len() {
            order.select_nth_unstable_by(self.sampling.top_k - 1, likelier);
            order.truncate(self.sampling.top_k);
        }
        order.sort_unstable_by(likelier);
        let probabilities = self.probabilities(&logits, &order)?;
        let bits = rng::bits(self.sampling.seed, 0, self.draws);
        self.draws += 1;
        Ok(draw(&order, &probabilities, bits))
    }

    fn penalise(&self, logits: &mut [f32], seen: &[u32]) {
        let penalty = self.sampling.repetition_penalty as f32;
        if penalty == 1.0 {
            return;
        }
        let mut unique = seen.to_vec();
        unique.sort_unstable();
        unique.dedup();
        for token in unique {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }

    /// Softmax at the temperature over the tokens of `order` (likeliest first), cut by top_p and min_p, not normalised
    /// again.
    fn probabilities(&self, logits: &[f32], order: &[u32]) -> Result<Vec<f64>> {
        let max = order.first().map_or(f32::NEG_INFINITY, |&t| logits[t as usize]);
        if max == f32::NEG_INFINITY {
            return Err(Error::value("sampling", "every token has a logit of -∞"));
        }
        let weight = |&t: &u32| ((logits[t as usize] as f64 - max as f64) / self.sampling.temperature).exp();
        let weights: Vec<f64> = order.iter().map(weight).map(|w| if w.is_nan() { 1.0 } else { w }).collect();
        let total: f64 = weights.iter().sum();
        let mut before = 0.0;
        let kept = weights.iter().take_while(|&&w| {
            let keep = before / total < self.sampling.top_p && w >= self.sampling.min_p * weights[0];
            before += w;
            keep
        });
        Ok(kept.copied().collect())
    }
}

/// The token at a uniform point of the summed weights.
fn draw(order: &[u32], weights: &[f64], bits: u32) -> u32 {
    let point = (bits as f64 + 0.5) / 4_294_967_296.0 * weights.iter().sum::<f64>();
    let mut sum = 0.0;
    for (&token, &weight) in order.iter().zip(weights) {
        sum += weight;
        if point < sum {
            return token;
        }
    }
    // Rounding may leave the point at the very end: the last token that could be drawn.
    order[weights.len() - 1]
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
        let penalised = Sampling { repetition_penalty: 2.0, ..Sampling::greedy() };
        assert_eq!(Sampler::new(penalised).unwrap().next(&LOGITS, &[1, 1]).unwrap(), 3);
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
            Sampling { repetition_penalty: 0.0, ..Sampling::default() },
        ] {
            assert!(Sampler::new(bad).is_err());
        }
    }
}
