//! What to try next.

use crate::space::{Space, Value};
use crate::tpe::Tpe;
use crate::{Draws, Result};

/// What came of a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// A value for each setting of the space, in its order.
    pub point: Vec<Value>,
    /// The loss, which is to be small; `None` if the point could not be tried to its end.
    pub loss: Option<f64>,
}

impl Observation {
    /// Its loss, if that is a number to compare.
    pub fn finite_loss(&self) -> Option<f64> {
        self.loss.filter(|loss| loss.is_finite())
    }
}

/// How points are chosen. Nothing is remembered: a proposal is a function of the space, the seed and what was seen, so that a
/// search that was broken off goes on as it would have.
#[derive(Clone, Debug, PartialEq)]
pub enum Sampler {
    /// Every combination, the last setting moving fastest.
    Grid,
    /// Each setting at random on its scale (Bergstra and Bengio, *Random Search for Hyper-Parameter Optimization*, 2012).
    Random,
    /// Where points that did well are dense, and those that did not are not.
    Tpe(Tpe),
}

impl Default for Sampler {
    fn default() -> Self {
        Self::Tpe(Tpe::default())
    }
}

impl Sampler {
    /// The words for the samplers.
    pub const WORDS: [&str; 3] = ["grid", "random", "tpe"];

    /// The sampler of a word, with its usual settings.
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "grid" => Some(Self::Grid),
            "random" => Some(Self::Random),
            "tpe" => Some(Self::default()),
            _ => None,
        }
    }

    /// The word for it.
    pub fn word(&self) -> &'static str {
        let [grid, random, tpe] = Self::WORDS;
        match self {
            Self::Grid => grid,
            Self::Random => random,
            Self::Tpe(_) => tpe,
        }
    }

    /// How many points there are in all; `None`: no end. For a grid this also says that there is one.
    ///
    /// # Errors
    /// If the space has no grid.
    pub fn points(&self, space: &Space) -> Result<Option<usize>> {
        match self {
            Self::Grid => Ok(Some(space.grid()?.iter().map(Vec::len).product())),
            Self::Random | Self::Tpe(_) => Ok(None),
        }
    }

    /// The point to try after `past`; `None` if a grid is used up, or the space has none.
    pub fn propose(&self, space: &Space, seed: u64, past: &[Observation]) -> Option<Vec<Value>> {
        match self {
            Self::Grid => grid_point(&space.grid().ok()?, past.len()),
            Self::Random => Some(random(space, seed, past.len())),
            Self::Tpe(tpe) => Some(tpe.propose(space, seed, past)),
        }
    }
}

/// Point number `number` of a grid.
fn grid_point(axes: &[Vec<Value>], number: usize) -> Option<Vec<Value>> {
    let mut left = number;
    let mut point: Vec<Value> = Vec::with_capacity(axes.len());
    for axis in axes.iter().rev() {
        point.push(axis.get(left % axis.len())?.clone());
        left /= axis.len();
    }
    point.reverse();
    (left == 0).then_some(point)
}

/// Random point number `number` of a seed.
pub(crate) fn random(space: &Space, seed: u64, number: usize) -> Vec<Value> {
    let mut draws = Draws::new(seed, number as u64);
    space.parameters().iter().map(|(_, domain)| domain.draw(&mut draws)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Domain, Scale};

    fn space() -> Space {
        let words = ["a", "b"].map(|word| Value::Word(word.into())).to_vec();
        let range = Domain::Whole { low: 1, high: 3, step: 1, scale: Scale::Linear, points: None };
        Space::new(vec![("word".into(), Domain::Choice(words)), ("number".into(), range)]).unwrap()
    }

    /// The points that a sampler proposes one after the other, of a loss that depends on them.
    fn points(sampler: &Sampler, seed: u64, number: usize) -> Vec<Vec<Value>> {
        let mut past: Vec<Observation> = Vec::new();
        for _ in 0..number {
            let Some(point) = sampler.propose(&space(), seed, &past) else { break };
            let loss = point[1].real();
            past.push(Observation { point, loss });
        }
        past.into_iter().map(|seen| seen.point).collect()
    }

    #[test]
    fn a_grid_is_every_combination_once() {
        let all = points(&Sampler::Grid, 1, 100);
        let told: Vec<String> = all.iter().map(|point| format!("{}{}", point[0], point[1])).collect();
        assert_eq!(told, ["a1", "a2", "a3", "b1", "b2", "b3"]);
        assert_eq!(Sampler::Grid.points(&space()), Ok(Some(6)));
    }

    #[test]
    fn the_same_seed_and_past_give_the_same_proposal() {
        for word in Sampler::WORDS {
            let sampler = Sampler::named(word).unwrap();
            assert_eq!(sampler.word(), word);
            let (all, again) = (points(&sampler, 7, 30), points(&sampler, 7, 30));
            assert_eq!(all, again);
            assert!(word == "grid" || all != points(&sampler, 8, 30), "{word} does not heed its seed");
        }
        assert_eq!(Sampler::named("bayes"), None);
    }
}
