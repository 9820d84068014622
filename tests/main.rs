//! What only the whole program can show: the command from outside, the numbers of PyTorch, and that models learn.

mod cli;
#[cfg(feature = "cuda")]
mod device;
mod learning;
mod torch;

type Checked = Result<(), Box<dyn std::error::Error>>;
