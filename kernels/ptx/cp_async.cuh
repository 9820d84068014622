// Copies from global to shared memory that pass by the registers and are waited for in groups.
#pragma once
#include "ptx/shared.cuh"

namespace ptx {

// cp.async.cg.shared.global: 16 bytes to `to`, of which the first `bytes` (0 to 16) come from `from` and the others are
// zero. Both addresses are multiples of 16, also where bytes is 0.
__device__ __forceinline__ void cp_async_16(u32 to, const void* from, u32 bytes) {
    u64 source = u64(__cvta_generic_to_global(from));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(source), "r"(bytes) : "memory");
}

// The same for all 16 bytes.
__device__ __forceinline__ void cp_async_16(u32 to, const void* from) {
    u64 source = u64(__cvta_generic_to_global(from));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(source) : "memory");
}

// cp.async.commit_group: this thread's copies since the last one are a group.
__device__ __forceinline__ void cp_async_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

// cp.async.wait_group: all but this thread's N youngest groups have landed. Other threads see them after a barrier.
template <int N>
__device__ __forceinline__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

}  // namespace ptx
