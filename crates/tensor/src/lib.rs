//! The ground of the Warpsmith engine: dtypes, shapes, strided layouts, storage, devices and tensors.
//!
//! A [`Tensor`] is a *value*: a cheap handle on shared storage plus a [`Layout`]. Views (transpose, slice,
//! broadcast) share the storage; writing goes through [`Tensor::data_mut`], which copies first if anybody else
//! can see the storage. So no tensor ever changes under its reader, and an update in place costs nothing when
//! nobody reads.
//!
//! A tensor lies on the CPU or, with the feature `cuda` (on by default), on a GPU: see [`Device`].
//!
//! There is no maths in this crate beyond what moves numbers about (copy, convert, accumulate); ops live in
//! `warpsmith-ops`, one file each.
#![warn(missing_docs)]

pub mod arena;
mod buffer;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod device;
mod dtype;
mod error;
mod injection;
mod layout;
mod recording;
mod replay;
pub mod rng;
mod scope;
mod shape;
mod storage;
mod tensor;
mod transfer;

pub use buffer::CpuBuffer;
pub use device::{Device, DeviceMemory};
pub use dtype::{DType, Element};
pub use error::{Error, Kind, Result};
pub use half::{bf16, f16};
pub use injection::fail_allocation;
pub use layout::Layout;
pub use recording::Recording;
pub use replay::Replay;
pub use rng::{Rng, Seed};
pub use scope::{Scope, current as current_scope};
pub use shape::{Dims, MAX_RANK, Shape, ToShape};
pub use tensor::{Tensor, Trace};
