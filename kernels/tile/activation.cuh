// GELU in both forms, and the halves of SiLU, with their slopes.
#pragma once
#include "tile/math.cuh"

namespace gelu {

// GELU_SLOPE is 2·√(2/π): the tanh form is x·σ(SLOPE·(x + CUBIC·x³)) with these two.
#define GELU_SLOPE 1.5957691216057307f
#define GELU_CUBIC 0.044715f

// x·Φ(x).
__device__ __forceinline__ f32 exact(f32 x) { return x * math::normal_cdf(x); }

__device__ __forceinline__ f32 tanh(f32 x) {
    return x * math::sigmoid(GELU_SLOPE * x * fmaf(GELU_CUBIC * x, x, 1.0f));
}

// Beyond ±64 the slope is 0 or 1, and its terms are 0·∞. NaN stays.
__device__ __forceinline__ f32 near(f32 x) { return x != x ? x : fminf(fmaxf(x, -64.0f), 64.0f); }

__device__ __forceinline__ f32 exact_slope(f32 far) {
    f32 x = near(far);
    return fmaf(x, math::normal_pdf(x), math::normal_cdf(x));
}

__device__ __forceinline__ f32 tanh_slope(f32 far) {
    f32 x = near(far);
    f32 square = x * x;
    f32 s = math::sigmoid(GELU_SLOPE * x * fmaf(GELU_CUBIC, square, 1.0f));
    f32 inner = GELU_SLOPE * fmaf(3.0f * GELU_CUBIC, square, 1.0f);
    return fmaf(x * s * (1.0f - s), inner, s);
}

}  // namespace gelu

// d(x·σ(x))/dx = σ(x)·(1 + x·σ(-x)); both halves come from one exponential, so neither is 1 minus the other.
__device__ __forceinline__ f32 silu_slope(f32 x) {
    f32 e = math::exp(-fabsf(x));
    f32 large = 1.0f / (1.0f + e), small = e * large;
    f32 s = x < 0.0f ? small : large, t = x < 0.0f ? large : small;
    return s * fmaf(x, t, 1.0f);
}
