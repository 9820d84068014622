//! Tensor cores: where `mma`, `ldmatrix` and `stmatrix` keep their elements, and what `mma` computes.
//!
//! **Arithmetic.** Each element of D is Σₖ aₖ·bₖ + c with exact products, added in f64, and rounded once, to f32 or f16, to
//! nearest even. Hardware aligns the products to the largest of them, cuts what lies below its few guard bits, and
//! does so in groups whose size differs between generations; its result lies within a small multiple of
//! 2⁻²³·(|c| + Σ|aₖ·bₖ|) of ours (Fasi et al., PeerJ Computer Science 7:e330). So compare with a bound, never bit by bit.
//! Subnormal operands count in full. NaN results are canonical. f64 shapes are chains of fused multiply-adds.
//!
//! **Fragments.** After PTX manual 8.4, "Warp level matrix multiply-accumulate instructions". Each grid shows a matrix, rows
//! downwards; `12.3` is element 3 of lane 12. Of 16-bit elements, 2r and 2r + 1 are the lower and upper half of register r.
//!
#![doc = include_str!("fragments.md")]

mod fragment;
mod instruction;
mod matrix;
mod multiply;
mod wmma;

pub use fragment::{Fragment, M8N8K4_F64, M16N8K4_TF32, M16N8K8, M16N8K8_TF32, M16N8K16, SHAPES, Shape};
pub use instruction::Mma;
pub use matrix::{Tile, load_tile, store_tile, tile_place};
pub use multiply::{
    Half, Lanes, mma_m8n8k4_f64, mma_m16n8k4_tf32, mma_m16n8k8, mma_m16n8k8_f16, mma_m16n8k8_tf32,
    mma_m16n8k16, mma_m16n8k16_f16,
};
pub use wmma::{Element, Matrix, Wmma};

#[cfg(test)]
mod tests;
