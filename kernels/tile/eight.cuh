// Eight neighbours per lane: 16 bytes of a 16-bit float, 32 of f32.
#pragma once
#include "ptx/load.cuh"
#include "tile/vector.cuh"

// As they come from memory: whoever loads several before the first is turned into numbers waits once for all.
template <class T>
struct Eight {
    u32 words[8 * sizeof(T) / 16][4];

    // From a multiple of 16 bytes; zeros if not `wanted`.
    __device__ __forceinline__ void load(const T* from, bool wanted) {
#pragma unroll
        for (int i = 0; i < 8 * sizeof(T) / 16; i++) ptx::load_16(words[i], from + i * WIDTH<T>, wanted);
    }

    __device__ __forceinline__ f32 at(int i) const { return loaded<T>(words[i / WIDTH<T>], i % WIDTH<T>); }
};

template <class T>
__device__ __forceinline__ void store_eight(T* to, const f32 (&v)[8]) {
#pragma unroll
    for (int i = 0; i < 8; i += WIDTH<T>) {
        Vector<T, WIDTH<T>> x;
#pragma unroll
        for (int j = 0; j < WIDTH<T>; j++) x.at[j] = narrow<T>(v[i + j]);
        store_vector(to + i, x);
    }
}

// The first `left` of eight neighbours as f32, the others 0. `vector`: 16-byte accesses are allowed.
template <class T>
__device__ __forceinline__ void load_eight(f32 (&v)[8], const T* from, i32 left, bool vector) {
    if (vector && left >= 8) {
#pragma unroll
        for (int i = 0; i < 8; i += WIDTH<T>) {
            Vector<T, WIDTH<T>> x = load_vector<WIDTH<T>>(from + i);
#pragma unroll
            for (int j = 0; j < WIDTH<T>; j++) v[i + j] = widen(x.at[j]);
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = i < left ? widen(from[i]) : 0.0f;
}
