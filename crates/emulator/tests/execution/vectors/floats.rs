//! Floating point.

use super::Expected::{self, Bits, Nan, Number};
use super::exact::{BF16, Exact, F16, F32, Grid, sum};

pub fn expected(name: &str, lane: &[u64]) -> Option<Expected> {
    let words: Vec<&str> = name.split('.').collect();
    let (&base, forms) = words.split_first()?;
    let kind = *forms.last()?;
    if base == "cvt" {
        return conversion(forms, lane);
    }
    if forms.contains(&"approx") || forms.contains(&"full") {
        return approximation(base, forms, lane);
    }
    match kind {
        "f64" => double(base, forms, lane),
        "f16x2" | "bf16x2" => {
            let part = |shift: u32| {
                let lane: Vec<u64> = lane.iter().map(|word| word >> shift & 0xffff).collect();
                match narrow(base, forms, F16, &lane)? {
                    Bits(bits) => Some(bits),
                    _ => Some(0x7fff),
                }
            };
            Some(Bits(part(0)? | part(16)? << 16))
        }
        "f32" => narrow(base, forms, F32, lane),
        "f16" => narrow(base, forms, F16, lane),
        "bf16" => narrow(base, forms, BF16, lane),
        _ => None,
    }
}

fn rounding<'a>(forms: &[&'a str]) -> &'a str {
    forms.iter().find(|form| ["rz", "rm", "rp"].contains(form)).copied().unwrap_or("rn")
}

/// A subnormal as the zero of its sign.
fn flush(grid: Grid, bits: u64) -> u64 {
    let top = 1 << (grid.bits() - 1);
    if (bits & (top - 1)) >> grid.mantissa_bits == 0 { bits & top } else { bits }
}

/// Operations on formats that doubles hold.
fn narrow(base: &str, forms: &[&str], grid: Grid, lane: &[u64]) -> Option<Expected> {
    let (is_flushed, is_clamped) = (forms.contains(&"ftz"), forms.contains(&"sat"));
    let input: Vec<u64> =
        lane.iter().map(|&bits| if is_flushed { flush(grid, bits) } else { bits }).collect();
    let value: Vec<f64> = input.iter().map(|&bits| grid.value(bits)).collect();
    let (a, b) = (value[0], value.get(1).copied().unwrap_or(0.0));
    let top = 1u64 << (grid.bits() - 1);
    let rounding = rounding(forms);
    let exact = match base {
        "neg" | "abs" if a.is_nan() => return Some(Nan(grid.bits())),
        "neg" => return Some(Bits(input[0] ^ top)),
        "abs" => return Some(Bits(input[0] & !top)),
        "copysign" => return Some(Bits(input[1] & !top | input[0] & top)),
        "testp" | "setp" => return Some(Bits(u64::from(holds(forms[0], a, b, input[0] & !top, grid)?))),
        "min" | "max" => return Some(extremum(base, forms.contains(&"NaN"), grid, &input, [a, b])),
        "add" => signed_zero(sum(a, b), a, b, rounding),
        "sub" => signed_zero(sum(a, -b), a, -b, rounding),
        "mul" => Exact(a * b, 0.0),
        "fma" => {
            let product = a * b;
            signed_zero(sum(product, value[2]), product, value[2], rounding)
        }
        "div" => quotient(a, b),
        "rcp" => quotient(1.0, a),
        "sqrt" => {
            Exact(a.sqrt(), if a > 0.0 && a.is_finite() { (-a.sqrt()).mul_add(a.sqrt(), a) } else { 0.0 })
        }
        _ => return None,
    };
    if exact.0.is_nan() {
        return Some(if is_clamped { Bits(0) } else { Nan(grid.bits()) });
    }
    if forms.contains(&"relu") && exact.0 <= 0.0 {
        return Some(Bits(0));
    }
    let mut bits = grid.round(exact, rounding);
    if is_clamped {
        bits = grid.round(Exact(grid.value(bits).clamp(0.0, 1.0) + 0.0, 0.0), "rn");
    }
    Some(Bits(if is_flushed { flush(grid, bits) } else { bits }))
}

/// A sum that is zero is -0 if both parts are, or if rounding goes down and they cancel.
fn signed_zero(exact: Exact, a: f64, b: f64, rounding: &str) -> Exact {
    if exact.0 != 0.0 {
        return exact;
    }
    let both = a.is_sign_negative() && b.is_sign_negative();
    let differ = a.is_sign_negative() != b.is_sign_negative();
    Exact(if both || (differ && rounding == "rm") { -0.0 } else { 0.0 }, 0.0)
}

fn quotient(a: f64, b: f64) -> Exact {
    let high = a / b;
    let is_plain = high.is_finite() && b.is_finite();
    Exact(high, if is_plain { (-high).mul_add(b, a) / b } else { 0.0 })
}

