//! Autograd: the contract that every op fulfils, the tape that remembers ops, and the walk back over it.
//!
//! An op is one struct that implements [`Op`]. [`apply`] runs it and, if a gradient is wanted, keeps the struct
//! itself on the tape, as micrograd keeps a closure; there is no enum of ops. [`Backward`](TensorExt::backward) walks
//! the tape once, newest first, without recursion, and frees what each op saved as soon as it is used.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod apply;
mod backward;
mod cost;
mod gradcheck;
mod mode;
mod op;
mod parameter;
mod recompute;
mod spec;
mod tape;

pub use apply::{apply, apply_owned, apply_single};
pub use backward::{Gradients, TensorExt};
pub use cost::{Cost, Formula};
pub use gradcheck::{GradcheckReport, gradcheck};
pub use mode::{is_grad_enabled, no_grad, with_grad};
pub use op::{Array, Backward, Differentiability, Meta, Op, Saves};
pub use parameter::{Parameter, Taken};
pub use recompute::recompute;
pub use spec::{Input, Sample, Spec, Values};
