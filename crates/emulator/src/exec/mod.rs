//! Running decoded code: lanes, warps, blocks and grids.

pub(crate) mod access;
pub(crate) mod address;
pub(crate) mod block;
pub(crate) mod copies;
pub(crate) mod grid;
pub(crate) mod registers;
pub(crate) mod rows;
mod together;
pub(crate) mod traffic;
pub(crate) mod turns;
pub(crate) mod warp;
pub(crate) mod watch;
mod written;