fn holds(what: &str, a: f64, b: f64, magnitude: u64, grid: Grid) -> Option<bool> {
    let unordered = a.is_nan() || b.is_nan();
    let is_subnormal = magnitude != 0 && magnitude >> grid.mantissa_bits == 0;
    Some(match what {
        "finite" => a.is_finite(),
        "infinite" => a.is_infinite(),
        "number" => !a.is_nan(),
        "notanumber" => a.is_nan(),
        "subnormal" => is_subnormal,
        "normal" => a.is_finite() && a != 0.0 && !is_subnormal,
        "num" => !unordered,
        "nan" => unordered,
        "eq" => a == b,
        "ne" => a != b && !unordered,
        "lt" => a < b,
        "le" => a <= b,
        "gt" => a > b,
        "ge" => a >= b,
        "equ" => a == b || unordered,
        "neu" => a != b,
        "ltu" => a < b || unordered,
        "leu" => a <= b || unordered,
        "gtu" => a > b || unordered,
        "geu" => a >= b || unordered,
        _ => return None,
    })
}

fn extremum(base: &str, passes_nan: bool, grid: Grid, bits: &[u64], [a, b]: [f64; 2]) -> Expected {
    // As integers that are ordered as the numbers are, -0 below +0.
    let key = |bits: u64| {
        let top = 1u64 << (grid.bits() - 1);
        if bits & top == 0 { bits as i64 } else { -((bits & (top - 1)) as i64) - 1 }
    };
    let first = if base == "min" { key(bits[0]) <= key(bits[1]) } else { key(bits[0]) >= key(bits[1]) };
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Nan(grid.bits()),
        (true, _) | (_, true) if passes_nan => Nan(grid.bits()),
        (true, false) => Bits(bits[1]),
        (false, true) => Bits(bits[0]),
        (false, false) => Bits(bits[usize::from(!first)]),
    }
}

/// Rounding to nearest is the host's. The other directions stay beside it, on the side where the exact value is, as far
/// as that can be told without a wider format.
fn double(base: &str, forms: &[&str], lane: &[u64]) -> Option<Expected> {
    let value: Vec<f64> = lane.iter().map(|&bits| f64::from_bits(bits)).collect();
    let (a, b) = (value[0], value.get(1).copied().unwrap_or(0.0));
    let key = |number: f64| number.total_cmp(&0.0);
    let (nearest, error) = match base {
        "neg" | "abs" if a.is_nan() => return Some(Nan(64)),
        "neg" => return Some(Bits(lane[0] ^ 1 << 63)),
        "abs" => return Some(Bits(lane[0] & !(1 << 63))),
        "min" | "max" if a.is_nan() && b.is_nan() => return Some(Nan(64)),
        "min" | "max" if a.is_nan() => return Some(Bits(lane[1])),
        "min" | "max" if b.is_nan() => return Some(Bits(lane[0])),
        "min" | "max" => {
            let first = if base == "min" { a.total_cmp(&b).is_le() } else { a.total_cmp(&b).is_ge() };
            return Some(Bits(lane[usize::from(!first)]));
        }
        "add" => (a + b, sum(a, b).1),
        "mul" => (a * b, a.mul_add(b, -(a * b))),
        "fma" => {
            let (product, c) = (a * b, value[2]);
            let (low, high) = (a.mul_add(b, -product), sum(product, c));
            // The nearest may lie beside the sum of the products' upper part.
            let nearest = a.mul_add(b, c);
            (nearest, (high.0 - nearest) + (high.1 + low))
        }
        "div" => (a / b, quotient(a, b).1),
        "rcp" => (1.0 / a, quotient(1.0, a).1),
        "sqrt" => (a.sqrt(), (-a.sqrt()).mul_add(a.sqrt(), a)),
        _ => return None,
    };
    let is_plain =
        nearest.is_finite() && nearest.abs() > 1e-200 && nearest.abs() < 1e200 && error.is_finite();
    let is_exact = error == 0.0;
    Some(match rounding(forms) {
        _ if nearest.is_nan() => Nan(64),
        "rn" => Bits(nearest.to_bits()),
        // The residue cannot be trusted: at least not further off than that.
        _ if !is_plain => Expected::Beside(nearest),
        _ if is_exact => Bits(nearest.to_bits()),
        "rz" if key(error) == key(nearest) => Bits(nearest.to_bits()),
        "rz" => Bits(if nearest > 0.0 { nearest.next_down() } else { nearest.next_up() }.to_bits()),
        "rm" => Bits(if error < 0.0 { nearest.next_down() } else { nearest }.to_bits()),
        _ => Bits(if error > 0.0 { nearest.next_up() } else { nearest }.to_bits()),
    })
}

fn approximation(base: &str, forms: &[&str], lane: &[u64]) -> Option<Expected> {
    let grid = if forms.last() == Some(&"f16") { F16 } else { F32 };
    let ftz = forms.contains(&"ftz");
    let value = |at: usize| grid.value(if ftz { flush(grid, lane[at]) } else { lane[at] });
    let a = value(0);
    let exact = match base {
        "rcp" => 1.0 / a,
        "sqrt" => a.sqrt(),
        "rsqrt" => 1.0 / a.sqrt(),
        "ex2" => a.exp2(),
        "lg2" => a.log2(),
        "sin" => a.sin(),
        "cos" => a.cos(),
        "tanh" => a.tanh(),
        "div" => a / value(1),
        _ => return None,
    };
    let flushed = ftz && exact.abs() < f64::from(f32::MIN_POSITIVE);
    Some(Number(if flushed { 0.0 } else { exact }))
}

