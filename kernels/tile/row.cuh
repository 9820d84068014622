// One gapless row of n elements shared by a group of threads, and reductions over the group.
//
// A block is (G, R): G threads form a group, which owns one row; R groups stand side by side only if G is a warp. Which
// thread meets which element depends on n alone, so a row alone has the bits of that row in a batch.
#pragma once
#include "ptx/load.cuh"
#include "tile/math.cuh"
#include "tile/vector.cuh"

// Values of a row that a thread keeps in registers, and the most threads of a group.
enum { ROW_VALUES = 16, ROW_THREADS = 512 };
// Bounds for kernels that keep rows: registers come before a second block on the multiprocessor, or they would spill.
#define ROW_BOUNDS ROW_THREADS, 1
// Where they fit twice all the same: the second block's loads are on their way while the first one computes.
#define TWO_BLOCKS ROW_THREADS, 2

// The row of this group.
__device__ __forceinline__ u64 row_number() { return u64(blockIdx.x) * blockDim.y + threadIdx.y; }

// Folds v over the group; every thread gets the same bits, if combine(a, b) and combine(b, a) are the same.
template <class V, class F>
__device__ __forceinline__ V reduce(V v, V identity, F combine) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) v = combine(v, __shfl_xor_sync(0xffffffffu, v, step));
    if (blockDim.x == 32) return v;
    __shared__ V partial[ROW_THREADS / 32];
    u32 lane = threadIdx.x % 32;
    // The partial results of an earlier reduction may still be read.
    __syncthreads();
    if (lane == 0) partial[threadIdx.x / 32] = v;
    __syncthreads();
    v = lane < blockDim.x / 32 ? partial[lane] : identity;
#pragma unroll
    for (int step = 8; step > 0; step /= 2) v = combine(v, __shfl_xor_sync(0xffffffffu, v, step));
    return __shfl_sync(0xffffffffu, v, 0);
}

template <class V>
__device__ __forceinline__ V sum(V v) {
    return reduce(v, V(0), [](V a, V b) { return a + b; });
}

// The larger number; NaN wins.
__device__ __forceinline__ f32 larger(f32 a, f32 b) { return a > b || a != a ? a : b; }

__device__ __forceinline__ f32 largest(f32 v) { return reduce(v, -math::infinity(), larger); }

// Whether rows that begin so many elements of T apart begin where runs can be moved by one access, these pointers or'ed into one.
template <class T>
__device__ __forceinline__ bool rows_are_aligned(u64 stride, u64 pointers) {
    return stride % WIDTH<T> == 0 && pointers % 16 == 0;
}

// A row in memory: runs of PER neighbours go round the group. Whole ones are moved by one access, others element by
// element; `whole` is a constant wherever it is passed. A row of narrower elements beside another has that one's runs.
template <class T, int RUN = WIDTH<T>>
struct RowPointer {
    static constexpr int PER = RUN;
    T* data;
    u32 n;

    __device__ __forceinline__ RowPointer(u64 pointer, u64 row, u32 n, u64 stride)
        : data(reinterpret_cast<T*>(pointer) + row * stride), n(n) {}
    __device__ __forceinline__ RowPointer(u64 pointer, u64 row, u32 n) : RowPointer(pointer, row, n, n) {}

    __device__ __forceinline__ void load(bool whole, u32 at, f32 (&v)[PER], f32 outside = 0.0f) const {
        if (whole) {
            auto from = load_vector<PER>(data + at);
#pragma unroll
            for (int k = 0; k < PER; k++) v[k] = widen(from.at[k]);
        } else {
#pragma unroll
            for (int k = 0; k < PER; k++) v[k] = at + k < n ? widen(data[at + k]) : outside;
        }
    }

    __device__ __forceinline__ void store(bool whole, u32 at, const f32 (&v)[PER]) const {
        if (whole) {
            Vector<T, PER> to;
#pragma unroll
            for (int k = 0; k < PER; k++) to.at[k] = narrow<T>(v[k]);
            store_vector(data + at, to);
        } else {
#pragma unroll
            for (int k = 0; k < PER; k++) {
                if (at + k < n) data[at + k] = narrow<T>(v[k]);
            }
        }
    }
};

