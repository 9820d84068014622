//! Opcodes that integers and floats share: the type decides which family they belong to.

use super::{Found, carry, float, half, integer};
use crate::decode::decoder::{Decoder, Type};

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    match d.kind(d.kinds().saturating_sub(1))? {
        Type::F32 | Type::F64 => float::decode(d),
        Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2 => half::decode(d),
        _ if d.flag("cc") => carry::decode(d),
        _ => integer::decode(d),
    }
}
