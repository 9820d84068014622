// Elementwise kernels of one, two and three inputs, of any strides, all of one dtype T. Arithmetic is in f32.
#pragma once
#include "tile/space.cuh"

// N inputs. The attributes are the op's numbers, as the bits of f64.
template <int N>
struct MapArgs {
    u64 y;
    u64 x[N];
    u64 attributes[2];
    Space<N + 1> space;  // y, then the inputs
};

// An attribute in f64, and rounded to f32 as the host rounds it.
template <int N>
__device__ __forceinline__ f64 attribute(const MapArgs<N>& a, int i) {
    return __longlong_as_double(i64(a.attributes[i]));
}

// f of elements of T, rounded to T.
template <class T, class F>
struct Rounded {
    F f;
    template <class... V>
    __device__ __forceinline__ T operator()(V... v) const {
        return narrow<T>(f(widen(v)...));
    }
};

template <class T, int N, class F>
__device__ __forceinline__ void map(const MapArgs<N>& a, F f) {
    auto x = [&](int k) { return reinterpret_cast<const T*>(a.x[k]); };
    T* y = reinterpret_cast<T*>(a.y);
    Rounded<T, F> rounded{f};
    if constexpr (N == 1) for_elements<WIDTH<T>>(a.space, y, rounded, x(0));
    if constexpr (N == 2) for_elements<WIDTH<T>>(a.space, y, rounded, x(0), x(1));
    if constexpr (N == 3) for_elements<WIDTH<T>>(a.space, y, rounded, x(0), x(1), x(2));
}

// A function of the f32 numbers PARAMS, N of them, and its entries: OP is <op>_<pass>.
#define MAP_OF(OP, N, T) \
    KERNEL(OP##_##T, MAP_THREADS, MapArgs<N>) { map<T>(a, OP##_formula{}); }
#define MAP(OP, N, PARAMS, F) \
    struct OP##_formula { \
        __device__ __forceinline__ f32 operator() PARAMS const { return F; } \
    }; \
    MAP_OF(OP, N, f32) MAP_OF(OP, N, f16) MAP_OF(OP, N, bf16)
