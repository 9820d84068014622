// Computes: y = f(a, b) with broadcasting: sum, difference, product, quotient, larger, smaller, a·σ(a)·b; and from
// three inputs the backward of quotient (-g·y/b), of larger and of smaller (g to the winner, half of it in a tie).
// Reads/Writes: every element of y once; inputs of any strides, 0 along a broadcast.
// Plan: `tile/map.cuh`: one thread per 16 bytes of gapless operands, else one per element.
// Traffic: 3 elements a place (4 in the backward entries): the roof is memory.
// Shared memory: none.
// Ordering: no two threads touch one element of y; y may be an input that lies like it.
// Numerics: f32 inside, one rounding per operation; NaN wins max and min.
// Limits: 8 dims.
// Source: crates/ops: add, sub, mul, div, maximum, swiglu.
#include "tile/map.cuh"
#include "tile/math.cuh"

#define BINARY(NAME, F) MAP(NAME##_fwd, 2, (f32 p, f32 q), F)
BINARY(add, p + q)
BINARY(sub, p - q)
BINARY(mul, p* q)
BINARY(div, p / q)
BINARY(maximum, p > q || p != p ? p : q)
BINARY(minimum, p < q || p != p ? p : q)
BINARY(swiglu, p* math::sigmoid(p) * q)

#define TERNARY(NAME, F) MAP(NAME##_bwd, 3, (f32 g, f32 p, f32 q), F)
TERNARY(div, -g * p / q)
TERNARY(maximum, p < q ? 0.0f : p == q ? g * 0.5f : g)
TERNARY(minimum, p > q ? 0.0f : p == q ? g * 0.5f : g)
