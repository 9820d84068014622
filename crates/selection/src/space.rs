//! The values that settings may take, and the axis on which a numeric one is searched.

use std::fmt;

use crate::{Draws, Error, Result};

/// More points than anybody tries: a grid of that many is a mistake.
const LARGEST_GRID: usize = 1_000_000;

/// One value of a setting.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Whole(u64),
    /// A real number.
    Real(f64),
    /// A word, as flags take it; `true` and `false` too.
    Word(String),
}

impl Value {
    /// The value as a real number, if it is one or a whole one.
    pub fn real(&self) -> Option<f64> {
        match self {
            Self::Whole(number) => Some(*number as f64),
            Self::Real(number) => Some(*number),
            Self::Word(_) => None,
        }
    }
}

impl fmt::Display for Value {
    /// The text that reads back to the same value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Real(number) => write!(f, "{number:?}"),
            Self::Word(word) => f.write_str(word),
        }
    }
}

/// Whether equal steps or equal ratios are alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps.
    #[default]
    Linear,
    /// Equal ratios: for learning rates and widths.
    Log,
}

/// What a setting may be. Ranges hold both of their ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Domain {
    /// A real number.
    Real {
        /// The least.
        low: f64,
        /// The greatest.
        high: f64,
        /// How it is spread.
        scale: Scale,
        /// How many values of it a grid takes.
        points: Option<usize>,
    },
    /// A whole number, of those `step` apart from the least.
    Whole {
        /// The least.
        low: u64,
        /// The greatest.
        high: u64,
        /// The distance of neighbours; 1 on a logarithmic scale.
        step: u64,
        /// How it is spread.
        scale: Scale,
        /// How many values of it a grid takes; all if it is not said.
        points: Option<usize>,
    },
    /// One of these, which have no order.
    Choice(Vec<Value>),
}

impl Domain {
    /// What is wrong with it, and what to write, if anything is.
    fn problem(&self) -> Option<String> {
        let turned = |low: &dyn fmt::Display, high: &dyn fmt::Display| {
            Some(format!("the range goes from {low} to {high}: min must be below max"))
        };
        let flat = "a logarithmic range must begin above 0";
        match self {
            Self::Real { low, high, .. } if !(low.is_finite() && high.is_finite()) => {
                Some("the ends of a range must be finite numbers".into())
            }
            Self::Real { low, high, .. } if low >= high => turned(low, high),
            Self::Whole { low, high, .. } if low >= high => turned(low, high),
            Self::Real { low, scale: Scale::Log, .. } if *low <= 0.0 => Some(flat.into()),
            Self::Whole { low: 0, scale: Scale::Log, .. } => Some(flat.into()),
            Self::Whole { step: 0, .. } => Some("step must be at least 1".into()),
            Self::Whole { low, high, step, .. } if *step > high - low => {
                Some(format!("step {step} leaves only {low}: write a smaller step"))
            }
            Self::Whole { step, scale: Scale::Log, .. } if *step != 1 => {
                Some("step is for a linear range: leave it out, or name the values in a list".into())
            }
            Self::Real { points: Some(0 | 1), .. } | Self::Whole { points: Some(0 | 1), .. } => {
                Some("points must be at least 2: both ends".into())
            }
            Self::Choice(values) if values.is_empty() => Some("the list is empty: name the values".into()),
            Self::Choice(values) => {
                let twice = values.iter().enumerate().find(|(i, value)| values[..*i].contains(value));
                twice.map(|(_, value)| format!("{value} stands in the list twice"))
            }
            _ => None,
        }
    }

    /// Whether a value is one of its values.
    pub fn contains(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Real { low, high, .. }, Value::Real(number)) => (low..=high).contains(&number),
            (Self::Whole { low, high, step, .. }, Value::Whole(number)) => {
                (low..=high).contains(&number) && (number - low).is_multiple_of(*step)
            }
            (Self::Choice(values), value) => values.contains(value),
            _ => false,
        }
    }

    /// The values that a grid takes, in order.
    fn grid(&self) -> Result<Vec<Value>, String> {
        match self {
            Self::Choice(values) => Ok(values.clone()),
            Self::Whole { low, high, step, points: None, .. } => {
                let number = (high - low) / step + 1;
                if number > LARGEST_GRID as u64 {
                    return Err(format!("a grid of {number} values: write points = N"));
                }
                Ok((0..number).map(|i| Value::Whole(low + i * step)).collect())
            }
            Self::Real { points: None, .. } => {
                Err("a grid takes a number of values from a range: write points = N".into())
            }
            Self::Real { points: Some(points), .. } | Self::Whole { points: Some(points), .. } => {
                let Some(axis) = Axis::of(self) else { return Ok(Vec::new()) };
                let last = (points - 1) as f64;
                let mut values: Vec<Value> = (0..*points).map(|i| axis.inner(i as f64 / last)).collect();
                values.dedup();
                Ok(values)
            }
        }
    }

    /// A value at random: uniform on its scale.
    pub(crate) fn draw(&self, draws: &mut Draws) -> Value {
        match (Axis::of(self), self) {
            (Some(axis), _) => axis.value(axis.low + draws.unit() * axis.range()),
            (None, Self::Choice(values)) => values[draws.below(values.len())].clone(),
            (None, _) => Value::Word(String::new()),
        }
    }
}

