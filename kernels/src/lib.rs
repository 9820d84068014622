//! Hand-written CUDA kernels and how to launch them, with no tensors and no driver: committed PTX, a table of its
//! entries, and for each kernel a function from pointers and sizes to a [`Launch`].
//!
//! A kernel is one `.cu` file, its PTX in `built/` (written by `cargo xtask kernels`), and one module here. Whoever
//! holds a driver implements [`Stream`]; pointers are device addresses as plain `u64`, so building a launch is safe
//! and running it is where the promise about the addresses is made.
//!
//! ```
//! use warpsmith_kernels::Float;
//! use warpsmith_kernels::attention::{self, Attention, Heads, Mask};
//!
//! // (B, T, H, D) without gaps; the addresses are what your driver gave.
//! let [batch, time, heads, width] = [2, 100, 12, 64];
//! let row = (heads * width) as i64;
//! let array = |pointer| Heads { pointer, batch: time as i64 * row, time: row, head: width as i64 };
//! let [q, k, v, out] = [0x10_0000, 0x20_0000, 0x30_0000, 0x40_0000].map(array);
//! let launch = attention::forward(&Attention {
//!     dtype: Float::Bf16,
//!     batch,
//!     queries: time,
//!     keys: time,
//!     heads,
//!     kv_heads: heads,
//!     width,
//!     q,
//!     k,
//!     v,
//!     out,
//!     lse: 0x50_0000, // (B, H, T) f32
//!     lengths: 0,
//!     scale: 1.0 / (width as f32).sqrt(),
//!     mask: Mask::Causal,
//!     dropout: None,
//! });
//! let launch = launch.expect("heads of 64 have a kernel");
//!
//! // To `cuModuleLoadData`, `cuModuleGetFunction` and `cuLaunchKernel`. The kernel's only parameter is `launch.params`; more than
//! // 48 KiB of shared memory have to be asked for first, with `cuFuncSetAttribute`.
//! assert!(launch.entry.module.ptx().contains(launch.entry.name));
//! assert_eq!((launch.grid, launch.block, launch.params.len()), ([24, 1, 1], [128, 1, 1], launch.entry.param_bytes));
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod dtype;
mod entry;
mod float;
mod map;
mod module;
mod rows;
mod sources;
mod space;

pub mod attention;
pub mod batch_norm;
pub mod binary;
pub mod cast;
pub mod columns;
pub mod compare;
pub mod copy;
pub mod cross_entropy;
pub mod decode;
pub mod dequantise;
pub mod dropout;
pub mod fill;
pub mod gemv;
pub mod index;
pub mod index_add;
pub mod ladder;
pub mod matmul;
pub mod normalise;
pub mod optimise;
pub mod pow;
pub mod quantised_matmul;
pub mod recurrent;
pub mod reduce;
pub mod rope;
pub mod sample;
pub mod select;
pub mod softmax;
pub mod swiglu;
pub mod unary;
pub mod unary_backward;
pub mod unfold;

pub use dtype::Dtype;
pub use entry::{Entry, Launch, MOST_BLOCKS, Stream};
pub use float::Float;
pub use map::Map;
pub use module::Module;
pub use sources::{source, source_of, sources};
pub use space::{Dims, MAX_DIMS, Operand, Space, dims};

/// Declares the kernels' modules and derives [`entries`] from the list.
macro_rules! kernels {
    ($($module:ident,)*) => {
        /// Every entry of every kernel, in the order of the list, and those of the ladders.
        pub fn entries() -> Vec<&'static Entry> {
            let shipping = [$($module::ENTRIES),*].concat().into_iter().flatten();
            shipping.chain(ladder::entries()).collect()
        }
    };
}

use attention::{backward as attention_backward, delta as attention_delta, exact as attention_f32};
use matmul::{reduce as matmul_reduce, strided as matmul_f32};

kernels! {
    attention,
    attention_backward,
    attention_delta,
    attention_f32,
    binary,
    cast,
    compare,
    copy,
    decode,
    dequantise,
    dropout,
    fill,
    gemv,
    matmul,
    matmul_f32,
    matmul_reduce,
    pow,
    quantised_matmul,
    select,
    columns,
    normalise,
    reduce,
    softmax,
    cross_entropy,
    index,
    index_add,
    rope,
    sample,
    swiglu,
    optimise,
    unary,
    unary_backward,
    batch_norm,
    recurrent,
    unfold,
}

#[cfg(test)]
mod tests;
