//! What the sweep over the registry cannot see.

mod adamw;
mod attention;
mod cast;
mod clip_by_norm;
mod create;
mod cross_entropy;
#[cfg(target_os = "linux")]
mod device;
mod dropout;
mod embedding;
mod layer_norm;
mod masked_fill;
mod mean;
mod normalise;
mod reshape;
mod rope;
mod sample;
mod table;
mod unary;
