// bench: norm fwd f32; grid R; block 32
//
// y = (x - mean)/sqrt(variance + eps)·weight + bias of each row: a warp per row. x and y are (R, C) without gaps. The mean is
// summed and taken off in f64: where x is near it, little is left of x - mean but the rounding of the mean.
// `rms_norm` is for `rms:` shapes, which have no mean and no bias, and so take a struct without one.
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

template <class T>
__device__ T warp_sum(T x) {
    for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
    return x;
}

extern "C" __global__ void layer_norm(const __grid_constant__ Args a) {
    const long long row = (long long)blockIdx.x * a.C;
    const int lane = threadIdx.x;
    double sum = 0.0;
    float squares = 0.0f;
    for (int c = lane; c < a.C; c += 32) sum += a.x[row + c];
    const double mean = warp_sum(sum) / a.C;
    for (int c = lane; c < a.C; c += 32) {
        const float away = a.x[row + c] - mean;
        squares += away * away;
    }
    const float scale = 1.0f / sqrtf(warp_sum(squares) / a.C + a.eps);
    for (int c = lane; c < a.C; c += 32) {
        const float away = a.x[row + c] - mean;
        a.y[row + c] = away * scale * a.weight[c] + a.bias[c];
    }
}

struct RmsArgs {
    const Real* x;
    const Real* weight;
    Real* y;
    int R, C;
    float eps;
};

extern "C" __global__ void rms_norm(const __grid_constant__ RmsArgs a) {
    const long long row = (long long)blockIdx.x * a.C;
    const int lane = threadIdx.x;
    float squares = 0.0f;
    for (int c = lane; c < a.C; c += 32) squares += a.x[row + c] * a.x[row + c];
    const float scale = 1.0f / sqrtf(warp_sum(squares) / a.C + a.eps);
    for (int c = lane; c < a.C; c += 32) a.y[row + c] = a.x[row + c] * scale * a.weight[c];
}
