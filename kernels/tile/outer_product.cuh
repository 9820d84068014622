// The inside of products in f32 without tensor cores.
#pragma once
#include "tile/vector.cuh"

// sum (8, 4) += the first 8 and the first 4 places of K rows of `left` and `right`, which lie PITCH apart in shared memory.
template <int K, int PITCH>
__device__ __forceinline__ void add_outer_products(f32 (&sum)[8][4], const f32* left, const f32* right) {
#pragma unroll
    for (int s = 0; s < K; s++) {
        Vector<f32, 4> x[2] = {load_vector<4>(left + s * PITCH), load_vector<4>(left + s * PITCH + 4)};
        Vector<f32, 4> y = load_vector<4>(right + s * PITCH);
#pragma unroll
        for (int m = 0; m < 8; m++)
#pragma unroll
            for (int n = 0; n < 4; n++) sum[m][n] = fmaf(x[m / 4].at[m % 4], y.at[n], sum[m][n]);
    }
}
