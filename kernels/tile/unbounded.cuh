// NaN and ∞ behind a mask. A product over a tile multiplies what a row does not see by 0, and 0·NaN and 0·∞ are NaN. So
// where rows see different parts of a tile, its elements that are not finite are taken out of it before the product; at the
// end, if there were any, the block adds them to those of its results that have a part in them. Only tiles at the edge of a
// mask are looked at, and as a rule they hold none. (An element that is added twice is no harm: it stays NaN or ∞.)
#pragma once
#include "ptx/shared_access.cuh"
#include "tile/attention.cuh"

// The exponent's bits of both halves of a word, and what carries into the bit above them where all are set.
template <class T>
struct Exponent;
template <>
struct Exponent<bf16> {
    static constexpr u32 BITS = 0x7f807f80, CARRY = 0x00800080;
};
template <>
struct Exponent<f16> {
    static constexpr u32 BITS = 0x7c007c00, CARRY = 0x04000400;
};

// The top bit of each half of a pair that is NaN or ±∞.
template <class T>
__device__ __forceinline__ u32 unbounded_halves(u32 pair) {
    return (pair & Exponent<T>::BITS) + Exponent<T>::CARRY & 0x80008000;
}

// Whether this thread's share of a tile of BYTES in shared memory holds a number that is not finite.
template <class T, int BYTES, int THREADS>
__device__ __forceinline__ bool has_unbounded(u32 tile) {
    u32 found = 0;
#pragma unroll 1
    for (u32 at = tile + threadIdx.x * 16; at < tile + BYTES; at += THREADS * 16) {
        u32 x[4];
        ptx::load_shared_x4(x, at);
#pragma unroll
        for (int i = 0; i < 4; i++) found |= unbounded_halves<T>(x[i]);
    }
    return found != 0;
}

// Writes 0 over those numbers.
template <class T, int BYTES, int THREADS>
__device__ __forceinline__ void clear_unbounded(u32 tile) {
#pragma unroll 1
    for (u32 at = tile + threadIdx.x * 16; at < tile + BYTES; at += THREADS * 16) {
        u32 x[4];
        ptx::load_shared_x4(x, at);
#pragma unroll
        for (int i = 0; i < 4; i++) x[i] &= ~((unbounded_halves<T>(x[i]) >> 15) * 0xffff);
        ptx::store_shared_x4(at, x);
    }
}

// The factor of a value: what a probability above 0 would make of it, and NaN where dropout made it 0.
__device__ __forceinline__ f32 factor_of_value(const AttentionArgs& a, const Place& p, i32 i, i32 j) {
    if (!sees(a, p, i, j)) return 0.0f;
    return a.drop <= 0.0f || is_kept(a, p, i, j) ? 1.0f : math::nan();
}

// The factor of a key or a query that meets the gradient of a score, which is NaN with them.
__device__ __forceinline__ f32 factor_of_score(const AttentionArgs& a, const Place& p, i32 i, i32 j) {
    return sees(a, p, i, j) ? math::nan() : 0.0f;
}

// Adds Σ factor(r, s)·x[s][c], over those x that are not finite, to element (r, c) of rows begin..end of an array, which
// this block has written before a barrier.
template <class T, int THREADS, class F>
__device__ __forceinline__ void add_unbounded(T* array, i64 stride, i32 begin, i32 end, const Stored<T>& x, F factor) {
#pragma unroll 1
    for (i32 n = threadIdx.x; n < (end - begin) * x.cols; n += THREADS) {
        i32 r = begin + n / x.cols, c = n % x.cols;
        f32 sum = 0.0f;
#pragma unroll 1
        for (i32 s = 0; s < x.rows; s++) {
            T value = x.base[s * x.stride + c];
            if (!unbounded_halves<T>(value.bits)) continue;
            f32 f = factor(r, s);
            if (f != 0.0f) sum += f * widen(value);
        }
        T* to = array + (r * stride + c);
        if (sum != 0.0f) *to = narrow<T>(widen(*to) + sum);
    }
}
