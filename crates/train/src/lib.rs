//! Training: configuration, schedules, logs, checkpoints on disk, and the report of a run.

#![forbid(unsafe_code)]

pub mod atomic;
pub mod config;
pub mod error;
pub mod log;
pub mod report;
pub mod schedule;

pub use config::TrainConfig;
pub use error::{Error, Result};
