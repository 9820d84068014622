// The hardware's exponential and logarithm, to base 2.
#pragma once
#include "ptx/convert.cuh"

namespace ptx {

// ex2.approx.ftz.f32: 2^x within 2 ulp; subnormal results are 0, 2^-∞ is 0, NaN stays.
__device__ __forceinline__ f32 ex2(f32 x) {
    f32 y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

}  // namespace ptx
