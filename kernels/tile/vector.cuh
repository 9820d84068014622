// Several elements moved by one instruction.
#pragma once
#include "tile/dtype.cuh"

// N elements of T, aligned so that the compiler moves them at once: N·sizeof(T) is 1, 2, 4, 8 or 16 bytes.
template <class T, int N>
struct alignas(sizeof(T) * N) Vector {
    T at[N];
};

// Elements of T in 16 bytes: what one thread moves per access.
template <class T>
constexpr int WIDTH = 16 / sizeof(T);

template <int N, class T>
__device__ __forceinline__ Vector<T, N> load_vector(const T* from) {
    return *reinterpret_cast<const Vector<T, N>*>(from);
}

// Element i of 16 bytes that came as words.
template <class T>
__device__ __forceinline__ f32 loaded(const u32 (&words)[4], int i) {
    if constexpr (sizeof(T) == 4) {
        return __uint_as_float(words[i]);
    } else {
        return widen(T{u16(words[i / 2] >> i % 2 * 16)});
    }
}

template <int N, class T>
__device__ __forceinline__ void store_vector(T* to, const Vector<T, N>& x) {
    *reinterpret_cast<Vector<T, N>*>(to) = x;
}
