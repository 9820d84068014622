// What every rung is given: y and x (R, n) f32, gapless, R = rows.
#pragma once
#include "tile/dtype.cuh"

struct SoftmaxArgs {
    u64 y, x;
    u64 rows;
    u32 n, unused;
};