/// Bits of a type and whether it has a sign, if it is an integer.
fn integer(kind: &str) -> Option<(u32, bool)> {
    let bits = kind[1..].parse().ok()?;
    matches!(&kind[..1], "s" | "u").then_some((bits, kind.starts_with('s')))
}

fn grid_of(kind: &str) -> Option<Grid> {
    Some(match kind {
        "f32" => F32,
        "f16" => F16,
        "bf16" => BF16,
        _ => return None,
    })
}

fn conversion(forms: &[&str], lane: &[u64]) -> Option<Expected> {
    let (to, from) = (forms[forms.len() - 2], forms[forms.len() - 1]);
    let forms = &forms[..forms.len() - 2];
    if to == "tf32" {
        let bits = lane[0] as u32;
        let number = f32::from_bits(bits);
        let rounded = if number.is_finite() { (bits + 0x1000) & !0x1fff } else { bits };
        return Some(if number.is_nan() { Nan(32) } else { Bits(rounded.into()) });
    }
    if let Some(part) = to.strip_suffix("x2") {
        let half = |bits: u64| match conversion(&[forms, &[part, "f32"]].concat(), &[bits])? {
            Bits(bits) => Some(bits),
            _ => Some(0x7fff),
        };
        return Some(Bits(half(lane[0])? << 16 | half(lane[1])?));
    }
    if let Some((bits, is_signed)) = integer(from) {
        return from_integer(forms, to, truncated(lane[0].into(), bits, is_signed));
    }
    let ftz = forms.contains(&"ftz");
    let value = match grid_of(from) {
        Some(grid) => grid.value(if ftz { flush(grid, lane[0]) } else { lane[0] }),
        None => f64::from_bits(lane[0]),
    };
    from_float(forms, to, from, value)
}

/// The low bits of a number, as a type of that width has them.
pub fn truncated(value: i128, bits: u32, is_signed: bool) -> i128 {
    let low = value & ((1 << bits) - 1);
    if is_signed && low >> (bits - 1) != 0 { low - (1 << bits) } else { low }
}

/// The bits of an integer in a register of its type.
fn in_register(value: i128, bits: u32) -> u64 {
    // A register is at least 16 bits wide.
    (value & ((1i128 << bits.max(16)) - 1)) as u64
}

fn from_integer(forms: &[&str], to: &str, value: i128) -> Option<Expected> {
    if let Some((bits, is_signed)) = integer(to) {
        let (low, high) =
            if is_signed { (-(1i128 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
        let value =
            if forms.contains(&"sat") { value.clamp(low, high) } else { truncated(value, bits, is_signed) };
        return Some(Bits(in_register(value, bits)));
    }
    let high = value as f64;
    let low = (value - high as i128) as f64;
    Some(match grid_of(to) {
        Some(grid) => Bits(grid.round(Exact(high, low), rounding(forms))),
        None if rounding(forms) == "rn" || low == 0.0 => Bits(high.to_bits()),
        None => {
            let (up, down) = (
                if low > 0.0 { high.next_up() } else { high },
                if low < 0.0 { high.next_down() } else { high },
            );
            let is_up = match rounding(forms) {
                "rp" => true,
                "rm" => false,
                _ => high < 0.0,
            };
            Bits(if is_up { up } else { down }.to_bits())
        }
    })
}

fn from_float(forms: &[&str], to: &str, from: &str, value: f64) -> Option<Expected> {
    let whole = |value: f64| match forms.iter().find(|form| form.ends_with('i')) {
        Some(&"rni") => value.round_ties_even(),
        Some(&"rzi") => value.trunc(),
        Some(&"rmi") => value.floor(),
        Some(&"rpi") => value.ceil(),
        _ => value,
    };
    if let Some((bits, is_signed)) = integer(to) {
        let (low, high) = if is_signed {
            (-(1i128 << (bits - 1)), (1 << (bits - 1)) - 1)
        } else {
            (0, (1i128 << bits) - 1)
        };
        // NaN becomes the highest bit where 64 bits are on either side, and 0 elsewhere (PTX ISA, "cvt").
        if value.is_nan() && (from == "f64" || bits == 64) {
            return Some(Bits(1 << (bits - 1)));
        }
        return Some(Bits(in_register((whole(value) as i128).clamp(low, high), bits)));
    }
    let bits = grid_of(to).map_or(64, Grid::bits);
    if value.is_nan() {
        return Some(if forms.contains(&"sat") { Bits(0) } else { Nan(bits) });
    }
    let mut value = whole(value);
    if forms.contains(&"sat") {
        value = value.clamp(0.0, 1.0) + 0.0;
    }
    if forms.contains(&"relu") && value <= 0.0 {
        value = 0.0;
    }
    Some(Bits(grid_of(to).map_or(value.to_bits(), |grid| grid.round(Exact(value, 0.0), rounding(forms)))))
}
