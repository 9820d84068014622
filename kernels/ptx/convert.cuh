// Conversions between f32 and the 16-bit floats. Rounding is to nearest, ties to even; overflow gives infinity.
#pragma once

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i32 = int;
using i64 = long long;
using f32 = float;
using f64 = double;

namespace ptx {

// cvt.rn.f16.f32: one element.
__device__ __forceinline__ u16 f16_from_f32(f32 x) {
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

// cvt.f32.f16: exact.
__device__ __forceinline__ f32 f32_from_f16(u16 bits) {
    f32 x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}

// cvt.rn.bf16.f32: one element. Any NaN becomes 0x7fff.
__device__ __forceinline__ u16 bf16_from_f32(f32 x) {
    u16 bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

// bf16 is the upper half of an f32: no instruction is needed, and sm_80 has none.
__device__ __forceinline__ f32 f32_from_bf16(u16 bits) {
    return __uint_as_float(u32(bits) << 16);
}

// cvt.rn.bf16x2.f32: `low` into bits 0..16, `high` into bits 16..32 (the instruction takes the high one first).
__device__ __forceinline__ u32 bf16x2_from_f32(f32 low, f32 high) {
    u32 bits;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}

// cvt.rn.f16x2.f32: `low` into bits 0..16, `high` into bits 16..32.
__device__ __forceinline__ u32 f16x2_from_f32(f32 low, f32 high) {
    u32 bits;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}

}  // namespace ptx
