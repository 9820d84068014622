// The largest element of a row and the sum of exponentials below it, in one pass.
#pragma once
#include "tile/row.cuh"

struct Partition {
    f32 max;
    f32 sum;  // Σ e^(x - max)
};

// What a sum for the largest element `from` is multiplied by when that is `to` ≥ from. Of nothing yet (-∞) it is 0.
__device__ __forceinline__ f32 rescale(f32 from, f32 to) {
    return from == -math::infinity() ? 0.0f : expf(from - to);
}

// Of the whole row, in every thread of the group. The row's `outside` must be -∞.
template <class T>
__device__ __forceinline__ Partition partition(LongRows<T, 1>& x) {
    constexpr int PER = WIDTH<T>;
    Partition own = {-math::infinity(), 0.0f};
    x.each([&](f32(&v)[1][PER], u32, bool) {
        f32 max = own.max;
#pragma unroll
        for (int k = 0; k < PER; k++) max = larger(max, v[0][k]);
        // Nothing but -∞ so far: e^(-∞ + ∞) would be NaN where 0 is meant.
        if (max == -math::infinity()) return;
        f32 total = own.sum * rescale(own.max, max);
#pragma unroll
        for (int k = 0; k < PER; k++) total += expf(v[0][k] - max);
        own = {max, total};
    });
    f32 max = largest(own.max);
    return {max, sum(__fmul_rn(own.sum, rescale(own.max, max)))};
}
