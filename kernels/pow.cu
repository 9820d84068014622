// Computes: y = xᵖ for one exponent p, and g·p·xᵖ⁻¹.
// Reads/Writes: every element of x (and g) and of y once, of any strides.
// Plan: `tile/map.cuh`.
// Traffic: 2 elements a place, 3 backward; some 40 operations in f64 an element, which is the roof on GPUs with few
//   f64 units.
// Shared memory: none.
// Ordering: no two threads touch one element; y may be an input that lies like it.
// Numerics: |x|ᵖ = e^(p·ln|x|) in f64, rounded once; the sign and NaN as C's pow has them for finite p.
// Limits: 8 dims.
// Source: the host's formulas, crates/ops/src/pow.rs.
#include "tile/map.cuh"
#include "tile/math.cuh"

// ln a for a ≥ 0 that came from f32, within 1e-15 of its size.
__device__ __forceinline__ f64 ln(f64 a) {
    // a = 2ᵏ·m with m in [√½, √2); then ln m = 2·artanh s, s = (m-1)/(m+1), |s| < 0.172.
    i64 bits = __double_as_longlong(a);
    i64 k = (bits - 0x3fe6a09e667f3bcdll) >> 52;
    f64 m = __longlong_as_double(bits - (k << 52));
    f64 s = (m - 1.0) / (m + 1.0);
    f64 z = s * s;
    f64 sum = 1.0 / 21.0;
#pragma unroll
    for (int odd = 19; odd > 0; odd -= 2) sum = fma(z, sum, 1.0 / odd);
    f64 y = fma(2.0 * s, sum, f64(k) * 0.69314718055994531);
    if (a == 0.0) y = -__longlong_as_double(0x7ff0000000000000ll);
    return a == __longlong_as_double(0x7ff0000000000000ll) || a != a ? a : y;
}

// eᵗ, within 1e-14 of its size, for results that f32 can hold; 0 or ∞ beyond those.
__device__ __forceinline__ f64 exp(f64 t) {
    constexpr f64 ROUNDER = 6755399441055744.0;
    f64 held = fmin(fmax(t, -150.0), 150.0);
    f64 shifted = fma(held, 1.4426950408889634, ROUNDER);
    f64 n = shifted - ROUNDER;
    i64 k = __double_as_longlong(shifted) - __double_as_longlong(ROUNDER);
    // |r| ≤ ½·ln 2: the term after the last is below 1e-16.
    f64 r = fma(n, -0.69314718055994531, held);
    f64 y = 1.0;
#pragma unroll
    for (int i = 13; i > 0; i--) y = fma(y * r, 1.0 / i, 1.0);
    y *= __longlong_as_double((k + 1023) << 52);
    if (t > 149.0) y = __longlong_as_double(0x7ff0000000000000ll);
    if (t < -149.0) y = 0.0;
    return t != t ? t : y;
}

__device__ __forceinline__ f32 power(f32 x, f64 p) {
    bool whole = p == trunc(p);
    bool odd = whole && p * 0.5 != trunc(p * 0.5);
    f32 y = f32(exp(p * ln(f64(fabsf(x)))));
    if (odd) y = copysignf(y, x);
    bool outside = !whole && x < 0.0f && x > -math::infinity();
    return outside ? math::nan() : y;
}

#define POW(T) \
    KERNEL(pow_fwd_##T, MAP_THREADS, MapArgs<1>) { \
        f64 p = attribute(a, 0); \
        map<T>(a, [=](f32 x) { return p == 0.0 ? 1.0f : power(x, p); }); \
    } \
    KERNEL(pow_bwd_##T, MAP_THREADS, MapArgs<2>) { \
        f64 p = attribute(a, 0); \
        map<T>(a, [=](f32 g, f32 x) { \
            f32 slope = p == 1.0 ? 1.0f : f32(p) * power(x, p - 1.0); \
            return p == 0.0 ? 0.0f : g * slope; \
        }); \
    }
FLOATS(POW)
