//! Floats: rounding in a chosen direction, flushing, canonical NaN.

/// The direction of a rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Nearest,
    Zero,
    Down,
    Up,
}

/// What the devices return for NaN in single precision.
pub(super) fn canonical(value: f32) -> f32 {
    if value.is_nan() { f32::from_bits(0x7fff_ffff) } else { value }
}

/// A subnormal as the zero of its sign.
pub(super) fn flush(value: f32) -> f32 {
    if value.is_subnormal() { f32::from_bits(value.to_bits() & 0x8000_0000) } else { value }
}

/// Clamped to 0 ..= 1; NaN becomes +0.
pub(super) fn saturate(value: f32) -> f32 {
    if value > 0.0 { value.min(1.0) } else { 0.0 }
}

/// As [`saturate`], in double precision.
pub(super) fn saturate_f64(value: f64) -> f64 {
    if value > 0.0 { value.min(1.0) } else { 0.0 }
}

/// The float next to `value` towards `direction`, which is not `Nearest`.
fn step_f64(value: f64, direction: Direction) -> f64 {
    match direction {
        Direction::Up => value.next_up(),
        Direction::Down => value.next_down(),
        Direction::Zero if value > 0.0 => value.next_down(),
        Direction::Zero if value < 0.0 => value.next_up(),
        _ => value,
    }
}

/// True if a result that is off by `error` (exact minus rounded) lies on the wrong side of the exact value.
fn is_beyond(value: f64, error: f64, direction: Direction) -> bool {
    match direction {
        Direction::Nearest => false,
        Direction::Up => error > 0.0,
        Direction::Down => error < 0.0,
        Direction::Zero => (value > 0.0 && error < 0.0) || (value < 0.0 && error > 0.0),
    }
}

/// A rounded to nearest result and the sign of its error, rounded in a direction instead.
fn directed(nearest: f64, error: f64, direction: Direction) -> f64 {
    if nearest.is_infinite() && error != 0.0 && is_beyond(nearest, -nearest.signum(), direction) {
        // A finite sum that overflowed: the largest finite value lies on the right side.
        return f64::MAX.copysign(nearest);
    }
    if is_beyond(nearest, error, direction) { step_f64(nearest, direction) } else { nearest }
}

/// The sum, and its rounding error (Knuth's two-sum).
pub(super) fn add_f64(a: f64, b: f64, direction: Direction) -> f64 {
    let sum = a + b;
    if direction == Direction::Nearest {
        return sum;
    }
    if sum == 0.0
        && direction == Direction::Down
        && (a != 0.0 || a.is_sign_negative() || b.is_sign_negative())
    {
        // An exact zero of opposite terms is -0 when rounding down.
        return if a == 0.0 && b == 0.0 && a.is_sign_positive() && b.is_sign_positive() { 0.0 } else { -0.0 };
    }
    if sum.is_infinite() {
        let overflowed = a.is_finite() && b.is_finite();
        return if overflowed { directed(sum, 1.0, direction) } else { sum };
    }
    let other = sum - a;
    let error = (a - (sum - other)) + (b - other);
    directed(sum, error, direction)
}

/// The product.
pub(super) fn mul_f64(a: f64, b: f64, direction: Direction) -> f64 {
    fma_f64(a, b, if (a * b).is_sign_negative() { -0.0 } else { 0.0 }, direction)
}

/// The product plus `c`, rounded once.
pub(super) fn fma_f64(a: f64, b: f64, c: f64, direction: Direction) -> f64 {
    let nearest = a.mul_add(b, c);
    if direction == Direction::Nearest || nearest.is_nan() {
        return nearest;
    }
    if nearest.is_infinite() {
        let overflowed = a.is_finite() && b.is_finite() && c.is_finite();
        return if overflowed { directed(nearest, 1.0, direction) } else { nearest };
    }
    // exact - nearest, by a second rounding: a * b + (c - nearest) in two parts (Boldo and Muller, 2011).
    let product = a * b;
    let low = a.mul_add(b, -product);
    let sum = product + c;
    let other = sum - product;
    let sum_low = (product - (sum - other)) + (c - other);
    let error = (sum - nearest) + (sum_low + low);
    if nearest == 0.0 && error == 0.0 && direction == Direction::Down && product != 0.0 {
        return -0.0;
    }
    directed(nearest, error, direction)
}

/// The quotient.
pub(super) fn div_f64(a: f64, b: f64, direction: Direction) -> f64 {
    let nearest = a / b;
    if direction == Direction::Nearest || !nearest.is_finite() || b.is_infinite() {
        let overflowed = nearest.is_infinite() && a.is_finite() && b != 0.0 && b.is_finite();
        return if overflowed { directed(nearest, 1.0, direction) } else { nearest };
    }
    // a - nearest * b has the sign of the error, but for b's own sign.
    let error = (-nearest).mul_add(b, a) * b.signum();
    directed(nearest, error, direction)
}

/// The square root.
pub(super) fn sqrt_f64(a: f64, direction: Direction) -> f64 {
    let nearest = a.sqrt();
    if direction == Direction::Nearest || !nearest.is_finite() {
        return nearest;
    }
    directed(nearest, (-nearest).mul_add(nearest, a), direction)
}

