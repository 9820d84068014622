//! What the bits of a register mean, as far as the instructions that use it say.

use half::{bf16, f16};

use crate::decode::decoder::Type;
use crate::exec::registers::File;

/// The meaning of a register's bits. What says more comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Nothing is known but the bits.
    Bits,
    /// An unsigned integer.
    Unsigned,
    /// A signed integer of so many bytes.
    Signed(u8),
    /// An address, or a part of one.
    Address,
    /// True or false.
    Truth,
    /// IEEE half precision.
    F16,
    /// Two of them, the first in the lower half.
    F16x2,
    /// The upper half of an f32.
    Bf16,
    /// Two of them, the first in the lower half.
    Bf16x2,
    /// An f32 of which products use ten bits of the fraction.
    Tf32,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl Kind {
    /// What the type of an opcode makes of a register of that width.
    pub(crate) fn of(written: Type, file: File) -> Kind {
        let fits = u64::from(written.bytes()) == file.bytes();
        match written {
            _ if file == File::Pred => Kind::Truth,
            Type::F16 if fits => Kind::F16,
            Type::Bf16 if fits => Kind::Bf16,
            Type::F16 | Type::F16x2 => Kind::F16x2,
            Type::Bf16 | Type::Bf16x2 => Kind::Bf16x2,
            Type::Tf32 => Kind::Tf32,
            Type::F32 if fits => Kind::F32,
            Type::F64 if fits => Kind::F64,
            _ if written.is_signed() => Kind::Signed(file.bytes() as u8),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => Kind::Unsigned,
            _ => Kind::Bits,
        }
    }

    /// The number that the bits stand for.
    pub fn show(self, bits: u64) -> String {
        let pair =
            |one: fn(u16) -> f64| format!("{}, {}", float(one(bits as u16)), float(one((bits >> 16) as u16)));
        let from_f16 = |bits| f16::from_bits(bits).to_f64();
        let from_bf16 = |bits| bf16::from_bits(bits).to_f64();
        match self {
            Kind::Bits | Kind::Unsigned => bits.to_string(),
            Kind::Address => format!("{bits:#x}"),
            Kind::Signed(bytes) => {
                let above = 64 - 8 * u32::from(bytes.clamp(1, 8));
                ((bits << above) as i64 >> above).to_string()
            }
            Kind::Truth => (bits & 1 != 0).to_string(),
            Kind::F16 => float(from_f16(bits as u16)),
            Kind::Bf16 => float(from_bf16(bits as u16)),
            Kind::F16x2 => pair(from_f16),
            Kind::Bf16x2 => pair(from_bf16),
            Kind::Tf32 | Kind::F32 => float(f32::from_bits(bits as u32).into()),
            Kind::F64 => float(f64::from_bits(bits)),
        }
    }
}

/// Six digits, as a reader wants them; the bits stand beside them.
pub(crate) fn float(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || !value.is_finite() || (1e-4..1e6).contains(&size) {
        let digits = if size >= 1.0 { 5 - size.log10().floor() as i32 } else { 6 }.clamp(0, 6) as usize;
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{value:.5e}")
    }
}
