//! Rounding by definition: the numbers of a format are counted upwards from zero, and the two that enclose an exact value
//! are found by halving.

use warpsmith_emulator::vectors::Format;

/// A floating-point format of at most 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub exponent_bits: u32,
    pub mantissa_bits: u32,
}

pub const F32: Grid = Grid { exponent_bits: 8, mantissa_bits: 23 };
pub const F16: Grid = Grid { exponent_bits: 5, mantissa_bits: 10 };
pub const BF16: Grid = Grid { exponent_bits: 8, mantissa_bits: 7 };

/// A value as a double and what it lacks of the exact one.
#[derive(Clone, Copy, Debug)]
pub struct Exact(pub f64, pub f64);

impl Grid {
    pub fn bits(self) -> u32 {
        1 + self.exponent_bits + self.mantissa_bits
    }

    /// The number of a magnitude's bits; beyond the largest as if exponents went on.
    fn magnitude(self, bits: u64) -> f64 {
        let bias = (1i64 << (self.exponent_bits - 1)) - 1;
        let (exponent, mantissa) =
            ((bits >> self.mantissa_bits) as i64, bits & ((1 << self.mantissa_bits) - 1));
        let unit = ((exponent.max(1) - bias - i64::from(self.mantissa_bits)) as f64).exp2();
        let hidden = if exponent == 0 { 0 } else { 1 << self.mantissa_bits };
        (mantissa + hidden) as f64 * unit
    }

    fn infinity(self) -> u64 {
        ((1 << self.exponent_bits) - 1) << self.mantissa_bits
    }

    /// The number that bits stand for.
    pub fn value(self, bits: u64) -> f64 {
        let top = 1u64 << (self.bits() - 1);
        let (sign, magnitude) = (if bits & top == 0 { 1.0 } else { -1.0 }, bits & (top - 1));
        match magnitude.cmp(&self.infinity()) {
            std::cmp::Ordering::Less => sign * self.magnitude(magnitude),
            std::cmp::Ordering::Equal => sign * f64::INFINITY,
            std::cmp::Ordering::Greater => f64::NAN,
        }
    }

    /// The bits of an exact value, rounded to `rn`, `rz`, `rm` or `rp`.
    pub fn round(self, Exact(high, low): Exact, rounding: &str) -> u64 {
        let is_negative = high.is_sign_negative();
        let sign = if is_negative { 1u64 << (self.bits() - 1) } else { 0 };
        if high.is_infinite() {
            return sign | self.infinity();
        }
        let (size, rest) = if is_negative { (-high, -low) } else { (high, low) };
        let compare = |number: f64| number.partial_cmp(&size).unwrap().then(0f64.partial_cmp(&rest).unwrap());
        let (mut below, mut above) = (0, self.infinity());
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            if compare(self.magnitude(middle)).is_le() { below = middle } else { above = middle }
        }
        let halfway = (self.magnitude(below) + self.magnitude(below + 1)) / 2.0;
        let up = compare(self.magnitude(below)).is_ne()
            && match rounding {
                "rz" => false,
                "rm" => is_negative,
                "rp" => !is_negative,
                _ => compare(halfway).is_lt() || (compare(halfway).is_eq() && below % 2 == 1),
            };
        sign | (below + u64::from(up))
    }
}

/// The nearest number's bits.
pub fn nearest(format: Format, number: f64) -> u64 {
    let grid = match format {
        Format::F16 => F16,
        Format::F32 => F32,
        Format::F64 => return number.to_bits(),
    };
    if number.is_nan() { grid.infinity() + 1 } else { grid.round(Exact(number, 0.0), "rn") }
}

/// The sum of two doubles without loss (Knuth).
pub fn sum(a: f64, b: f64) -> Exact {
    let high = a + b;
    if !high.is_finite() {
        return Exact(high, 0.0);
    }
    let other = high - a;
    Exact(high, (a - (high - other)) + (b - other))
}

/// The nearest number's bits; a zero is positive, as a sum's is.
pub fn rounded(grid: Grid, number: f64) -> u64 {
    grid.round(Exact(number + 0.0, 0.0), "rn")
}
