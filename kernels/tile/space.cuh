// The index space of elementwise kernels: which elements of N operands stand at place i of the output.
#pragma once
#include "tile/vector.cuh"

// Enumerators: a constexpr variable would be emitted into every module.
enum { MAX_DIMS = 8, MAP_THREADS = 256 };

// Dims from the innermost out, neighbours merged by the host where all operands allow it. Strides in elements, 0 along
// a broadcast. `flat`: all operands are gapless in the same order and 16-byte aligned.
template <int N>
struct Space {
    u64 elements;
    u32 rank;
    u32 flat;
    u64 dims[MAX_DIMS];
    i64 strides[N][MAX_DIMS];
};

// Offsets of the operands at place `i`. The compiler tests each 64-bit division for 32-bit operands, which are cheaper.
template <int N>
__device__ __forceinline__ void locate(const Space<N>& s, u64 i, i64 (&offset)[N]) {
#pragma unroll
    for (int k = 0; k < N; k++) offset[k] = 0;
    if (s.rank == 0) return;
#pragma unroll 1
    for (u32 d = 0; d + 1 < s.rank; d++) {
        u64 size = s.dims[d];
        u64 rest = i / size;
        i64 at = i64(i - rest * size);
#pragma unroll
        for (int k = 0; k < N; k++) offset[k] += at * s.strides[k][d];
        i = rest;
    }
#pragma unroll
    for (int k = 0; k < N; k++) offset[k] += i64(i) * s.strides[k][s.rank - 1];
}

// Calls vector(i) for each run of PER neighbours that a flat space has, else scalar(i, offsets) for each place.
// A block covers MAP_THREADS·PER places of a flat space, else MAP_THREADS.
template <int PER, int N, class V, class S>
__device__ __forceinline__ void for_places(const Space<N>& s, V vector, S scalar) {
    u64 i = u64(blockIdx.x) * MAP_THREADS + threadIdx.x;
    if (s.flat) i *= PER;
    if (i >= s.elements) return;
    u64 end = i + 1;
    if (s.flat) {
        end = i + PER;
        if (end <= s.elements) {
            vector(i);
            return;
        }
        end = s.elements;
    }
    // A flat space has one axis: the places past its last whole run are located like any others.
#pragma unroll 1
    for (; i < end; i++) {
        i64 offset[N];
        locate(s, i, offset);
        scalar(i, offset);
    }
}

// The numbers 1 to N as a pack.
template <int... K>
struct Counted {};
template <int N, int... K>
struct Count : Count<N - 1, N, K...> {};
template <int... K>
struct Count<0, K...> {
    using To = Counted<K...>;
};

template <int PER, class Y, class F, class... V>
__device__ __forceinline__ void store_each(Y* y, F f, const V&... v) {
    Vector<Y, PER> to;
#pragma unroll
    for (int k = 0; k < PER; k++) to.at[k] = f(v.at[k]...);
    store_vector(y, to);
}

template <int N, class Y, class F, int... K, class... X>
__device__ __forceinline__ void store_one(const i64 (&at)[N], Y* y, F f, Counted<K...>, const X*... x) {
    y[at[0]] = f(x[at[K]]...);
}

// y = f(x...) at every place, in flat spaces PER elements per access. The space's operands are y and then the inputs.
template <int PER, class Y, class F, class... X>
__device__ __forceinline__ void for_elements(const Space<sizeof...(X) + 1>& s, Y* y, F f, const X*... x) {
    constexpr int N = sizeof...(X);
    for_places<PER>(
        s, [&](u64 i) { store_each<PER>(y + i, f, load_vector<PER>(x + i)...); },
        [&](u64, const i64(&at)[N + 1]) { store_one(at, y, f, typename Count<N>::To{}, x...); });
}
