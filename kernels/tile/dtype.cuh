// Element types: their names, their sizes, and the way to f32 and back.
#pragma once
#include "ptx/convert.cuh"

// IEEE half and bfloat16 as stored: arithmetic is in f32.
struct f16 {
    u16 bits;
};
struct bf16 {
    u16 bits;
};

__device__ __forceinline__ f32 widen(f32 x) { return x; }
__device__ __forceinline__ f32 widen(f16 x) { return ptx::f32_from_f16(x.bits); }
__device__ __forceinline__ f32 widen(bf16 x) { return ptx::f32_from_bf16(x.bits); }

// narrow<T>(x): f32 to T, rounded to nearest even.
template <class T>
__device__ __forceinline__ T narrow(f32 x);
template <>
__device__ __forceinline__ f32 narrow<f32>(f32 x) { return x; }
template <>
__device__ __forceinline__ f16 narrow<f16>(f32 x) { return {ptx::f16_from_f32(x)}; }
template <>
__device__ __forceinline__ bf16 narrow<bf16>(f32 x) { return {ptx::bf16_from_f32(x)}; }

// The one list of float dtypes: a kernel file instantiates its entries with FLOATS(ENTRY).
#define FLOATS(ENTRY) ENTRY(f32) ENTRY(f16) ENTRY(bf16)

// An entry: one parameter by value, `a`, read from constant memory.
#define KERNEL(NAME, THREADS, ARGS) \
    extern "C" __global__ void __launch_bounds__(THREADS) NAME(const __grid_constant__ ARGS a)