/// A double in single precision. `error` is the sign of what the double itself lacks of the exact value.
pub(super) fn narrow(value: f64, error: f64, direction: Direction) -> f32 {
    let nearest = value as f32;
    if value.is_nan() || (value.is_infinite() && error == 0.0) {
        return nearest;
    }
    let back = f64::from(nearest);
    let off = if back == value { error } else { value - back };
    if direction == Direction::Nearest {
        return nearest;
    }
    if nearest.is_infinite() {
        return if is_beyond(back, -back, direction) { f32::MAX.copysign(nearest) } else { nearest };
    }
    let is_beyond = if nearest == 0.0 { false } else { is_beyond(back, off, direction) };
    match direction {
        Direction::Up if off > 0.0 => nearest.next_up(),
        Direction::Down if off < 0.0 => nearest.next_down(),
        Direction::Zero if is_beyond && nearest > 0.0 => nearest.next_down(),
        Direction::Zero if is_beyond => nearest.next_up(),
        _ => nearest,
    }
}

/// The sum in single precision. A double holds it but for an error whose sign two-sum gives.
pub(super) fn add_f32(a: f32, b: f32, direction: Direction) -> f32 {
    if direction == Direction::Nearest {
        return a + b;
    }
    fma_f32(a, 1.0, b, direction)
}

/// The product in single precision; a double holds it exactly.
pub(super) fn mul_f32(a: f32, b: f32, direction: Direction) -> f32 {
    if direction == Direction::Nearest { a * b } else { narrow(f64::from(a) * f64::from(b), 0.0, direction) }
}

/// The product plus `c` in single precision, rounded once.
pub(super) fn fma_f32(a: f32, b: f32, c: f32, direction: Direction) -> f32 {
    if direction == Direction::Nearest {
        return a.mul_add(b, c);
    }
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    if sum == 0.0 || !sum.is_finite() {
        let is_cancelled = direction == Direction::Down && sum == 0.0 && product == -c && product != 0.0;
        return if is_cancelled { -0.0 } else { add_f64(product, c, direction) as f32 };
    }
    let other = sum - product;
    narrow(sum, (product - (sum - other)) + (c - other), direction)
}

/// The quotient in single precision.
pub(super) fn div_f32(a: f32, b: f32, direction: Direction) -> f32 {
    if direction == Direction::Nearest {
        return a / b;
    }
    // Two floats of 24 bits never divide to a double that rounds to a float by accident, but may be exact.
    let (wide_a, wide_b) = (f64::from(a), f64::from(b));
    let quotient = wide_a / wide_b;
    if !quotient.is_finite() {
        return quotient as f32;
    }
    let error =
        if wide_b.is_infinite() { 0.0 } else { (-quotient).mul_add(wide_b, wide_a) * wide_b.signum() };
    narrow(quotient, error, direction)
}

/// The square root in single precision.
pub(super) fn sqrt_f32(a: f32, direction: Direction) -> f32 {
    if direction == Direction::Nearest {
        return a.sqrt();
    }
    let wide = f64::from(a);
    let root = wide.sqrt();
    narrow(root, if root.is_finite() { (-root).mul_add(root, wide) } else { 0.0 }, direction)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Direction; 4] = [Direction::Nearest, Direction::Zero, Direction::Down, Direction::Up];

    #[test]
    fn directed_sums_enclose_the_exact_one() {
        let tiny = f32::MIN_POSITIVE;
        assert_eq!(ALL.map(|d| add_f32(1.0, tiny, d)), [1.0, 1.0, 1.0, 1.0f32.next_up()]);
        assert_eq!(ALL.map(|d| add_f32(-1.0, -tiny, d)), [-1.0, -1.0, (-1.0f32).next_down(), -1.0]);
        assert_eq!(ALL.map(|d| add_f32(1.0, -tiny, d)), [1.0, 1.0f32.next_down(), 1.0f32.next_down(), 1.0]);
        assert_eq!(ALL.map(|d| add_f32(f32::MAX, f32::MAX, d))[1..], [f32::MAX, f32::MAX, f32::INFINITY]);
        assert!(add_f32(1.5, -1.5, Direction::Down).is_sign_negative());
        assert!(add_f32(1.5, -1.5, Direction::Up).is_sign_positive());
        let tiny = f64::MIN_POSITIVE;
        assert_eq!(ALL.map(|d| add_f64(1.0, tiny, d)), [1.0, 1.0, 1.0, 1.0f64.next_up()]);
    }

    #[test]
    fn directed_quotients_and_roots_bracket_the_exact_ones() {
        for (a, b) in [(1.0f32, 3.0f32), (-2.0, 7.0), (5.0, -9.0), (1e-40, 3.0)] {
            let exact = f64::from(a) / f64::from(b);
            let [_, zero, down, up] = ALL.map(|d| f64::from(div_f32(a, b, d)));
            assert!(down < exact && exact < up && zero.abs() < exact.abs(), "{a} / {b}");
            assert_eq!((down as f32).next_up(), up as f32);
        }
        assert_eq!(ALL.map(|d| div_f32(6.0, 3.0, d)), [2.0; 4]);
        assert_eq!(ALL.map(|d| sqrt_f32(9.0, d)), [3.0; 4]);
        let [near, zero, down, up] = ALL.map(|d| sqrt_f64(2.0, d));
        assert!(zero == down && down.next_up() == up && (near == up || near == down));
    }

    #[test]
    fn directed_products_agree_in_both_precisions() {
        for (a, b) in [(1.1f32, 1.3f32), (-1.1, 1.3), (3.0, 0.1), (2.0, 4.0), (1e-30, -1e-12)] {
            for direction in ALL {
                let single = mul_f32(a, b, direction);
                assert_eq!(fma_f32(a, b, 0.0, direction), single, "{a} * {b} {direction:?}");
            }
        }
        let [near, zero, down, up] = ALL.map(|d| mul_f64(1.1, 1.3, d));
        assert!(zero == down && down.next_up() == up && (near == up || near == down));
    }
}
