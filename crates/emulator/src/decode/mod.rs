//! From statements to decoded instructions: names become indices, labels become pcs, opcodes become functions.

pub(crate) mod decoder;
pub(crate) mod layout;
pub(crate) mod link;
pub(crate) mod names;
