//! What may be written after `cvt.`, and what may not.

use std::fmt;

use super::{BF16, Conversion, F16, F32, F64, Format, Rounding, TF32, direct};

/// A type that `cvt` takes or gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum Kind {
    U8,
    S8,
    U16,
    S16,
    U32,
    S32,
    U64,
    S64,
    F16,
    BF16,
    TF32,
    F32,
    F64,
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "u8" => Kind::U8,
            "s8" => Kind::S8,
            "u16" => Kind::U16,
            "s16" => Kind::S16,
            "u32" => Kind::U32,
            "s32" => Kind::S32,
            "u64" => Kind::U64,
            "s64" => Kind::S64,
            "f16" => Kind::F16,
            "bf16" => Kind::BF16,
            "tf32" => Kind::TF32,
            "f32" => Kind::F32,
            "f64" => Kind::F64,
            _ => return None,
        })
    }

    /// The floating-point format, or `None` for an integer.
    pub fn format(self) -> Option<Format> {
        match self {
            Kind::F16 => Some(F16),
            Kind::BF16 => Some(BF16),
            Kind::TF32 => Some(TF32),
            Kind::F32 => Some(F32),
            Kind::F64 => Some(F64),
            _ => None,
        }
    }

    /// True for the signed and unsigned integers.
    pub fn is_integer(self) -> bool {
        self.format().is_none()
    }

    fn is_signed(self) -> bool {
        matches!(self, Kind::S8 | Kind::S16 | Kind::S32 | Kind::S64)
    }

    /// Width in a register: tf32 takes 32 bits.
    pub fn bits(self) -> u32 {
        match self {
            Kind::U8 | Kind::S8 => 8,
            Kind::U16 | Kind::S16 | Kind::F16 | Kind::BF16 => 16,
            Kind::U32 | Kind::S32 | Kind::F32 | Kind::TF32 => 32,
            Kind::U64 | Kind::S64 | Kind::F64 => 64,
        }
    }

    /// Sign and magnitude of an integer operand.
    pub(super) fn integer(self, bits: u64) -> (bool, u64) {
        let value = self.extend(bits);
        let negative = self.is_signed() && (value as i64) < 0;
        (negative, if negative { value.wrapping_neg() } else { value })
    }

    /// Cuts to this integer's width and extends to 64 bits by its sign.
    pub(super) fn extend(self, bits: u64) -> u64 {
        let spare = 64 - self.bits();
        if self.is_signed() { (((bits << spare) as i64) >> spare) as u64 } else { (bits << spare) >> spare }
    }

    /// The largest magnitude that an integer of this sign may have.
    pub(super) fn largest_magnitude(self, negative: bool) -> u64 {
        match (self.is_signed(), negative) {
            (true, true) => 1 << (self.bits() - 1),
            (true, false) => (1 << (self.bits() - 1)) - 1,
            (false, true) => 0,
            (false, false) => u64::MAX >> (64 - self.bits()),
        }
    }
}

/// A `cvt` that PTX does not have, or that is not implemented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadConversion {
    spelling: String,
    reason: String,
}

impl fmt::Display for BadConversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cvt.{}: {}", self.spelling, self.reason)
    }
}

impl std::error::Error for BadConversion {}

impl Conversion {
    /// Reads what stands behind `cvt.`: `rn.f16.f32`, `rzi.ftz.s32.f32`, `rn.relu.bf16x2.f32`.
    ///
    /// # Errors
    /// An unknown modifier or type, a rounding missing or out of place, or a modifier on types that do not take it.
    pub fn parse(spelling: &str) -> Result<Self, BadConversion> {
        read(spelling).map_err(|reason| BadConversion { spelling: spelling.into(), reason })
    }
}

fn read(spelling: &str) -> Result<Conversion, String> {
    let words: Vec<&str> = spelling.split('.').collect();
    let [modifiers @ .., to, from] = words.as_slice() else {
        return Err("expected modifiers, the result's type and the operand's type".into());
    };
    let (to, pair) = match to.strip_suffix("x2") {
        Some(half @ ("f16" | "bf16")) => (half, true),
        _ => (*to, false),
    };
    let kind = |name: &str| {
        Kind::named(name).ok_or_else(|| {
            format!("`{name}` is not a type that the emulator converts: it knows u8 to s64, f16, bf16, tf32, f32, f64")
        })
    };
    let mut c = Conversion {
        to: kind(to)?,
        from: kind(from)?,
        rounding: None,
        integral: false,
        saturate: false,
        relu: false,
        finite: false,
        flush: false,
        pair,
        direct: None,
    };
    for word in modifiers {
        match *word {
            "sat" => c.saturate = true,
            "relu" => c.relu = true,
            "satfinite" => c.finite = true,
            "ftz" => c.flush = true,
            other => {
                let name = other.strip_suffix('i').unwrap_or(other);
                c.integral = name != other;
                c.rounding =
                    Some(rounding(name).ok_or_else(|| format!("`.{other}` is not a modifier of cvt"))?);
            }
        }
    }
    check(&c)?;
    c.direct = direct::choose(&c);
    Ok(c)
}

fn rounding(name: &str) -> Option<Rounding> {
    Some(match name {
        "rn" => Rounding::Nearest,
        "rna" => Rounding::NearestAway,
        "rz" => Rounding::Zero,
        "rm" => Rounding::Down,
        "rp" => Rounding::Up,
        _ => return None,
    })
}

fn check(c: &Conversion) -> Result<(), String> {
    let (float_in, float_out) = (c.from.format(), c.to.format());
    let refuse = |reason: &str| Err(reason.to_string());
    let narrows = match (float_in, float_out) {
        (Some(from), Some(to)) => {
            from.exponent_bits > to.exponent_bits || from.fraction_bits > to.fraction_bits
        }
        _ => false,
    };
    match (float_in.is_some(), float_out.is_some()) {
        (false, false) if c.rounding.is_some() => return refuse("between integers nothing is rounded"),
        (true, false) if !c.integral => {
            return refuse("a float becomes an integer by .rni, .rzi, .rmi or .rpi");
        }
        (false, true) if c.rounding.is_none() || c.integral => {
            return refuse("an integer becomes a float by .rn, .rz, .rm or .rp");
        }
        (true, true) if c.integral && c.to != c.from => {
            return refuse("rounding to an integral value needs the same type on both sides");
        }
        (true, true) if narrows && c.rounding.is_none() => {
            return refuse("a narrower result needs .rn, .rz, .rm or .rp");
        }
        (true, true) if !narrows && c.rounding.is_some() && !c.integral => {
            return refuse("nothing is rounded here, so no rounding may be given");
        }
        _ => {}
    }
    if c.rounding == Some(Rounding::NearestAway) && (c.to != Kind::TF32 || c.integral) {
        return refuse(".rna is for tf32 alone");
    }
    if c.pair && c.from != Kind::F32 {
        return refuse("a packed result takes two f32");
    }
    let from_f32_to_small = c.from == Kind::F32 && matches!(c.to, Kind::F16 | Kind::BF16 | Kind::TF32);
    if (c.relu || c.finite) && !from_f32_to_small {
        return refuse(".relu and .satfinite are for f32 to f16, bf16 and tf32");
    }
    if c.flush && c.from != Kind::F32 && c.to != Kind::F32 {
        return refuse(".ftz needs f32 on one side");
    }
    Ok(())
}
