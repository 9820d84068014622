//! Which of several endings a model finds likeliest, as HellaSwag and its kin are scored.

/// The loss of one option behind its context.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptionLoss {
    /// Negative log-likelihood of its tokens, in nats, summed.
    pub nats: f64,
    /// How many tokens it has.
    pub tokens: usize,
}

/// How options of different lengths are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By the likelihood of the whole option (`acc`).
    Sum,
    /// By the likelihood per token (`acc_norm`; what llm.c reports).
    Mean,
}

/// The likeliest option, the first of several that are equal. A loss of NaN, or of no tokens by [`By::Mean`], is never
/// chosen; `None` if there is no other.
pub fn choose(options: &[OptionLoss], by: By) -> Option<usize> {
    let loss = |option: &OptionLoss| match by {
        By::Sum => option.nats,
        By::Mean => option.nats / option.tokens as f64,
    };
    let losses = options.iter().map(loss).enumerate().filter(|(_, loss)| !loss.is_nan());
    losses.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_option_wins_by_the_mean_and_a_short_one_by_the_sum() {
        let options = [(2.0, 1), (3.0, 3), (2.0, 1)].map(|(nats, tokens)| OptionLoss { nats, tokens });
        assert_eq!(choose(&options, By::Sum), Some(0));
        assert_eq!(choose(&options, By::Mean), Some(1));
        let broken = [(f64::NAN, 1), (0.0, 0)].map(|(nats, tokens)| OptionLoss { nats, tokens });
        assert_eq!(choose(&broken, By::Mean), None);
        assert_eq!(choose(&broken, By::Sum), Some(1));
        assert_eq!(choose(&[], By::Sum), None);
    }
}
