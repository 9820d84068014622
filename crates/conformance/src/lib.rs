//! What every op of the registry must do, derived from the registry alone: nothing here names an op.
//!
//! A [`Sweep`] asks a question ([`Check`]) of every op on a device and gives a [`Report`]. The first and largest question:
//! calls in many kinds of numbers ([`Class`]) and layouts ([`Memory`]) are compared with the op's oracle in f64, within the
//! bound that [`tolerance`] derives. The tests of this crate
//! call it with the CPU and with an emulated GPU, the command `selftest` with whatever device there is.
#![forbid(unsafe_code)]

mod call;
mod check;
pub mod determinism;
mod forward;
pub mod gradient;
mod guard;
mod memory;
mod plan;
mod report;
mod sweep;
pub mod tape;
pub mod tolerance;
mod values;

pub use call::{Expected, Revealed, arrays, dtypes, metas};
pub use check::Check;
pub use memory::{Memory, lay};
pub use plan::Plan;
pub use report::{Failure, Report, Tally, Worst};
pub use sweep::Sweep;
pub use values::{Class, Repeat, range, rounded};
