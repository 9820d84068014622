// Computes: y = e^(x - m)/Σ e^(x - m) along rows of n, m = max x, or its logarithm (x - m) - ln Σ e^(x - m); backward
//   dx = y·(g - Σ g·y), or g - e^y·Σ g.
// Reads/Writes: of rows of whole 16-byte runs the first 8192 elements once, all others twice; y (or dx) once. Gapless.
// Plan: a warp per row up to n = 512, a block of 128 threads up to 2048, of 512 beyond; the row in registers. Largest and
//   sum come from one pass, the sum scaled down whenever a larger element is met.
// Traffic: 2 elements a place (3 backward) where read once, 3 (5, of the logarithm 4) where twice: the roof is memory.
// Shared memory: 128 bytes of static partial results in blocks of several warps.
// Ordering: two barriers around each exchange of partial results; y may be x, dx may be g.
// Numerics: sums in f32, in f64 for Σ g of the logarithm's backward. A row of -∞ alone is NaN; NaN spreads over its row.
// Limits: n < 2³¹.
// Source: Milakov and Gimelshein, Online normalizer calculation for softmax, 2018, arXiv 1805.02867.
#include "tile/row.cuh"
#include "tile/softmax.cuh"

struct SoftmaxArgs {
    u64 y, x;
    u64 rows;
    u32 n, unused;
};

struct SoftmaxBackwardArgs {
    u64 dx, g, y;
    u64 rows;
    u32 n, unused;
};

template <class T, bool LOG>
__device__ __forceinline__ void forward(const SoftmaxArgs& a) {
    constexpr int PER = WIDTH<T>;
    u64 r = row_number();
    if (r >= a.rows) return;
    LongRows<T, 1> x({a.x}, a.y, r, a.n, -math::infinity());
    RowPointer<T> y(a.y, r, a.n);
    Partition total = partition(x);
    f32 log_sum = math::ln(total.sum), scale = 1.0f / total.sum;
    x.each([&](f32(&v)[1][PER], u32 at, bool whole) {
        f32 out[PER];
#pragma unroll
        for (int k = 0; k < PER; k++) {
            f32 below = v[0][k] - total.max;
            out[k] = LOG ? below - log_sum : expf(below) * scale;
        }
        y.store(whole, at, out);
    });
}

template <class T, bool LOG>
__device__ __forceinline__ void backward(const SoftmaxBackwardArgs& a) {
    constexpr int PER = WIDTH<T>;
    u64 r = row_number();
    if (r >= a.rows) return;
    LongRows<T, 2> rows({a.g, a.y}, a.dx, r, a.n);
    RowPointer<T> dx(a.dx, r, a.n);
    // Σ g in f64, since it may cancel where e^y does not; Σ g·y in f32.
    f64 wide = 0.0;
    f32 dot = 0.0f;
    rows.each([&](f32(&v)[2][PER], u32, bool) {
#pragma unroll
        for (int k = 0; k < PER; k++) {
            if (LOG) {
                wide += v[0][k];
            } else {
                dot = fmaf(v[0][k], v[1][k], dot);
            }
        }
    });
    if (LOG) {
        wide = sum(wide);
    } else {
        dot = sum(dot);
    }
    rows.each([&](f32(&v)[2][PER], u32 at, bool whole) {
        f32 out[PER];
#pragma unroll
        for (int k = 0; k < PER; k++) {
            out[k] = LOG ? f32(f64(v[0][k]) - f64(expf(v[1][k])) * wide) : v[1][k] * (v[0][k] - dot);
        }
        dx.store(whole, at, out);
    });
}

#define ENTRIES(T) \
    KERNEL(softmax_fwd_##T, TWO_BLOCKS, SoftmaxArgs) { forward<T, false>(a); } \
    KERNEL(log_softmax_fwd_##T, TWO_BLOCKS, SoftmaxArgs) { forward<T, true>(a); } \
    KERNEL(softmax_bwd_##T, ROW_BOUNDS, SoftmaxBackwardArgs) { backward<T, false>(a); } \
    KERNEL(log_softmax_bwd_##T, ROW_BOUNDS, SoftmaxBackwardArgs) { backward<T, true>(a); }
FLOATS(ENTRIES)
