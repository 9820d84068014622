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

template <class T, class F>
__device__ __forceinline__ void map(const MapArgs<1>& a, F f) {
    T* y = reinterpret_cast<T*>(a.y);
    const T* x = reinterpret_cast<const T*>(a.x[0]);
    constexpr int PER = WIDTH<T>;
    for_places<PER>(
        a.space,
        [&](u64 i) {
            auto v = load_vector<PER>(x + i);
#pragma unroll
            for (int k = 0; k < PER; k++) v.at[k] = narrow<T>(f(widen(v.at[k])));
            store_vector(y + i, v);
        },
        [&](u64, const i64(&at)[2]) { y[at[0]] = narrow<T>(f(widen(x[at[1]]))); });
}

template <class T, class F>
__device__ __forceinline__ void map(const MapArgs<2>& a, F f) {
    T* y = reinterpret_cast<T*>(a.y);
    const T* p = reinterpret_cast<const T*>(a.x[0]);
    const T* q = reinterpret_cast<const T*>(a.x[1]);
    constexpr int PER = WIDTH<T>;
    for_places<PER>(
        a.space,
        [&](u64 i) {
            auto v = load_vector<PER>(p + i);
            auto w = load_vector<PER>(q + i);
#pragma unroll
            for (int k = 0; k < PER; k++) v.at[k] = narrow<T>(f(widen(v.at[k]), widen(w.at[k])));
            store_vector(y + i, v);
        },
        [&](u64, const i64(&at)[3]) { y[at[0]] = narrow<T>(f(widen(p[at[1]]), widen(q[at[2]]))); });
}

template <class T, class F>
__device__ __forceinline__ void map(const MapArgs<3>& a, F f) {
    T* y = reinterpret_cast<T*>(a.y);
    const T* p = reinterpret_cast<const T*>(a.x[0]);
    const T* q = reinterpret_cast<const T*>(a.x[1]);
    const T* r = reinterpret_cast<const T*>(a.x[2]);
    constexpr int PER = WIDTH<T>;
    for_places<PER>(
        a.space,
        [&](u64 i) {
            auto v = load_vector<PER>(p + i);
            auto w = load_vector<PER>(q + i);
            auto z = load_vector<PER>(r + i);
#pragma unroll
            for (int k = 0; k < PER; k++)
                v.at[k] = narrow<T>(f(widen(v.at[k]), widen(w.at[k]), widen(z.at[k])));
            store_vector(y + i, v);
        },
        [&](u64, const i64(&at)[4]) {
            y[at[0]] = narrow<T>(f(widen(p[at[1]]), widen(q[at[2]]), widen(r[at[3]])));
        });
}
