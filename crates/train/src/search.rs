//! Search of the settings of a run: a [`SearchSpace`] says what they may be, a [`Study`] tries points of it one after the other
//! and keeps a record of each, and every trial is a run of its own, with the same budget.

mod record;
mod space;
mod study;
mod trial;

pub use record::{Measured, Record};
pub use space::SearchSpace;
pub use study::{Plan, Study};
pub use trial::run;
