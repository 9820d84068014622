//! Every op of the engine, one file each, and the registry: the one list that names them all.
//!
//! To add an op, write `crates/ops/src/your_op.rs` (copy the order of parts from any file here: equation, struct,
//! contract, method, specs) and add its name to the list below. From the list come the forward and layout sweeps,
//! the gradient check, the determinism test, the op table and the benchmarks.
//!
//! With `warpsmith-tensor` and `warpsmith-autograd` it is enough for a program without models:
//!
//! ```
//! use warpsmith_autograd::TensorExt;
//! use warpsmith_ops::prelude::*; // the methods of all ops
//! use warpsmith_tensor::{Device, Result, Rng, Seed, Tensor};
//!
//! # fn main() -> Result<()> {
//! let rng = Rng::new(Seed(1337));
//! let x = Tensor::randn(&[32, 3], &rng, &Device::Cpu)?; // (B, 3)
//! let w = Tensor::randn(&[3, 1], &rng, &Device::Cpu)?.requires_grad()?;
//! let y = x.matmul(&w)?.tanh()?; // (B, 1)
//! let gradients = y.square()?.mean_all()?.backward()?;
//! assert!(gradients.of(&w).is_some_and(|gradient| gradient.dims() == [3, 1]));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod axis;
pub mod create;
mod cuda;
mod cuda_matmul;
mod elementwise;
mod indices;
mod moments;
mod multi_tensor;
mod normalise;
mod rows;
mod table;
pub mod unary;
mod zip;

pub use table::{OpRow, op_table};

/// Declares the op modules and derives the registry and the prelude from the list.
macro_rules! registry {
    ($($module:ident,)*) => {
        $(pub mod $module;)*

        /// Every op there is, in the order of the list.
        pub fn registry() -> Vec<warpsmith_autograd::Spec> {
            [$($module::specs()),*].concat()
        }

        /// The methods that the ops add to `Tensor`: `use warpsmith_ops::prelude::*`.
        pub mod prelude {
            $(#[allow(unused_imports)] pub use crate::$module::Methods as _;)*
        }
    };
}

/// Declares the methods that an op adds to `Tensor`, as a trait that the prelude brings into scope.
macro_rules! methods {
    ($($(#[$doc:meta])* fn $name:ident(&$this:ident $(, $arg:ident: $type:ty)* $(,)?) -> $out:ty $body:block)*) => {
        /// The methods that this op adds to `Tensor`.
        pub trait Methods {
            $($(#[$doc])* fn $name(&self $(, $arg: $type)*) -> $out;)*
        }
        impl Methods for warpsmith_tensor::Tensor {
            $(fn $name(&$this $(, $arg: $type)*) -> $out $body)*
        }
    };
}
registry! {
    // Attention.
    attention,
    // Views and moves.
    reshape,
    permute,
    slice,
    broadcast_to,
    split,
    cat,
    contiguous,
    cast,
    gather,
    scatter_add,
    index_select,
    index_add,
    unfold,
    // Elementwise.
    add,
    sub,
    mul,
    div,
    maximum,
    neg,
    affine,
    exp,
    ln,
    sqrt,
    rsqrt,
    square,
    abs,
    pow,
    clamp,
    relu,
    silu,
    sigmoid,
    softplus,
    tanh,
    dropout,
    gelu,
    compare,
    logical,
    where_,
    masked_fill,
    rope,
    swiglu,
    // Cells of recurrent networks.
    gru_cell,
    lstm_cell,
    // Rows.
    batch_norm,
    cross_entropy,
    embedding,
    layer_norm,
    log_softmax,
    rms_norm,
    softmax,
    // Reductions.
    sum,
    mean,
    max,
    argmax,
    sample,
    // Products.
    matmul,
    linear,
    mlp,
    quantised_matmul,
    dequantise,
    // Caches.
    index_copy,
    slice_assign,
    // Updates of many tensors.
    adamw,
    clip_by_norm,
    sgd,
}
