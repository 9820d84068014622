//! What cannot be scored, one line each.

/// The result of every fallible call in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no score.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two lists that belong together element by element differ in length.
    #[error("{first} {what} and {second} {other}: there must be one for each")]
    Lengths {
        /// What the first list holds.
        what: &'static str,
        /// Its length.
        first: usize,
        /// What the second list holds.
        other: &'static str,
        /// Its length.
        second: usize,
    },
    /// There is nothing to score.
    #[error("there are no {what} to score")]
    Empty {
        /// What there is none of.
        what: &'static str,
    },
    /// A class that the matrix has no row for.
    #[error("class {class} of pair {index} is out of range: there are {classes} classes")]
    Class {
        /// Number of the pair, counted from 0.
        index: usize,
        /// The class given.
        class: usize,
        /// How many there are.
        classes: usize,
    },
    /// A number that is no probability.
    #[error("probability {index} is {value}: it must lie in 0..=1")]
    Probability {
        /// Its index.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// A count that must be at least one.
    #[error("{what} must be at least 1")]
    Zero {
        /// The quantity.
        what: &'static str,
    },
}

/// [`Error::Lengths`] unless both are the same.
pub(crate) fn same_length(
    (what, first): (&'static str, usize),
    (other, second): (&'static str, usize),
) -> Result<()> {
    if first == second { Ok(()) } else { Err(Error::Lengths { what, first, other, second }) }
}
