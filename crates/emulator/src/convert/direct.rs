//! The commonest conversions in a few machine instructions. [`super::Conversion`] uses them where the modifiers
//! allow, and the tests hold each against the exact way over [`super::Format`].

use super::{Conversion, Kind, Rounding};

/// f16 bits as f32, exactly. Any NaN gives the canonical one.
#[inline]
pub fn f16_to_f32(bits: u16) -> f32 {
    // 2^112 moves the exponent from f16's bias to f32's, and makes subnormals normal on the way.
    const REBIAS: f32 = f32::from_bits((127 + 112) << 23);
    let magnitude = u32::from(bits & 0x7fff);
    let sign = u32::from(bits & 0x8000) << 16;
    let finite = (f32::from_bits(magnitude << 13) * REBIAS).to_bits();
    let bits = match magnitude {
        0x7c00 => 0x7f80_0000 | sign,
        0x7c01.. => 0x7fff_ffff,
        _ => finite | sign,
    };
    f32::from_bits(bits)
}

/// f32 to f16 bits, to nearest even. Any NaN gives 0x7fff.
#[inline]
pub fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return 0x7fff;
    }
    // 65520 is half way from the largest f16 to where the next would be.
    if magnitude >= 0x477f_f000 {
        return sign | 0x7c00;
    }
    if magnitude < 0x3880_0000 {
        // Adding 0.5 leaves the multiple of 2^-24 (the subnormals' step) in the low bits, rounded by the addition.
        let shifted = (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits();
        return sign | shifted as u16;
    }
    let odd = (magnitude >> 13) & 1;
    let rounded = magnitude + 0xfff + odd;
    sign | ((rounded >> 13) - (112 << 10)) as u16
}

/// bf16 bits as f32, exactly. Any NaN gives the canonical one.
#[inline]
pub fn bf16_to_f32(bits: u16) -> f32 {
    if bits & 0x7fff > 0x7f80 { f32::from_bits(0x7fff_ffff) } else { f32::from_bits(u32::from(bits) << 16) }
}

/// f32 to bf16 bits, to nearest even. Any NaN gives 0x7fff.
#[inline]
pub fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        return 0x7fff;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// f64 to f32, to nearest even. Any NaN gives the canonical one.
#[inline]
pub fn f64_to_f32(value: f64) -> f32 {
    if value.is_nan() { f32::from_bits(0x7fff_ffff) } else { value as f32 }
}

fn f32_of(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

fn bits_of(value: f32) -> u64 {
    u64::from(value.to_bits())
}

/// The short way for a conversion, if there is one.
pub(super) fn choose(c: &Conversion) -> Option<fn(u64) -> u64> {
    if c.saturate || c.relu || c.finite || c.flush || c.pair {
        return None;
    }
    let nearest = c.rounding == Some(Rounding::Nearest);
    let chop = c.rounding == Some(Rounding::Zero);
    let way: fn(u64) -> u64 = match (c.to, c.from) {
        (Kind::F32, Kind::F16) => |x| bits_of(f16_to_f32(x as u16)),
        (Kind::F32, Kind::BF16) => |x| bits_of(bf16_to_f32(x as u16)),
        (Kind::F16, Kind::F32) if nearest => |x| u64::from(f32_to_f16(f32_of(x))),
        (Kind::BF16, Kind::F32) if nearest => |x| u64::from(f32_to_bf16(f32_of(x))),
        (Kind::F32, Kind::F64) if nearest => |x| bits_of(f64_to_f32(f64::from_bits(x))),
        (Kind::F32, Kind::S32) if nearest => |x| bits_of(x as i32 as f32),
        (Kind::F32, Kind::U32) if nearest => |x| bits_of(x as u32 as f32),
        (Kind::F32, Kind::S64) if nearest => |x| bits_of(x as i64 as f32),
        (Kind::F32, Kind::U64) if nearest => |x| bits_of(x as f32),
        (Kind::F64, Kind::S32) if nearest => |x| f64::from(x as i32).to_bits(),
        (Kind::F64, Kind::U32) if nearest => |x| f64::from(x as u32).to_bits(),
        (Kind::S32, Kind::F32) if chop => |x| f32_of(x) as i32 as u64,
        (Kind::U32, Kind::F32) if chop => |x| u64::from(f32_of(x) as u32),
        (Kind::U8, from) if from.is_integer() => |x| u64::from(x as u8),
        (Kind::S8, from) if from.is_integer() => |x| x as i8 as u64,
        (Kind::U16, from) if from.bits() >= 16 && from.is_integer() => |x| u64::from(x as u16),
        (Kind::S16, from) if from.bits() >= 16 && from.is_integer() => |x| x as i16 as u64,
        (Kind::U32, from) if from.bits() >= 32 && from.is_integer() => |x| u64::from(x as u32),
        (Kind::S32, from) if from.bits() >= 32 && from.is_integer() => |x| x as i32 as u64,
        (Kind::S64 | Kind::U64, Kind::S32) => |x| x as i32 as u64,
        (Kind::S64 | Kind::U64, Kind::U32) => |x| u64::from(x as u32),
        (Kind::S64 | Kind::U64, Kind::S16) => |x| x as i16 as u64,
        (Kind::S64 | Kind::U64, Kind::U16) => |x| u64::from(x as u16),
        _ => return None,
    };
    Some(way)
}