/// The line on which a numeric setting is searched: the number itself or its logarithm. A whole number is the stretch that is
/// rounded to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis<'d> {
    domain: &'d Domain,
    /// The lower end of the line.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl<'d> Axis<'d> {
    /// The line of a numeric setting.
    pub fn of(domain: &'d Domain) -> Option<Self> {
        let (low, high) = match domain {
            Domain::Choice(_) => return None,
            Domain::Real { low, high, scale: Scale::Linear, .. } => (*low, *high),
            Domain::Real { low, high, scale: Scale::Log, .. } => (libm::log(*low), libm::log(*high)),
            Domain::Whole { low, high, step, scale: Scale::Linear, .. } => {
                (-0.5, ((high - low) / step) as f64 + 0.5)
            }
            Domain::Whole { low, high, scale: Scale::Log, .. } => {
                (libm::log(*low as f64 - 0.5), libm::log(*high as f64 + 0.5))
            }
        };
        Some(Self { domain, low, high })
    }

    /// Its length.
    pub fn range(&self) -> f64 {
        self.high - self.low
    }

    /// The value at a place of the line.
    pub fn value(&self, place: f64) -> Value {
        match self.domain {
            Domain::Real { low, high, scale, .. } => {
                let number = if *scale == Scale::Log { libm::exp(place) } else { place };
                Value::Real(number.clamp(*low, *high))
            }
            Domain::Whole { low, high, step, scale, .. } => {
                let index = match scale {
                    Scale::Linear => place.round().max(0.0) as u64,
                    Scale::Log => (libm::exp(place).round().max(0.0) as u64).saturating_sub(*low),
                };
                Value::Whole(low + index.min((high - low) / step) * step)
            }
            Domain::Choice(_) => Value::Word(String::new()),
        }
    }

    /// The value at a share of the way from the least to the greatest.
    fn inner(&self, share: f64) -> Value {
        match self.domain {
            // Logarithm and exponential would miss the ends by a rounding.
            Domain::Real { low, .. } if share == 0.0 => Value::Real(*low),
            Domain::Real { high, .. } if share == 1.0 => Value::Real(*high),
            Domain::Whole { low, high, scale: Scale::Log, .. } => {
                let (low, high) = (libm::log(*low as f64), libm::log(*high as f64));
                self.value(low + share * (high - low))
            }
            Domain::Whole { .. } => self.value(self.low + 0.5 + share * (self.range() - 1.0)),
            _ => self.value(self.low + share * self.range()),
        }
    }

    /// The place of a value.
    pub fn place(&self, value: &Value) -> f64 {
        match (self.domain, value) {
            (Domain::Real { scale: Scale::Log, .. } | Domain::Whole { scale: Scale::Log, .. }, value) => {
                libm::log(value.real().unwrap_or(f64::NAN))
            }
            (Domain::Whole { low, step, .. }, Value::Whole(number)) => {
                (number.saturating_sub(*low) / step) as f64
            }
            (_, value) => value.real().unwrap_or(f64::NAN),
        }
    }

    /// The stretch that is rounded to a value; `None` for a real number, which is a place.
    pub fn stretch(&self, value: &Value) -> Option<(f64, f64)> {
        match (self.domain, value) {
            (Domain::Whole { scale: Scale::Linear, .. }, value) => {
                Some((self.place(value) - 0.5, self.place(value) + 0.5))
            }
            (Domain::Whole { .. }, Value::Whole(number)) => {
                Some((libm::log(*number as f64 - 0.5), libm::log(*number as f64 + 0.5)))
            }
            _ => None,
        }
    }
}

/// Settings and what they may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    parameters: Vec<(String, Domain)>,
}

impl Space {
    /// A space of these settings, in their order.
    ///
    /// # Errors
    /// If there is none, or one has a list without values or with a value twice, a range that is turned round or endless, or
    /// one that begins at 0 on a logarithmic scale.
    pub fn new(parameters: Vec<(String, Domain)>) -> Result<Self> {
        if parameters.is_empty() {
            return Err(Error::EmptySpace);
        }
        for (name, domain) in &parameters {
            if let Some(problem) = domain.problem() {
                return Err(Error::Domain { name: name.clone(), problem });
            }
        }
        Ok(Self { parameters })
    }

    /// The settings, in their order.
    pub fn parameters(&self) -> &[(String, Domain)] {
        &self.parameters
    }

    /// The values of each setting in a grid.
    ///
    /// # Errors
    /// If a range does not say how many, or there would be more than a million points.
    pub fn grid(&self) -> Result<Vec<Vec<Value>>> {
        let mut axes: Vec<Vec<Value>> = Vec::new();
        for (name, domain) in &self.parameters {
            let at = |problem| Error::Domain { name: name.clone(), problem };
            axes.push(domain.grid().map_err(at)?);
            let points = axes.iter().try_fold(1_usize, |all, axis| all.checked_mul(axis.len()));
            if points.is_none_or(|points| points > LARGEST_GRID) {
                return Err(at("with it the grid has more than a million points: write fewer".into()));
            }
        }
        Ok(axes)
    }
}

#[cfg(test)]
mod tests;
