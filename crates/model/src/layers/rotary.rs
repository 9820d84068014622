//! Rotary positions and the ways to stretch them: by which angle each pair of a head turns at each position.
//!
//! Sources: Su et al., *RoFormer*, 2021, arXiv 2104.09864; Chen et al., *Extending Context Window … via Position
//! Interpolation*, 2023, arXiv 2306.15595 (linear); Peng et al., *YaRN*, 2023, arXiv 2309.00071, §3; Llama 3.1's
//! `rope_scaling`; the numbers are those of Hugging Face transformers' rope types of the same names.

use std::f64::consts::TAU;

use warpsmith_ops::prelude::*;
use warpsmith_ops::rope::Pairing;
use warpsmith_tensor::{Device, Result, Tensor};

/// Rotary positions: the base, and how they are stretched.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// θ, the base of the wavelengths.
    pub theta: f64,
    /// How positions beyond those of the first training are reached.
    pub scaling: Scaling,
}

/// How rotary frequencies θ^(-2i/D) are changed for longer sequences.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// All are divided by a factor.
    Linear {
        /// By how much.
        factor: f64,
    },
    /// The base grows once a sequence is longer than `max_position_embeddings` (NTK-aware scaling). The length is that of
    /// the whole sequence, or the capacity of the cache: so every position of one text turns by the same base.
    Dynamic {
        /// By how much the context grows.
        factor: f64,
    },
    /// Long waves are divided by the factor, short ones kept, those between in part.
    Llama3 {
        /// By how much long waves are stretched.
        factor: f64,
        /// Waves longer than `original / low_freq_factor` are stretched whole.
        low_freq_factor: f64,
        /// Waves shorter than `original / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// The context of the first training.
        original: usize,
    },
    /// As Llama 3's in intent, with a linear ramp over the pairs, and a factor on all cosines and sines.
    Yarn {
        /// By how much long waves are stretched.
        factor: f64,
        /// The context of the first training.
        original: usize,
        /// Pairs that turn more often than this within `original` are kept.
        beta_fast: f64,
        /// Pairs that turn less often than this within `original` are stretched whole.
        beta_slow: f64,
        /// What cosines and sines are multiplied by; 0.1·ln(factor) + 1 if `None`.
        attention_factor: Option<f64>,
    },
}

impl Scaling {
    /// Llama 3.1's, and that of those that came after it, whose factors differ.
    pub(crate) fn of_llama3(factor: f64) -> Self {
        Self::Llama3 { factor, low_freq_factor: 1.0, high_freq_factor: 4.0, original: 8192 }
    }
}

