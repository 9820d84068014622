// Computes: y = f(x), and in the backward entries y = g·f'(x) from g and x, or from g and f(x) where that is cheaper.
// Reads/Writes: every element of x (or of g and what was kept) and of y once, of any strides.
// Plan: `tile/map.cuh`: one thread per 16 bytes of gapless operands, else one per element.
// Traffic: 2 elements a place, 3 in the backward entries: the roof is memory.
// Shared memory: none.
// Ordering: no two threads touch one element; y may be x or g if it lies like it.
// Numerics: f32 inside; the bounds are those of the host's formulas, which these are. NaN gives NaN.
// Limits: 8 dims.
// Source: crates/ops, one file per function.
#include "tile/activation.cuh"
#include "tile/map.cuh"

// ln(1 + eˣ) = max(x, 0) + ln(1 + e^-|x|). The rounding error of u = 1 + e is divided out again: ln u·e/(u - 1).
__device__ __forceinline__ f32 softplus(f32 x) {
    f32 e = math::exp(-fabsf(x)), u = 1.0f + e;
    return fmaxf(x, 0.0f) + (u == 1.0f ? e : math::ln(u) * (e / (u - 1.0f)));
}

#define UNARY(NAME, F) MAP(NAME##_fwd, 1, (f32 x), F)
UNARY(exp, math::exp(x))
UNARY(ln, math::ln(x))
UNARY(sqrt, __fsqrt_rn(x))
UNARY(rsqrt, 1.0f / __fsqrt_rn(x))
UNARY(square, x* x)
UNARY(abs, fabsf(x))
UNARY(neg, -x)
UNARY(relu, x < 0.0f ? 0.0f : x)
UNARY(sigmoid, math::sigmoid(x))
UNARY(tanh, math::tanh(x))
UNARY(softplus, softplus(x))
UNARY(silu, x* math::sigmoid(x))
UNARY(gelu, gelu::exact(x))
UNARY(gelu_tanh, gelu::tanh(x))

// scale·x + shift.
#define AFFINE(T) \
    KERNEL(affine_fwd_##T, MAP_THREADS, MapArgs<1>) { \
        f32 scale = f32(attribute(a, 0)), shift = f32(attribute(a, 1)); \
        map<T>(a, [=](f32 x) { return fmaf(x, scale, shift); }); \
    }
FLOATS(AFFINE)

// x held between low and high.
#define CLAMP(T) \
    KERNEL(clamp_fwd_##T, MAP_THREADS, MapArgs<1>) { \
        f32 low = f32(attribute(a, 0)), high = f32(attribute(a, 1)); \
        map<T>(a, [=](f32 x) { \
            f32 raised = x < low ? low : x; \
            return raised > high ? high : raised; \
        }); \
    }
FLOATS(CLAMP)
