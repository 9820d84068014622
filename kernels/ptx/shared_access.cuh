// 16 bytes of shared memory at a 32-bit address of the shared window.
#pragma once
#include "ptx/convert.cuh"

namespace ptx {

// ld.shared.v4.u32, at a multiple of 16.
__device__ __forceinline__ void load_shared_x4(u32 (&x)[4], u32 address) {
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(address)
                 : "memory");
}

// st.shared.v4.u32, at a multiple of 16.
__device__ __forceinline__ void store_shared_x4(u32 address, const u32 (&x)[4]) {
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};"
                 :
                 : "r"(address), "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3])
                 : "memory");
}

}  // namespace ptx
