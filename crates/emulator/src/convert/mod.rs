//! The `cvt` instruction: every pair of types and every rounding that compilers emit, as pure functions on bits.
//!
//! | from \ to | integer | f16, bf16, tf32 | f32, f64 |
//! |---|---|---|---|
//! | integer | extend or cut; `.sat` clamps | round (`.rn .rz .rm .rp`) | round |
//! | float | `.rni .rzi .rmi .rpi`, then clamp | round; `.rna` for tf32 | round if narrower, else exact |
//!
//! | modifier | meaning |
//! |---|---|
//! | `.sat` | float result: clamp to \[+0, 1\], NaN gives +0; integer result: clamp to its range |
//! | `.relu` | a negative result becomes +0; NaN stays NaN |
//! | `.satfinite` | a result beyond the largest finite number becomes that number |
//! | `.ftz` | a subnormal f32, coming in or going out, becomes zero of its sign |
//!
//! **NaN.** A float result is the canonical NaN of its type (0x7fff, 0x7fffffff), whatever the payload was; f64 alone
//! keeps the payload and sets the quiet bit. An integer result is 0, except that from f64, or to a 64-bit integer, it
//! is the integer with only the top bit set. (PTX manual 8.4, "cvt" and "Floating point instructions".)
//!
//! **Registers.** Operands are `u64` register values, of which the low bits count. Signed integer results come back
//! sign-extended to 64 bits, all others zero-extended, so that cutting to the destination register is right always.

mod direct;
mod format;
mod spelling;

pub use direct::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16, f64_to_f32};
pub use format::{BF16, Exact, F16, F32, F64, Format, Rounding, TF32, Value};
pub use spelling::{BadConversion, Kind};

/// One form of `cvt`, checked and ready to be applied.
#[derive(Clone, Copy, Debug)]
pub struct Conversion {
    to: Kind,
    from: Kind,
    rounding: Option<Rounding>,
    /// The rounding is to an integral value (`.rni` and kin).
    integral: bool,
    saturate: bool,
    relu: bool,
    finite: bool,
    flush: bool,
    /// Two f32 into one packed register.
    pair: bool,
    direct: Option<fn(u64) -> u64>,
}

impl Conversion {
    /// The result's type; of a packed form, the type of one half.
    pub fn to(&self) -> Kind {
        self.to
    }

    /// The operand's type.
    pub fn from(&self) -> Kind {
        self.from
    }

    /// True for the forms with two f32 operands and a packed result (`f16x2`, `bf16x2`).
    pub fn is_pair(&self) -> bool {
        self.pair
    }

    /// True if the result is clamped (`.sat`).
    pub fn saturates(&self) -> bool {
        self.saturate
    }

    /// Converts the register value `bits`.
    #[inline]
    pub fn apply(&self, bits: u64) -> u64 {
        match self.direct {
            Some(way) => way(bits),
            None => self.exactly(bits),
        }
    }

    /// `cvt.….f16x2.f32 d, a, b` and its bf16 twin: the first operand goes to the upper half.
    pub fn apply_pair(&self, upper: u32, lower: u32) -> u32 {
        (self.exactly(u64::from(upper)) as u32) << 16 | self.exactly(u64::from(lower)) as u32
    }

    /// The same as [`Conversion::apply`], always by way of exact values.
    pub fn exactly(&self, bits: u64) -> u64 {
        let value = match self.from.format() {
            Some(format) => self.read(format, bits),
            None => {
                let (negative, magnitude) = self.from.integer(bits);
                Value::Finite(Exact::integer(negative, magnitude))
            }
        };
        match self.to.format() {
            Some(format) => self.to_float(format, value),
            None => self.to_integer(value),
        }
    }

    fn read(&self, format: Format, bits: u64) -> Value {
        let bits = if self.from == Kind::TF32 { bits >> 13 } else { bits };
        let flushed = self.flush && self.from == Kind::F32 && format.is_subnormal(bits);
        format.decode(if flushed { bits & 0x8000_0000 } else { bits })
    }

    fn to_float(self, format: Format, value: Value) -> u64 {
        let bits = match value {
            Value::Nan { .. } if self.saturate => 0,
            Value::Nan { payload, negative } if self.to == Kind::F64 => {
                let from = self.from.format().map_or(52, |from| from.fraction_bits);
                format.signed(format.infinity() | 1 << 51 | payload << (52 - from), negative)
            }
            // In a register, tf32 has 13 more bits, and its canonical NaN sets these too.
            Value::Nan { .. } if self.to == Kind::TF32 => return F32.canonical_nan(),
            Value::Nan { .. } => format.canonical_nan(),
            Value::Infinite { negative } => format.signed(format.infinity(), negative),
            Value::Finite(exact) => {
                let rounding = self.rounding.unwrap_or(Rounding::Nearest);
                let exact = if self.integral { exact.integral(rounding) } else { exact };
                format.encode(exact, rounding)
            }
        };
        let bits = self.clamp(format, bits);
        let flushed = self.flush && self.to == Kind::F32 && format.is_subnormal(bits);
        let bits = if flushed { bits & 0x8000_0000 } else { bits };
        if self.to == Kind::TF32 { bits << 13 } else { bits }
    }

    /// `.sat`, `.relu` and `.satfinite` on a rounded result.
    fn clamp(&self, format: Format, bits: u64) -> u64 {
        let magnitude = bits & format.canonical_nan();
        let negative = bits != magnitude;
        if magnitude > format.infinity() {
            return bits;
        }
        if negative && (self.saturate || self.relu) {
            return 0;
        }
        if self.saturate && magnitude > format.one() {
            return format.one();
        }
        if self.finite && magnitude == format.infinity() {
            return format.signed(format.largest(), negative);
        }
        bits
    }

    fn to_integer(self, value: Value) -> u64 {
        let width = self.to.bits();
        let (negative, magnitude) = match value {
            Value::Nan { .. } if self.from != Kind::F64 && width < 64 => return 0,
            Value::Nan { .. } => return self.to.extend(1 << (width - 1)),
            Value::Infinite { negative } => (negative, None),
            Value::Finite(exact) => {
                let exact = exact.integral(self.rounding.unwrap_or(Rounding::Zero));
                (exact.negative, exact.magnitude())
            }
        };
        let clamps = self.saturate || !self.from.is_integer();
        let magnitude = match (clamps, magnitude) {
            (true, magnitude) => magnitude.unwrap_or(u64::MAX).min(self.to.largest_magnitude(negative)),
            (false, magnitude) => magnitude.unwrap_or(0),
        };
        self.to.extend(if negative { magnitude.wrapping_neg() } else { magnitude })
    }
}

#[cfg(test)]
mod tests;
