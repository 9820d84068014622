//! What cannot be searched, cut into folds or compared, one line each.

/// The result of every fallible call in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no choice to make.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A space in which nothing is open.
    #[error("the space is empty: give at least one setting a list or a range")]
    EmptySpace,
    /// Values that a setting cannot have.
    #[error("{name}: {problem}")]
    Domain {
        /// The setting.
        name: String,
        /// What is wrong with its values, and what to write.
        problem: String,
    },
    /// A number of folds that the data does not allow.
    #[error("{k} folds of {n} {what}: k must be at least 2 and at most their number")]
    Folds {
        /// How many folds were asked for.
        k: usize,
        /// How many there are to share out.
        n: usize,
        /// What they are.
        what: &'static str,
    },
    /// A class with fewer examples than folds.
    #[error("class {class} has {count} examples, fewer than {k} folds: no fold of each could hold one")]
    Class {
        /// The class.
        class: usize,
        /// How many examples it has.
        count: usize,
        /// How many folds were asked for.
        k: usize,
    },
    /// Two lists that belong together element by element differ in length.
    #[error("{first} scores of one model and {second} of the other: there must be one of each per document")]
    Lengths {
        /// Length of the first.
        first: usize,
        /// Length of the second.
        second: usize,
    },
    /// Too little to draw from.
    #[error("{n} documents: a bootstrap needs at least 2, and says little below 20")]
    Few {
        /// How many there are.
        n: usize,
    },
    /// A number that is not finite, or a count that is zero.
    #[error("{what} must be {expected}")]
    Number {
        /// Which.
        what: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
}
