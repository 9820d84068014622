//! Training: configuration, schedules, logs, checkpoints on disk, and the report of a run.

#![forbid(unsafe_code)]

pub mod adversarial;
pub mod answer;
pub mod atomic;
pub mod checkpoint;
pub mod classical;
pub mod classifier;
pub mod config;
pub mod data;
pub mod error;
pub mod evaluate;
pub mod finetune;
pub mod folder;
mod lock;
pub mod log;
pub mod memory;
mod on_disk;
pub mod optimizer;
pub mod penalty;
pub mod pseudo_labels;
pub mod report;
pub mod run;
pub mod runs;
mod samples;
pub mod schedule;
pub mod search;
pub mod sentence;
mod step;
pub mod trainer;

pub use answer::AnswerFolder;
pub use classifier::{Classified, ClassifierFolder};
pub use config::TrainConfig;
pub use data::{BatchSource, TensorBatch, TrainData};
pub use error::{Error, Result};
pub use evaluate::{Evaluation, evaluate_pieces, evaluate_text};
pub use folder::ModelFolder;
pub use on_disk::GgufFile;
pub use optimizer::{AdamW, AdamWConfig, Optimizer, Sgd, SgdConfig, clip_gradients};
pub use run::{Ending, Event, Outcome, Run};
pub use sentence::{Embedding, Prompts, SentenceEncoder};
pub use trainer::{StepReport, Trainer};
