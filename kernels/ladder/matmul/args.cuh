// What every rung is given: C (M, N), A (M, K), B (K, N) in bf16, gapless, rows one behind the other.
#pragma once
#include "tile/dtype.cuh"

struct ProductArgs {
    u64 c, a, b;
    u32 m, n, k, unused;
};

__device__ __forceinline__ const bf16* left(const ProductArgs& a) { return reinterpret_cast<const bf16*>(a.a); }
__device__ __forceinline__ const bf16* right(const ProductArgs& a) { return reinterpret_cast<const bf16*>(a.b); }
__device__ __forceinline__ bf16* result(const ProductArgs& a) { return reinterpret_cast<bf16*>(a.c); }
