// Computes: unfold: the windows that a convolution sees, y[b, t, c, k] = x[b, c, t·stride + k·dilation - padding], 0 outside
//   of x. fold: its transpose, which adds every place of a window back to where it came from.
// Reads/Writes: unfold reads an element of x for each window that holds it, from cache, and writes y (B, P, C, K) once; fold
//   reads every element of y that lies in x once and writes x (B, C, T) once.
// Plan: one thread per element of the result: fold gathers, so that nothing is added by two threads.
// Traffic: B·P·C·K elements and those of x: the roof is memory.
// Shared memory: none.
// Ordering: no two threads touch one element of the result; the result is no input.
// Numerics: unfold is exact; fold adds in f32, in the order of k.
// Limits: gapless operands.
// Source: Chellapilla, Puri and Simard, High Performance Convolutional Neural Networks for Document Processing, 2006, §3.
#include "tile/dtype.cuh"

enum { UNFOLD_THREADS = 256 };

struct UnfoldArgs {
    u64 y, x;
    u64 elements;  // of the result
    u64 channels, times, positions, taps;  // C, T, P, K
    u64 stride, dilation, padding;
};

template <class T>
__device__ __forceinline__ void unfold(const UnfoldArgs& a) {
    u64 e = u64(blockIdx.x) * UNFOLD_THREADS + threadIdx.x;
    if (e >= a.elements) return;
    u64 k = e % a.taps, c = e / a.taps % a.channels, window = e / a.taps / a.channels;
    u64 b = window / a.positions, t = window - b * a.positions;
    // Before the first element this wraps, and is beyond the last.
    u64 from = t * a.stride + k * a.dilation - a.padding;
    const T* x = reinterpret_cast<const T*>(a.x);
    reinterpret_cast<T*>(a.y)[e] = from < a.times ? x[(b * a.channels + c) * a.times + from] : narrow<T>(0.0f);
}

template <class T>
__device__ __forceinline__ void fold(const UnfoldArgs& a) {
    u64 e = u64(blockIdx.x) * UNFOLD_THREADS + threadIdx.x;
    if (e >= a.elements) return;
    u64 row = e / a.times, s = e - row * a.times, b = row / a.channels, c = row - b * a.channels;
    const T* y = reinterpret_cast<const T*>(a.y);
    f32 total = 0.0f;
    for (u64 k = 0; k < a.taps; k++) {
        u64 start = s + a.padding, reach = k * a.dilation;
        if (reach > start) break;
        u64 t = (start - reach) / a.stride;
        if (t * a.stride + reach == start && t < a.positions)
            total += widen(y[((b * a.positions + t) * a.channels + c) * a.taps + k]);
    }
    reinterpret_cast<T*>(a.x)[e] = narrow<T>(total);
}

#define ENTRIES(T) \
    KERNEL(unfold_fwd_##T, UNFOLD_THREADS, UnfoldArgs) { unfold<T>(a); } \
    KERNEL(fold_fwd_##T, UNFOLD_THREADS, UnfoldArgs) { fold<T>(a); }
FLOATS(ENTRIES)
