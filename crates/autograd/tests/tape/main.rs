//! The tape and the walk back over it, on ops made for the question.
#![forbid(unsafe_code)]

mod graphs;
mod memory;
mod ops;
mod recomputing;
