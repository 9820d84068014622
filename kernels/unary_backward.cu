// Computes: y = g·f'(x) from g and x, or from g and f(x) where the slope follows from that.
// Reads/Writes: every element of g, of what was kept, and of y once, of any strides.
// Plan: `tile/map.cuh`: one thread per 16 bytes of gapless operands, else one per element.
// Traffic: 3 elements a place: the roof is memory.
// Shared memory: none.
// Ordering: no two threads touch one element; y may be g if it lies like it.
// Numerics: f32 inside, the host's formulas.
// Limits: 8 dims.
// Source: crates/ops, one file per function.
#include "tile/activation.cuh"
#include "tile/map.cuh"

#define BACKWARD(NAME, F) MAP(NAME##_bwd, 2, (f32 g, f32 kept), F)
// From the output.
BACKWARD(exp, g* kept)
BACKWARD(sqrt, g / (kept + kept))
BACKWARD(rsqrt, -0.5f * g * kept * kept * kept)
BACKWARD(relu, kept <= 0.0f ? 0.0f : g)
BACKWARD(sigmoid, g* kept*(1.0f - kept))
BACKWARD(tanh, g* fmaf(-kept, kept, 1.0f))
// From the input.
BACKWARD(ln, g / kept)
BACKWARD(square, (g * kept) * 2.0f)
BACKWARD(abs, g*((kept > 0.0f ? 1.0f : 0.0f) - (kept < 0.0f ? 1.0f : 0.0f)))
BACKWARD(softplus, g* math::sigmoid(kept))
BACKWARD(silu, g* silu_slope(kept))
BACKWARD(gelu, g* gelu::exact_slope(kept))
BACKWARD(gelu_tanh, g* gelu::tanh_slope(kept))

#define CLAMP(T) \
    KERNEL(clamp_bwd_##T, MAP_THREADS, MapArgs<2>) { \
        f32 low = f32(attribute(a, 0)), high = f32(attribute(a, 1)); \
        map<T>(a, [=](f32 g, f32 x) { return x >= low && x <= high ? g : 0.0f; }); \
    }
FLOATS(CLAMP)
