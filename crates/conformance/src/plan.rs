//! Which cases of the product of value classes and layouts a sweep runs.

use crate::{Class, Memory};

/// How many cases of the product of value classes and layouts run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// All of them.
    Whole,
    /// Ordinary numbers in every layout, and every other class in two: contiguous, and another that depends on the
    /// class and the sample's number, so that over the samples of an op each class meets most layouts. Samples of more
    /// than [`Self::LARGE`] elements are asked as in [`Self::Small`]: they are there for their size, and smaller ones of
    /// the same op ask for the rest.
    Crossed,
    /// Two cases for each sample and dtype: ordinary numbers in one layout, and one other class. For checkers that slow
    /// kernels down a hundredfold.
    Small,
}

impl Plan {
    /// From how many input elements on a sample is a large one.
    pub const LARGE: usize = 4096;

    /// The plan for a sample of so many input elements.
    pub fn of_size(self, elements: usize) -> Self {
        if self == Self::Crossed && elements > Self::LARGE { Self::Small } else { self }
    }

    /// The classes in which sample `number` is asked, if its inputs may hold any numbers.
    pub fn classes(self, number: usize) -> Vec<Class> {
        match self {
            Self::Whole | Self::Crossed => Class::ALL.to_vec(),
            Self::Small => vec![Class::Uniform, Class::ALL[1 + number % (Class::ALL.len() - 1)]],
        }
    }

    /// The layouts in which sample `number` is asked in this class, of those that `is_new` says differ from a
    /// contiguous one for its shapes.
    pub fn memories(self, number: usize, class: Class, is_new: impl Fn(Memory) -> bool) -> Vec<Memory> {
        let others = &Memory::ALL[1..];
        let turn = |number: usize| {
            let new: Vec<Memory> = others.iter().copied().filter(|memory| is_new(*memory)).collect();
            (!new.is_empty()).then(|| new[number % new.len()])
        };
        let contiguous = [Memory::Contiguous];
        match self {
            Self::Whole => Memory::ALL.to_vec(),
            Self::Crossed if class == Class::Uniform => Memory::ALL.to_vec(),
            Self::Crossed => contiguous.into_iter().chain(turn(number + class as usize)).collect(),
            Self::Small if class == Class::Uniform => vec![turn(number).unwrap_or(Memory::Contiguous)],
            Self::Small => contiguous.to_vec(),
        }
    }
}