impl Rope {
    /// The frequency of each pair of a head of width D, and the factor on cosines and sines, for sequences of at most
    /// `length` positions in a model of `context` positions.
    pub(crate) fn frequencies(&self, width: usize, length: usize, context: usize) -> (Vec<f64>, f64) {
        let pairs = 0..width / 2;
        let plain = |theta: f64| {
            pairs.clone().map(|i| theta.powf(-2.0 * i as f64 / width as f64)).collect::<Vec<f64>>()
        };
        match &self.scaling {
            Scaling::None => (plain(self.theta), 1.0),
            Scaling::Linear { factor } => (plain(self.theta).into_iter().map(|f| f / factor).collect(), 1.0),
            Scaling::Dynamic { factor } => {
                let stretch = factor * length.max(context) as f64 / context as f64 - (factor - 1.0);
                let width = width as f64;
                (plain(self.theta * stretch.powf(width / (width - 2.0))), 1.0)
            }
            Scaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => {
                let stretch = |f: f64| {
                    // How much of the wave is kept: 0 for long waves, 1 for short ones.
                    let waves = *original as f64 * f / TAU;
                    let kept = (waves - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    let kept = kept.clamp(0.0, 1.0);
                    (1.0 - kept) * f / factor + kept * f
                };
                (plain(self.theta).into_iter().map(stretch).collect(), 1.0)
            }
            Scaling::Yarn { factor, original, beta_fast, beta_slow, attention_factor } => {
                let pair_of = |turns: f64| {
                    width as f64 * (*original as f64 / (turns * TAU)).ln() / (2.0 * self.theta.ln())
                };
                let low = pair_of(*beta_fast).floor().max(0.0);
                let high = pair_of(*beta_slow).ceil().min(width as f64 - 1.0);
                let span = if high == low { 0.001 } else { high - low };
                let stretch = |(i, f): (usize, f64)| {
                    let stretched = ((i as f64 - low) / span).clamp(0.0, 1.0);
                    stretched * f / factor + (1.0 - stretched) * f
                };
                let own = if *factor > 1.0 { 0.1 * factor.ln() + 1.0 } else { 1.0 };
                let frequencies = plain(self.theta).into_iter().enumerate().map(stretch).collect();
                (frequencies, attention_factor.unwrap_or(own))
            }
        }
    }

    /// By what the plain frequency of each pair of a head of width D is divided, if that is the same for sequences of any
    /// length and nothing else is done.
    pub(crate) fn divisors(&self, width: usize) -> Vec<f64> {
        let plain = Self { scaling: Scaling::None, ..self.clone() };
        let [plain, stretched] = [&plain, self].map(|rope| rope.frequencies(width, 1, 1).0);
        plain.iter().zip(stretched).map(|(plain, stretched)| plain / stretched).collect()
    }

    /// Cosines and sines (length, 1, D/2) of all positions of sequences of at most `length`, in heads of width D; see
    /// [`Rope::frequencies`] for the lengths. `None` for plain frequencies, which the op knows.
    pub(crate) fn tables(
        &self,
        width: usize,
        (length, context): (usize, usize),
        device: &Device,
    ) -> Result<Option<Tables>> {
        if self.scaling == Scaling::None {
            return Ok(None);
        }
        let (frequencies, factor) = self.frequencies(width, length, context);
        let table = |f: fn(f64) -> f64| {
            let angles = (0..length).flat_map(|p| frequencies.iter().map(move |w| p as f64 * w));
            let values = angles.map(|angle| (f(angle) * factor) as f32).collect();
            Tensor::from_vec(values, &[length, 1, width / 2], device)
        };
        Ok(Some([table(f64::cos)?, table(f64::sin)?]))
    }

    /// The turns of T positions behind `past` others; `tables` are those of [`Rope::tables`].
    pub(crate) fn turns(&self, past: usize, t: usize, tables: Option<&Tables>) -> Result<Turns> {
        match tables {
            None => Ok(Turns::Plain { theta: self.theta, past }),
            Some([cos, sin]) => {
                let rows = |table: &Tensor| table.slice(0, past, t, 1);
                Ok(Turns::Tables(Box::new([rows(cos)?, rows(sin)?])))
            }
        }
    }

    /// The turns of a single token whose position the device knows, below `limit`.
    pub(crate) fn turns_at(&self, position: &Tensor, limit: usize, tables: Option<&Tables>) -> Result<Turns> {
        match tables {
            None => Ok(Turns::At { theta: self.theta, position: position.clone(), limit }),
            Some([cos, sin]) => {
                let row = |table: &Tensor| table.index_select(0, position);
                Ok(Turns::Tables(Box::new([row(cos)?, row(sin)?])))
            }
        }
    }
}

/// Cosines and sines of positions: (positions, 1, D/2) each.
pub(crate) type Tables = [Tensor; 2];

/// By how much the heads of certain positions turn.
#[derive(Clone, Debug)]
pub(crate) enum Turns {
    /// By plain frequencies, which the op knows.
    Plain {
        /// The base.
        theta: f64,
        /// The first position.
        past: usize,
    },
    /// By plain frequencies, at positions that the device knows.
    At {
        /// The base.
        theta: f64,
        /// Those of the tokens: (T,).
        position: Tensor,
        /// One more than the last that may come.
        limit: usize,
    },
    /// By tables (T, 1, D/2) of cosines and of sines.
    Tables(Box<Tables>),
}

impl Turns {
    /// Whether heads may be rounded, as products take them, before they turn.
    pub(crate) fn take_rounded(&self) -> bool {
        !matches!(self, Self::Tables(_))
    }

    /// x (B, T, H, D) → (B, T, H, D), pairs being (i, i + D/2).
    pub(crate) fn turn(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Plain { theta, past } => x.rope(Pairing::Halves, *theta, *past),
            Self::At { theta, position, limit } => x.rope_at(Pairing::Halves, *theta, position, *limit),
            Self::Tables(tables) => {
                let [cos, sin] = &**tables;
                let half = x.dims()[3] / 2;
                let halves = x.split(-1, &[half, half])?; // 2 × (B, T, H, D/2)
                let (a, b) = (&halves[0], &halves[1]);
                let first = a.mul(cos)?.sub(&b.mul(sin)?)?;
                let second = b.mul(cos)?.add(&a.mul(sin)?)?;
                first.cat(&[&second], -1)
            }
        }
    }
}
