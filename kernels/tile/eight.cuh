// Eight neighbours per lane: 16 bytes of a 16-bit float, 32 of f32.
#pragma once
#include "tile/vector.cuh"

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
