// Computes: of x (B, C, I), for each channel, μ and the biased variance σ² over B and I, and y = w·x̂ + b with
//   x̂ = (x - μ)·r, r = 1/√(σ² + ε). Backward, with N = B·I: dw = Σ g·x̂, db = Σ g, and
//   dx = w·r·(g - db/N - x̂·dw/N) + gμ/N + 2·gσ²·(x - μ)/N for the gradients gμ and gσ² of the statistics.
// Reads/Writes: x 3 times, g and x twice in the backward entries, the later times from cache if the channel fits there; y
//   (or dx) and the numbers of a channel once.
// Plan: a block per channel, which goes along I; with I = 1 its accesses are C elements apart.
// Traffic: 3 + 1 elements a place, 4 + 1 in the backward entries: the roof is memory.
// Shared memory: 128 bytes static.
// Ordering: two barriers around each exchange of partial sums; y may be x, dx may be g.
// Numerics: forward sums in f64, two passes; the statistics are f32. Backward sums in f32. A NaN spreads over its channel.
// Limits: gapless operands, B·I > 0.
// Source: Ioffe and Szegedy, Batch Normalization, 2015, arXiv 1502.03167, §3.
#include "tile/row.cuh"

enum { BATCH_NORM_THREADS = 256 };

struct BatchNormArgs {
    u64 y, x, weight, bias, mean, variance;
    u64 eps, inverse;  // ε and 1/N, the bits of f64
    u64 count;         // N
    u64 channels, inner;
};

struct BatchNormBackwardArgs {
    u64 dx, dweight, dbias;
    u64 g, g_mean, g_variance, x, weight, mean, variance;
    u64 eps;
    u64 count, channels, inner;
    f32 inverse;
    u32 unused;
};

// f(place) for every element of this block's channel that this thread owns.
template <class Args, class F>
__device__ __forceinline__ void each(const Args& a, F f) {
#pragma unroll 1
    for (u64 i = threadIdx.x; i < a.count; i += BATCH_NORM_THREADS) {
        u64 outer = i / a.inner;
        f((outer * a.channels + blockIdx.x) * a.inner + i - outer * a.inner);
    }
}

template <class T>
__device__ __forceinline__ void forward(const BatchNormArgs& a) {
    const T* x = reinterpret_cast<const T*>(a.x);
    f64 inverse = __longlong_as_double(i64(a.inverse)), total = 0.0, squares = 0.0;
    each(a, [&](u64 i) { total += f64(widen(x[i])); });
    f64 mean = sum(total) * inverse;
    each(a, [&](u64 i) {
        f64 d = f64(widen(x[i])) - mean;
        squares += d * d;
    });
    f64 variance = sum(squares) * inverse;
    f64 rstd = 1.0 / sqrt(variance + __longlong_as_double(i64(a.eps)));
    f32 w = widen(reinterpret_cast<const T*>(a.weight)[blockIdx.x]);
    f32 b = widen(reinterpret_cast<const T*>(a.bias)[blockIdx.x]);
    each(a, [&](u64 i) {
        f32 normal = f32((f64(widen(x[i])) - mean) * rstd);
        reinterpret_cast<T*>(a.y)[i] = narrow<T>(fmaf(normal, w, b));
    });
    if (threadIdx.x == 0) {
        reinterpret_cast<f32*>(a.mean)[blockIdx.x] = f32(mean);
        reinterpret_cast<f32*>(a.variance)[blockIdx.x] = f32(variance);
    }
}

template <class T>
__device__ __forceinline__ void backward(const BatchNormBackwardArgs& a) {
    const T* x = reinterpret_cast<const T*>(a.x);
    const T* g = reinterpret_cast<const T*>(a.g);
    auto of_channel = [](u64 numbers) { return reinterpret_cast<const f32*>(numbers)[blockIdx.x]; };
    f32 mean = of_channel(a.mean);
    f32 rstd = f32(1.0 / sqrt(f64(of_channel(a.variance)) + __longlong_as_double(i64(a.eps))));
    f32 w = widen(reinterpret_cast<const T*>(a.weight)[blockIdx.x]);
    f32 sum_g = 0.0f, sum_gx = 0.0f;
    each(a, [&](u64 i) {
        f32 v = widen(g[i]);
        sum_g += v;
        sum_gx = fmaf(v, (widen(x[i]) - mean) * rstd, sum_gx);
    });
    sum_g = sum(sum_g);
    sum_gx = sum(sum_gx);
    if (threadIdx.x == 0) {
        reinterpret_cast<T*>(a.dweight)[blockIdx.x] = narrow<T>(sum_gx);
        reinterpret_cast<T*>(a.dbias)[blockIdx.x] = narrow<T>(sum_g);
    }
    f32 mean_g = sum_g * a.inverse, mean_gx = sum_gx * a.inverse;
    f32 of_mean = of_channel(a.g_mean) * a.inverse, of_variance = 2.0f * of_channel(a.g_variance) * a.inverse;
    each(a, [&](u64 i) {
        f32 d = widen(x[i]) - mean, inside = widen(g[i]) - mean_g - d * rstd * mean_gx;
        reinterpret_cast<T*>(a.dx)[i] = narrow<T>(fmaf(w * rstd, inside, fmaf(of_variance, d, of_mean)));
    });
}

#define ENTRIES(T) \
    KERNEL(batch_norm_fwd_##T, BATCH_NORM_THREADS, BatchNormArgs) { forward<T>(a); } \
    KERNEL(batch_norm_bwd_##T, BATCH_NORM_THREADS, BatchNormBackwardArgs) { backward<T>(a); }
FLOATS(ENTRIES)
