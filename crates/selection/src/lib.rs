//! Choosing between models. Pure functions of numbers and a seed: no model, no file.
//!
//! | module | what |
//! |---|---|
//! | [`space`] | which settings may take which values |
//! | [`sampler`] | what to try next: every point of a grid, points at random, or those of [`tpe`] |
//! | [`tpe`] | the tree-structured Parzen estimator |
//! | [`folds`] | k-fold cross-validation, plain, stratified and in blocks |
//! | [`bootstrap`] | whether one model is better than another on the same documents |
//!
//! ```
//! use warpsmith_selection::sampler::{Observation, Sampler};
//! use warpsmith_selection::space::{Domain, Scale, Space};
//!
//! let rate = Domain::Real { low: 1e-4, high: 1e-1, scale: Scale::Log, points: None };
//! let space = Space::new(vec![("learning_rate".into(), rate)])?;
//! let mut past = Vec::new();
//! for _ in 0..20 {
//!     let point = Sampler::default().propose(&space, 1337, &past).expect("TPE always has a proposal");
//!     let loss = point[0].real().map(|rate| (rate.log10() + 2.0).powi(2));
//!     past.push(Observation { point, loss });
//! }
//! # Ok::<(), warpsmith_selection::Error>(())
//! ```
#![forbid(unsafe_code)]

pub mod bootstrap;
mod draws;
mod error;
pub mod folds;
mod parzen;
pub mod sampler;
pub mod space;
pub mod tpe;

pub use draws::Draws;
pub use error::{Error, Result};
