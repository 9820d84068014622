//! What a sweep found.

use std::collections::BTreeMap;
use std::fmt;

use warpsmith_tensor::DType;

use crate::{Class, Memory};

/// What a sweep found, op by op.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By name of the spec, in alphabetical order.
    pub specs: BTreeMap<&'static str, Tally>,
    /// Why the sweep ended early: the device failed and runs nothing more.
    pub broken: Option<String>,
}

impl Report {
    /// Adds what one sample gave.
    pub fn add(&mut self, spec: &'static str, tally: Tally) {
        self.specs.entry(spec).or_default().add(tally);
    }

    /// All specs together.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.specs.values().for_each(|tally| total.add(tally.clone()));
        total
    }

    /// The specs that have no kernel for the device.
    pub fn absent(&self) -> impl Iterator<Item = &'static str> {
        self.specs.iter().filter(|(_, tally)| tally.is_absent).map(|(name, _)| *name)
    }

    /// Whether every case that ran gave what it must and the sweep came to its end.
    pub fn is_green(&self) -> bool {
        self.broken.is_none() && self.specs.values().all(|tally| tally.failures.is_empty())
    }
}

/// What the cases of a spec, or of one of its samples, gave.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many cases ran.
    pub cases: usize,
    /// How long they took, in seconds, oracle included.
    pub seconds: f64,
    /// The error that came nearest to its bound among the right answers, or lay farthest beyond it.
    pub worst: Worst,
    /// What went wrong, one for all layouts of a sample in one class.
    pub failures: Vec<Failure>,
    /// Whether the op said that it has no kernel for the device.
    pub is_absent: bool,
}

impl Tally {
    /// Adds another tally to this one.
    pub fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.seconds += other.seconds;
        self.worst.add(other.worst);
        self.failures.extend(other.failures);
        self.is_absent |= other.is_absent;
    }
}

/// An error in units of what is allowed, and where it was found.
#[derive(Clone, Debug, Default)]
pub struct Worst {
    /// The error over its bound; at most 1 where the answer is right.
    pub share: f64,
    /// Sample, dtype, class and layout; empty if there was no error at all.
    pub place: String,
}

impl Worst {
    /// Keeps the larger of the two.
    pub fn add(&mut self, other: Self) {
        if other.share > self.share {
            *self = other;
        }
    }
}

/// A call that did not give what it must.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The name of the spec.
    pub spec: &'static str,
    /// The number of the sample among those of its spec.
    pub sample: usize,
    /// The dtype that the floats of the call had.
    pub float: DType,
    /// The op with its attributes, shortened.
    pub op: String,
    /// The numbers that the inputs held; `None` if not one case could be made.
    pub class: Option<Class>,
    /// The layouts in which it fails.
    pub memories: Vec<Memory>,
    /// What was wrong, with the first wrong element.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sample {} {} {}", self.spec, self.sample, self.op, self.float)?;
        if let Some(class) = self.class {
            write!(f, " {class:?}")?;
        }
        if !self.memories.is_empty() {
            write!(f, " {:?}", self.memories)?;
        }
        write!(f, ": {}", self.message)
    }
}
