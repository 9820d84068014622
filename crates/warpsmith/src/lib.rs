//! Warpsmith.

pub mod corpus;
