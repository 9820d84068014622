// Elementary functions in f32: the host's own polynomials (crates/tensor/src/cpu/math.rs), so that both devices keep
// one error bound. Row kernels, which are short of arithmetic, use the hardware's exponential instead.
#pragma once
#include "tile/dtype.cuh"

namespace math {

__device__ __forceinline__ f32 nan() { return __uint_as_float(0x7fc00000u); }
__device__ __forceinline__ f32 infinity() { return __uint_as_float(0x7f800000u); }
__device__ __forceinline__ f32 power_of_two(i32 k) { return __int_as_float((k + 127) << 23); }

// Σ c[i]·xⁱ by Horner's rule.
template <int N>
__device__ __forceinline__ f32 polynomial(f32 x, const f32 (&c)[N]) {
    f32 sum = c[N - 1];
#pragma unroll
    for (int i = N - 2; i >= 0; i--) sum = fmaf(sum, x, c[i]);
    return sum;
}

// eˣ, within 2 ulp (4 in the subnormal range). NaN gives NaN.
__device__ __forceinline__ f32 exp(f32 x) {
    // Adding and subtracting 1.5·2²³ rounds a small float to an integer, which then stands in the low bits.
    constexpr f32 ROUNDER = 12582912.0f;
    // Beyond these bounds the result is 0 or ∞ all the same; inside, k fits the two-step scaling below.
    f32 clamped = fminf(fmaxf(x, -105.0f), 90.0f);
    f32 shifted = fmaf(clamped, 1.44269504f, ROUNDER);
    i32 k = __float_as_int(shifted) - __float_as_int(ROUNDER);
    f32 n = shifted - ROUNDER;
    // ln 2 in two parts; the first has trailing zeros, so that its product with a small integer is exact.
    f32 r = fmaf(n, -1.4286068e-6f, fmaf(n, -0.69314575f, clamped));
    f32 tail = polynomial(r, {0.5f, 0.16666667f, 0.041666463f, 0.008333298f, 0.0013933935f, 0.00019899654f});
    f32 y = fmaf(r * r, tail, r) + 1.0f;
    // 2ᵏ in two steps: k may lie outside the exponents that one float has.
    i32 half = k >> 1;
    y = y * power_of_two(half) * power_of_two(k - half);
    return x != x ? x : y;
}

// The natural logarithm, within 2 ulp. 0 gives -∞, negative numbers and NaN give NaN.
__device__ __forceinline__ f32 ln(f32 x) {
    bool subnormal = x < 1.17549435e-38f;
    i32 bits = __float_as_int(subnormal ? x * 8388608.0f : x);
    // Split so that the mantissa lies in [√½, √2): then ln 1 = 0 loses no bits.
    i32 k = (bits - 0x3f3504f3) >> 23;
    f32 f = __int_as_float(bits - (k << 23)) - 1.0f;
    f32 e = f32(k - (subnormal ? 23 : 0));
    // ln(1+f) = f - f²/2 + s·(f²/2 + R), with s = f/(2+f) and R the rest of 2·artanh s.
    f32 s = f / (2.0f + f);
    f32 z = s * s;
    f32 rest = z * polynomial(z, {2.0f / 3.0f, 2.0f / 5.0f, 2.0f / 7.0f, 2.0f / 9.0f, 2.0f / 11.0f});
    f32 half_square = 0.5f * f * f;
    f32 small = fmaf(s, half_square + rest, e * 1.4286068e-6f);
    f32 y = fmaf(e, 0.69314575f, f - (half_square - small));
    if (x == 0.0f) y = -infinity();
    if (x == infinity()) y = x;
    return x < 0.0f || x != x ? nan() : y;
}

// 1/(1 + e⁻ˣ), within 3 ulp.
__device__ __forceinline__ f32 sigmoid(f32 x) {
    // eˣ/(1 + eˣ) for negative x: 1/(1 + e⁻ˣ) would overflow there and lose the subnormal results.
    f32 e = exp(-fabsf(x));
    f32 y = (x < 0.0f ? e : 1.0f) / (1.0f + e);
    return x != x ? x : y;
}

// The hyperbolic tangent, within 3 ulp.
__device__ __forceinline__ f32 tanh(f32 x) {
    f32 a = fabsf(x), z = x * x;
    f32 odd = polynomial(
        z, {-0.33333334f, 0.13333304f, -0.053959407f, 0.02176996f, -0.008346981f, 0.0022958413f});
    f32 small = fmaf(x * z, odd, x);
    f32 large = copysignf(1.0f - 2.0f / (exp(2.0f * a) + 1.0f), x);
    f32 y = a < 0.625f ? small : large;
    return x != x ? x : y;
}

// The complementary error function, within 8 ulp also far out in the tail.
__device__ __forceinline__ f32 erfc(f32 x) {
    // Beyond 10.5 the result is below the smallest float.
    f32 a = fminf(fabsf(x), 10.5f);
    // erfc a = e^(-a²)·t·P(t), t = 1/(1 + 0.4a): P is smooth and of one size over all of 0 < t ≤ 1.
    f32 t = 1.0f / fmaf(0.4f, a, 1.0f);
    f32 p = polynomial(
        t, {0.22568781f, 0.22538967f, 0.21056667f, 0.15442082f, 0.18298262f, -0.07184169f, 0.20674073f,
            -0.1358364f, -0.04838079f, 0.06680869f, -0.016538136f});
    // The rounding error of a² would be multiplied by a² in the exponential: take it back to first order.
    f32 square = __fmul_rn(a, a);
    f32 lost = fmaf(a, a, -square);
    f32 e = exp(-square);
    f32 tail = fmaf(-e, lost, e) * t * p;
    f32 y = x < 0.0f ? 2.0f - tail : tail;
    return x != x ? x : y;
}

// Φ(x), the standard normal distribution function: ½·erfc(-x/√2).
__device__ __forceinline__ f32 normal_cdf(f32 x) {
    // x/√2 in two parts, since in the tail erfc multiplies a relative error of its argument by 2x².
    constexpr f32 HIGH = 0.70710678118654752f;
    constexpr f32 LOW = f32(0.70710678118654752 - f64(HIGH));
    // Φ is 0 or 1 in f32 beyond ±15, and ∞ - ∞ must not come into the second part.
    f32 near = fminf(fmaxf(x, -20.0f), 20.0f);
    f32 a = __fmul_rn(-near, HIGH);
    f32 rest = fmaf(-near, HIGH, -a) - near * LOW;
    // d erfc/da = -2/√π·e^(-a²)
    f32 slope = -2.0f * 0.5641896f * exp(-a * a);
    f32 y = 0.5f * fmaf(slope, rest, erfc(a));
    return x != x ? x : y;
}

// φ(x) = e^(-x²/2)/√(2π), the standard normal density.
__device__ __forceinline__ f32 normal_pdf(f32 x) { return 0.3989423f * exp(-0.5f * x * x); }

}  // namespace math
