// Indices of three dtypes, and how a kernel says that one is out of range.
#pragma once
#include "ptx/convert.cuh"

enum IndexKind : u32 { INDEX_I64, INDEX_U32, INDEX_U8 };

// Index number `at` of a gapless tensor.
__device__ __forceinline__ i64 index_at(u64 pointer, u32 kind, u64 at) {
    if (kind == INDEX_I64) return reinterpret_cast<const i64*>(pointer)[at];
    if (kind == INDEX_U32) return reinterpret_cast<const u32*>(pointer)[at];
    return reinterpret_cast<const u8*>(pointer)[at];
}

// `bad` is the address of a u64 that the host set to its largest value, or 0. It receives the lowest position of an
// index out of range: integers have one minimum, in whatever order they come.
__device__ __forceinline__ void report(u64 bad, u64 position) {
    if (bad) atomicMin(reinterpret_cast<unsigned long long*>(bad), position);
}
