// bench: softmax fwd f32; grid (R+3)/4; block 32, 4
//
// y = softmax of each row: a warp per row, three times over it. x and y are (R, C) without gaps.
//
//     warpsmith bench softmax --kernel softmax.cu:softmax --device cuda

typedef float Real;

struct Args {
    const Real* x;
    Real* y;
    int R, C;
};

extern "C" __global__ void softmax(const __grid_constant__ Args a) {
    const int row = blockIdx.x * 4 + threadIdx.y, lane = threadIdx.x;
    if (row >= a.R) return;
    const Real* x = a.x + (long long)row * a.C;
    float max = __int_as_float(0xff800000) /* -∞ */, sum = 0.0f;
    for (int c = lane; c < a.C; c += 32) max = fmaxf(max, x[c]);
    for (int offset = 16; offset > 0; offset /= 2) max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, offset));
    for (int c = lane; c < a.C; c += 32) sum += expf(x[c] - max);
    for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    for (int c = lane; c < a.C; c += 32) a.y[(long long)row * a.C + c] = expf(x[c] - max) / sum;
}
