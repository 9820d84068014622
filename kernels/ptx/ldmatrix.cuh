// Four 8x8 matrices of 16-bit elements from shared memory into the fragments of a warp.
//
// Lane 8j + i gives the address of row i (16 bytes) of matrix j. Afterwards register j of lane l holds, of matrix j,
// elements (l/4, 2·(l%4)) and (l/4, 2·(l%4) + 1), low half first; transposed, (2·(l%4), l/4) and (2·(l%4) + 1, l/4).
#pragma once
#include "ptx/shared.cuh"

namespace ptx {

__device__ __forceinline__ void ldmatrix_x4(u32 (&r)[4], u32 row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row)
                 : "memory");
}

__device__ __forceinline__ void ldmatrix_x4_trans(u32 (&r)[4], u32 row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row)
                 : "memory");
}

}  // namespace ptx
