//! Binary floating point of any width up to 64 bits: exact decoding, and encoding with each rounding.

/// How an inexact result is rounded. In PTX: `.rn`, `.rz`, `.rm`, `.rp`, `.rna`, and with a final `i` for integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest value; of two, to the one with an even significand.
    Nearest,
    /// To the nearest value; of two, to the one farther from zero.
    NearestAway,
    /// Towards zero.
    Zero,
    /// Towards minus infinity.
    Down,
    /// Towards plus infinity.
    Up,
}

/// A sign bit, an exponent and a fraction, after IEEE 754.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Bits of the biased exponent.
    pub exponent_bits: u32,
    /// Bits of the fraction, without the leading one.
    pub fraction_bits: u32,
}

/// IEEE half precision.
pub const F16: Format = Format { exponent_bits: 5, fraction_bits: 10 };
/// The upper half of an f32.
pub const BF16: Format = Format { exponent_bits: 8, fraction_bits: 7 };
/// 19 bits, kept in the upper bits of a 32-bit register.
pub const TF32: Format = Format { exponent_bits: 8, fraction_bits: 10 };
/// IEEE single precision.
pub const F32: Format = Format { exponent_bits: 8, fraction_bits: 23 };
/// IEEE double precision.
pub const F64: Format = Format { exponent_bits: 11, fraction_bits: 52 };

/// A finite number, exactly: ± `significand` · 2^`exponent`. Zero has a sign too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    /// The sign bit.
    pub negative: bool,
    /// The magnitude as an integer, not normalised.
    pub significand: u64,
    /// The power of two that the integer is scaled with.
    pub exponent: i32,
}

/// What a bit pattern stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Not a number; the fraction bits as they were.
    Nan {
        /// The fraction, which is never 0.
        payload: u64,
        /// The sign bit.
        negative: bool,
    },
    /// ±∞.
    Infinite {
        /// The sign bit.
        negative: bool,
    },
    /// Zero, subnormal or normal.
    Finite(Exact),
}

impl Format {
    const fn bias(self) -> i32 {
        (1 << (self.exponent_bits - 1)) - 1
    }

    const fn sign_bit(self) -> u64 {
        1 << (self.exponent_bits + self.fraction_bits)
    }

    /// The bits of +∞.
    pub const fn infinity(self) -> u64 {
        ((1 << self.exponent_bits) - 1) << self.fraction_bits
    }

    /// The bits of the largest finite number.
    pub const fn largest(self) -> u64 {
        self.infinity() - 1
    }

    /// The bits of +1.
    pub const fn one(self) -> u64 {
        (self.bias() as u64) << self.fraction_bits
    }

    /// The NaN that arithmetic gives: every bit but the sign set. (PTX manual, "Floating point", canonical NaN.)
    pub const fn canonical_nan(self) -> u64 {
        self.sign_bit() - 1
    }

    /// `magnitude` with the sign put on.
    pub const fn signed(self, magnitude: u64, negative: bool) -> u64 {
        if negative { magnitude | self.sign_bit() } else { magnitude }
    }

    /// True for the bits of a subnormal number (not of zero).
    pub const fn is_subnormal(self, bits: u64) -> bool {
        let magnitude = bits & (self.sign_bit() - 1);
        magnitude != 0 && magnitude >> self.fraction_bits == 0
    }

    /// The value of a bit pattern. Bits above the format's width are ignored.
    pub const fn decode(self, bits: u64) -> Value {
        let negative = bits & self.sign_bit() != 0;
        let fraction = bits & ((1 << self.fraction_bits) - 1);
        let biased = (bits & (self.sign_bit() - 1)) >> self.fraction_bits;
        let lowest = 1 - self.bias() - self.fraction_bits as i32;
        if biased == 0 {
            return Value::Finite(Exact { negative, significand: fraction, exponent: lowest });
        }
        if biased != self.infinity() >> self.fraction_bits {
            let significand = fraction | 1 << self.fraction_bits;
            return Value::Finite(Exact { negative, significand, exponent: lowest + biased as i32 - 1 });
        }
        if fraction == 0 { Value::Infinite { negative } } else { Value::Nan { payload: fraction, negative } }
    }

    /// The bits nearest to a finite number under `rounding`, rounded once, subnormals kept. What is too large becomes
    /// infinite, or the largest finite number if the rounding points away from that infinity.
    pub const fn encode(self, value: Exact, rounding: Rounding) -> u64 {
        let Exact { negative, significand, exponent } = value;
        if significand == 0 {
            return self.signed(0, negative);
        }
        let leading = exponent + (63 - significand.leading_zeros() as i32);
        let least_normal = 1 - self.bias();
        let floor = if leading < least_normal { least_normal } else { leading };
        let kept = shifted(significand, floor - self.fraction_bits as i32 - exponent, negative, rounding);
        // The leading one of `kept` adds 1 to the exponent field, and a carry out of the fraction adds 1 more:
        // both are what they should be. A subnormal has no leading one and an exponent field of 0.
        let field = (floor - least_normal) as u64;
        if field >= self.infinity() >> self.fraction_bits {
            return self.overflow(negative, rounding);
        }
        let bits = (field << self.fraction_bits) + kept;
        if bits >= self.infinity() { self.overflow(negative, rounding) } else { self.signed(bits, negative) }
    }

    const fn overflow(self, negative: bool, rounding: Rounding) -> u64 {
        let stays = match rounding {
            Rounding::Nearest | Rounding::NearestAway => false,
            Rounding::Zero => true,
            Rounding::Down => !negative,
            Rounding::Up => negative,
        };
        self.signed(if stays { self.largest() } else { self.infinity() }, negative)
    }
}

impl Exact {
    /// An integer.
    pub const fn integer(negative: bool, magnitude: u64) -> Self {
        Self { negative, significand: magnitude, exponent: 0 }
    }

    /// The nearest integral number. The sign stays, also on zero.
    pub const fn integral(self, rounding: Rounding) -> Self {
        if self.exponent >= 0 {
            return self;
        }
        let significand = shifted(self.significand, -self.exponent, self.negative, rounding);
        Self { negative: self.negative, significand, exponent: 0 }
    }

    /// The magnitude of an integral number, or `None` if it takes more than 64 bits.
    pub const fn magnitude(self) -> Option<u64> {
        if self.significand == 0 {
            Some(0)
        } else if self.exponent >= 0 && self.exponent as u32 <= self.significand.leading_zeros() {
            Some(self.significand << self.exponent)
        } else {
            None
        }
    }
}

/// `significand` · 2^-`by`, rounded to an integer. A negative `by` must not push bits out.
const fn shifted(significand: u64, by: i32, negative: bool, rounding: Rounding) -> u64 {
    if by <= 0 {
        return significand << -by;
    }
    // Beyond 66 places nothing is left but "more than zero, less than half".
    let by = if by > 66 { 66 } else { by };
    let wide = significand as u128;
    let kept = (wide >> by) as u64;
    let rest = wide & ((1 << by) - 1);
    let half = 1u128 << (by - 1);
    let up = match rounding {
        Rounding::Nearest => rest > half || (rest == half && kept & 1 == 1),
        Rounding::NearestAway => rest >= half,
        Rounding::Zero => false,
        Rounding::Down => negative && rest != 0,
        Rounding::Up => !negative && rest != 0,
    };
    kept + up as u64
}
