//! Elementary functions in f32, written without branches so that a loop over a slice becomes SIMD code.
//!
//! Each is a range reduction and a polynomial (fitted by us at Chebyshev nodes); the tests hold each to its error
//! bound against f64 over the whole range. All steps are correctly rounded operations, so the bits are the same on
//! every machine. **Call them inside [`super::dispatch`]**: outside it, a fused multiply-add is a library call.

/// a·b + c, rounded once.
#[inline(always)]
fn fma(a: f32, b: f32, c: f32) -> f32 {
    a.mul_add(b, c)
}

/// Σ c[i]·xⁱ by Horner's rule.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, c: [f32; N]) -> f32 {
    let mut sum = c[N - 1];
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        sum = fma(sum, x, c[i]);
    }
    sum
}

/// ln 2 in two parts; the first has trailing zeros, so that its product with a small integer is exact.
const LN_2_HIGH: f32 = 0.693_145_75;
const LN_2_LOW: f32 = 1.428_606_8e-6;

/// Adding and subtracting 1.5·2²³ rounds a small float to an integer, which then stands in the low bits.
const ROUNDER: f32 = 12_582_912.0;

/// 2ᵏ for k in -126..=127.
#[inline(always)]
fn power_of_two(k: i32) -> f32 {
    f32::from_bits(((k + 127) << 23) as u32)
}

/// eˣ, within 2 ulp (4 in the subnormal range). NaN gives NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Beyond these bounds the result is 0 or ∞ all the same; inside, k fits the two-step scaling below.
    let inside = x.clamp(-105.0, 90.0);
    // eˣ = y·2ᵏ with y near 1.
    let shifted = fma(inside, std::f32::consts::LOG2_E, ROUNDER);
    let k = (shifted.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32);
    let n = shifted - ROUNDER;
    let r = fma(n, -LN_2_LOW, fma(n, -LN_2_HIGH, inside));
    let tail =
        polynomial(r, [0.5, 0.166_666_67, 0.041_666_463, 0.008_333_298, 0.001_393_393_5, 0.000_198_996_54]);
    let y = fma(r * r, tail, r) + 1.0;
    // 2ᵏ in two steps: k may lie outside the exponents that one float has.
    let half = k >> 1;
    let scaled = y * power_of_two(half) * power_of_two(k - half);
    if x.is_nan() { x } else { scaled }
}

/// 2ˣ for x < 128, within 1 ulp, where less than 2⁻¹²⁶ counts as 0. NaN gives NaN. Cheaper than [`exp`], and no result lies below
/// the normal numbers, which would cost the processor a hundred cycles each.
#[inline(always)]
pub fn exp2_or_zero(x: f32) -> f32 {
    const LOWEST: f32 = -126.0;
    /// The low bits of a rounded number are its exponent as a float has it, 127 too many.
    const BIASED: f32 = ROUNDER + 127.0;
    let tiny = x < LOWEST;
    let x = if tiny { LOWEST } else { x };
    let shifted = x + BIASED;
    let r = x - (shifted - BIASED);
    let slope = polynomial(
        r,
        [
            std::f32::consts::LN_2,
            0.240_226_48,
            0.055_503_324,
            0.009_618_437,
            0.001_339_887_4,
            0.000_153_533_62,
        ],
    );
    // For NaN the power is arbitrary, and the product NaN.
    let y = fma(r, slope, 1.0) * f32::from_bits(shifted.to_bits() << 23);
    if tiny { 0.0 } else { y }
}

/// The natural logarithm, within 2 ulp. 0 gives -∞, negative numbers and NaN give NaN.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let subnormal = x < f32::MIN_POSITIVE;
    let scaled = if subnormal { x * 8_388_608.0 } else { x };
    // Split so that the mantissa lies in [√½, √2): then ln 1 = 0 loses no bits.
    const SQRT_HALF: i32 = 0x3f35_04f3;
    let bits = scaled.to_bits() as i32;
    let k = (bits.wrapping_sub(SQRT_HALF)) >> 23;
    let f = f32::from_bits((bits.wrapping_sub(k << 23)) as u32) - 1.0;
    let e = (k - if subnormal { 23 } else { 0 }) as f32;
    // ln(1+f) = f - f²/2 + s·(f²/2 + R), with s = f/(2+f) and R the rest of 2·artanh s.
    let s = f / (2.0 + f);
    let z = s * s;
    let rest = z * polynomial(z, [2.0 / 3.0, 2.0 / 5.0, 2.0 / 7.0, 2.0 / 9.0, 2.0 / 11.0]);
    let half_square = 0.5 * f * f;
    let small = fma(s, half_square + rest, e * LN_2_LOW);
    let y = fma(e, LN_2_HIGH, f - (half_square - small));
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    let y = if x == f32::INFINITY { x } else { y };
    if x < 0.0 || x.is_nan() { f32::NAN } else { y }
}

/// 1 / (1 + e⁻ˣ), within 3 ulp.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    // e^x/(1+e^x) for negative x: 1/(1+e^-x) would overflow there and lose the subnormal results.
    let e = exp(-x.abs());
    let numerator = if x < 0.0 { e } else { 1.0 };
    let y = numerator / (1.0 + e);
    if x.is_nan() { x } else { y }
}