// N rows of one width, read together. each(f) calls f(values, at, whole) for every run of this thread, as often as asked.
// Of aligned rows the first ROW_VALUES values a thread are kept in registers; the others are read from memory again, the
// last ones, if they are no whole run, element by element. Values outside a row are `outside`. The order of arithmetic does
// not depend on which it is. The first row may be of narrower elements. AHEAD: runs of what is not kept that are on their
// way together, for kernels whose rows are long; their registers are taken from short ones.
template <class T, int N, class First = T, int AHEAD = 1>
struct Rows {
    static constexpr int PER = WIDTH<T>;
    static constexpr int KEPT = ROW_VALUES / PER;
    u64 from[N];
    u32 n;
    bool aligned;
    f32 outside;
    f32 kept[KEPT][N][PER];

    // `others`: what else is moved with the same runs, or'ed.
    __device__ __forceinline__ Rows(const u64 (&pointers)[N], u64 others, u64 row, u32 n, f32 outside = 0.0f)
        : Rows(pointers, others, row, n, outside, n) {}

    // Rows that begin `stride` elements apart.
    __device__ __forceinline__ Rows(const u64 (&pointers)[N], u64 others, u64 row, u32 n, f32 outside, u64 stride)
        : n(n), outside(outside) {
        u64 all = others;
#pragma unroll
        for (int i = 0; i < N; i++) {
            from[i] = pointers[i] + row * stride * (i == 0 ? sizeof(First) : sizeof(T));
            all |= pointers[i];
        }
        aligned = rows_are_aligned<T>(stride, all);
        if (!aligned) return;
#pragma unroll
        for (int r = 0; r < KEPT; r++) {
            if (start(r) + PER <= n) load(true, start(r), kept[r]);
        }
    }

    // Where run r of this thread starts.
    static __device__ __forceinline__ u32 start(u32 r) { return (r * blockDim.x + threadIdx.x) * PER; }

    __device__ __forceinline__ void load(bool whole, u32 at, f32 (&v)[N][PER]) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            if (i == 0) {
                RowPointer<First, PER>(from[i], 0, n).load(whole, at, v[i], outside);
            } else {
                RowPointer<T>(from[i], 0, n).load(whole, at, v[i], outside);
            }
        }
    }

    // One element of the first row, from memory.
    __device__ __forceinline__ f32 element(u64 at) const { return widen(reinterpret_cast<const First*>(from[0])[at]); }

    template <class F>
    __device__ __forceinline__ void each(F f) {
        f32 v[N][PER];
        u32 at = start(0), step = blockDim.x * PER;
        if (aligned) {
#pragma unroll
            for (int r = 0; r < KEPT; r++) {
                if (start(r) + PER <= n) f(kept[r], start(r), true);
            }
            at = start(KEPT);
            if constexpr (AHEAD > 1) {
                static_assert(sizeof(First) == sizeof(T), "runs of 16 bytes");
#pragma unroll 1
                for (; at + (AHEAD - 1) * step + PER <= n; at += AHEAD * step) {
                    u32 words[AHEAD][N][4];
#pragma unroll
                    for (int r = 0; r < AHEAD; r++)
#pragma unroll
                        for (int i = 0; i < N; i++)
                            ptx::load_16(words[r][i], reinterpret_cast<const T*>(from[i]) + at + r * step, true);
#pragma unroll
                    for (int r = 0; r < AHEAD; r++) {
#pragma unroll
                        for (int i = 0; i < N; i++)
#pragma unroll
                            for (int k = 0; k < PER; k++) v[i][k] = loaded<T>(words[r][i], k);
                        f(v, at + r * step, true);
                    }
                }
            }
#pragma unroll 1
            for (; at + PER <= n; at += step) {
                load(true, at, v);
                f(v, at, true);
            }
            // What is left of the row is a thread's, if its runs come there.
            u32 last = n / PER * PER;
            at = last % step == start(0) ? last : n;
        }
#pragma unroll 1
        for (; at < n; at += step) {
            load(false, at, v);
            f(v, at, false);
        }
    }
};

// Rows that are mostly longer than what is kept, such as those over a vocabulary: four accesses on their way together.
template <class T, int N>
using LongRows = Rows<T, N, T, 4 / N>;
