// bench: norm fwd f32; grid R; block 32
//
// y = (x - mean)/sqrt(variance + eps)·weight + bias of each row: a warp per row. x and y are (R, C) without gaps.
// (`rms:` shapes have no bias: they want a struct without it.)
//
//     warpsmith bench norm --shapes layer:8192x768 --kernel norm.cu:layer_norm --device cuda

typedef float Real;

struct Args {
    const Real* x;
    const Real* weight;
    const Real* bias;
    Real* y;
    int R, C;
    float eps;
};

__device__ float warp_sum(float x) {
    for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
    return x;
}

extern "C" __global__ void layer_norm(const __grid_constant__ Args a) {
    const long long row = (long long)blockIdx.x * a.C;
    const int lane = threadIdx.x;
    float sum = 0.0f, squares = 0.0f;
    for (int c = lane; c < a.C; c += 32) sum += a.x[row + c];
    const float mean = warp_sum(sum) / a.C;
    for (int c = lane; c < a.C; c += 32) {
        const float away = a.x[row + c] - mean;
        squares += away * away;
    }
    const float scale = 1.0f / sqrtf(warp_sum(squares) / a.C + a.eps);
    for (int c = lane; c < a.C; c += 32) a.y[row + c] = (a.x[row + c] - mean) * scale * a.weight[c] + a.bias[c];
}