/// The hyperbolic tangent, within 3 ulp.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let odd = polynomial(
        z,
        [-0.333_333_34, 0.133_333_04, -0.053_959_407, 0.021_769_96, -0.008_346_981, 0.002_295_841_3],
    );
    let small = fma(x * z, odd, x);
    let large = (1.0 - 2.0 / (exp(2.0 * a) + 1.0)).copysign(x);
    let y = if a < 0.625 { small } else { large };
    if x.is_nan() { x } else { y }
}

/// Φ(x) and φ(x), the standard normal distribution function and its density e^(-x²/2) / √(2π), by one exponential.
/// Φ within 8 ulp also far out in the tail, where 1 - Φ(-x) would have no correct digit.
#[inline(always)]
pub fn normal(x: f32) -> (f32, f32) {
    // Beyond ±15 both have their limits in f32.
    let a = x.abs().min(15.0);
    // Φ(-a) = ½·e^(-a²/2) · t · P(t), t = 1/(1 + 0.4·a/√2): P is smooth and of one size over all of 0 < t ≤ 1.
    let t = 1.0 / fma(0.4 * std::f32::consts::FRAC_1_SQRT_2, a, 1.0);
    let p = polynomial(
        t,
        [
            0.225_687_81,
            0.225_389_67,
            0.210_566_67,
            0.154_420_82,
            0.182_982_62,
            -0.071_841_69,
            0.206_740_73,
            -0.135_836_4,
            -0.048_380_79,
            0.066_808_69,
            -0.016_538_136,
        ],
    );
    // The rounding error of a² would be multiplied by a²/2 in the exponential: take it back to first order.
    let square = a * a;
    let lost = fma(a, a, -square);
    let e = exp(-0.5 * square);
    let e = fma(-0.5 * e, lost, e);
    let tail = 0.5 * t * p * e;
    let cdf = if x < 0.0 { tail } else { 1.0 - tail };
    if x.is_nan() { (x, x) } else { (cdf, 0.398_942_3 * e) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every 1031st float, both signs: dense in every binade, subnormals and infinities included.
    fn floats() -> impl Iterator<Item = f32> {
        (0..=0x7f80_0000u32).step_by(1031).flat_map(|b| [f32::from_bits(b), -f32::from_bits(b)])
    }

    /// The largest error in units of the last place of the result (the smallest normal's ulp below the normals).
    fn worst(f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> (f64, f32) {
        let mut worst = (0.0, 0.0);
        let floats: Vec<f32> = floats().collect();
        let mut values = floats.clone();
        // In the SIMD code that users get.
        crate::cpu::dispatch(
            #[inline(always)]
            || {
                for x in values.iter_mut() {
                    *x = f(*x);
                }
            },
        );
        for (&x, y) in floats.iter().zip(values) {
            let expected = exact(x as f64);
            let rounded = expected as f32;
            if rounded.is_nan() {
                assert!(y.is_nan(), "f({x}) = {y}, not NaN");
                continue;
            }
            if rounded.is_infinite() || y.is_infinite() {
                // At the edge of overflow either side may round over it.
                let edge = expected.abs() > 3.402_823e38 && y.abs() >= 3.402_82e38;
                assert!(rounded == y || edge, "f({x}) = {y}, expected {expected}");
                continue;
            }
            let exponent = rounded.abs().max(f32::MIN_POSITIVE).log2().floor() as i32;
            let error = (y as f64 - expected).abs() / 2f64.powi(exponent - 23);
            if error > worst.0 {
                worst = (error, x);
            }
        }
        worst
    }

    fn hold(name: &str, bound: f64, (error, at): (f64, f32)) {
        println!("{name}: {error:.3} ulp at {at}");
        assert!(error <= bound, "{name}: {error} ulp at {at}, over {bound}");
    }

    #[test]
    fn elementary_functions_hold_their_bounds() {
        hold("exp", 2.0, worst(exp, f64::exp));
        let exact = |x: f64| if x < -126.0 { 0.0 } else { x.min(127.25).exp2() };
        hold("exp2_or_zero", 1.0, worst(|x| exp2_or_zero(if x > 127.25 { 127.25 } else { x }), exact));
        hold("ln", 2.0, worst(ln, f64::ln));
        hold("sigmoid", 3.0, worst(sigmoid, |x| 1.0 / (1.0 + (-x).exp())));
        hold("tanh", 3.0, worst(tanh, f64::tanh));
    }

    /// Abramowitz and Stegun 7.1.5 (series) and 7.1.14 (continued fraction), in f64.
    fn erfc_f64(x: f64) -> f64 {
        if x < 0.0 {
            return 2.0 - erfc_f64(-x);
        }
        if x < 2.5 {
            let (mut term, mut sum) = (x, x);
            for n in 1..80 {
                term *= -x * x / n as f64;
                sum += term / (2 * n + 1) as f64;
            }
            return 1.0 - sum * 2.0 / std::f64::consts::PI.sqrt();
        }
        let mut fraction = 0.0;
        for n in (1..120).rev() {
            fraction = n as f64 / 2.0 / (x + fraction);
        }
        (-x * x).exp() / (x + fraction) / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn the_normal_distribution_holds_its_bound_into_the_tail() {
        hold(
            "normal_cdf",
            8.0,
            worst(|x| normal(x).0, |x| 0.5 * erfc_f64(-x * std::f64::consts::FRAC_1_SQRT_2)),
        );
    }

    #[test]
    fn nan_stays_nan() {
        for f in [exp, exp2_or_zero, ln, sigmoid, tanh, |x| normal(x).0, |x| normal(x).1] {
            assert!(f(f32::NAN).is_nan());
        }
    }
}
