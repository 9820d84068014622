// D (16x8) += A (16x16) · B (16x8): 16-bit factors, f32 sums, one warp.
//
// With g = lane/4 and t = 2·(lane%4), two neighbours per register, low half first:
//   A  a[0] (g, t)   a[1] (g + 8, t)   a[2] (g, t + 8)   a[3] (g + 8, t + 8)
//   B  b0 (t, g)     b1 (t + 8, g)      the neighbours are t and t + 1, down a column
//   D  d[0] (g, t)   d[1] (g, t + 1)   d[2] (g + 8, t)   d[3] (g + 8, t + 1)
#pragma once
#include "tile/dtype.cuh"

namespace ptx {

template <class T>
__device__ __forceinline__ void mma_16816(f32 (&d)[4], const u32 (&a)[4], u32 b0, u32 b1);

template <>
__device__ __forceinline__ void mma_16816<bf16>(f32 (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <>
__device__ __forceinline__ void mma_16816<f16>(f32 (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace ptx
