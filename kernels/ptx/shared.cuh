// Shared memory by address: what ldmatrix and cp.async take instead of a pointer.
#pragma once
#include "ptx/convert.cuh"

namespace ptx {

// x, of which the compiler does not know that it is x: what is computed from it is computed here, and not kept in registers
// from before.
__device__ __forceinline__ u32 opaque(u32 x) {
    u32 y;
    asm volatile("mov.u32 %0, %1;" : "=r"(y) : "r"(x));
    return y;
}

// The block's dynamic shared memory.
__device__ __forceinline__ u8* dynamic_shared() {
    extern __shared__ __align__(128) u8 memory[];
    return memory;
}

// A pointer into shared memory as a 32-bit address of the shared window.
__device__ __forceinline__ u32 shared_address(const void* pointer) {
    return u32(__cvta_generic_to_shared(pointer));
}

}  // namespace ptx
