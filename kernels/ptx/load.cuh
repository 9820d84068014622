// ld.global: 16 bytes or 4, or zeros if they are not wanted, read where the call stands. An ordinary load may end up right before
// its first use, so that several that should be on their way together wait for each other. This one must not read what the
// kernel itself has written.
#pragma once
#include "ptx/convert.cuh"

namespace ptx {

__device__ __forceinline__ void load_16(u32 (&r)[4], const void* from, bool wanted) {
    asm volatile(
        "{\n\t"
        ".reg .pred wanted;\n\t"
        "setp.ne.u32 wanted, %5, 0;\n\t"
        "mov.b32 %0, 0;\n\t"
        "mov.b32 %1, 0;\n\t"
        "mov.b32 %2, 0;\n\t"
        "mov.b32 %3, 0;\n\t"
        "@wanted ld.global.v4.b32 {%0, %1, %2, %3}, [%4];\n\t"
        "}"
        : "=&r"(r[0]), "=&r"(r[1]), "=&r"(r[2]), "=&r"(r[3])
        : "l"(__cvta_generic_to_global(from)), "r"(u32(wanted)));
}

__device__ __forceinline__ f32 load_f32(const f32* from, bool wanted) {
    f32 x;
    asm volatile(
        "{\n\t"
        ".reg .pred wanted;\n\t"
        "setp.ne.u32 wanted, %2, 0;\n\t"
        "mov.f32 %0, 0f00000000;\n\t"
        "@wanted ld.global.f32 %0, [%1];\n\t"
        "}"
        : "=&f"(x)
        : "l"(__cvta_generic_to_global(from)), "r"(u32(wanted)));
    return x;
}

}  // namespace ptx
