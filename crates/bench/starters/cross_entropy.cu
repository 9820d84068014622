// bench: cross-entropy fwd f32; grid 1; block 32, 8
//
// loss = the mean over rows of ln Σ e^x - x[target]: one block, a warp per row. logits are (R, V) without gaps.
//
//     warpsmith bench cross-entropy --kernel cross_entropy.cu:cross_entropy --device cuda

typedef float Real;

struct Args {
    const Real* logits;
    const long long* targets;
    Real* loss;
    int R, V;
};

extern "C" __global__ void cross_entropy(const __grid_constant__ Args a) {
    __shared__ double sums[8];
    const int lane = threadIdx.x, warp = threadIdx.y;
    double total = 0.0;
    for (int row = warp; row < a.R; row += 8) {
        const Real* x = a.logits + (long long)row * a.V;
        float max = __int_as_float(0xff800000) /* -∞ */, sum = 0.0f;
        for (int c = lane; c < a.V; c += 32) max = fmaxf(max, x[c]);
        for (int offset = 16; offset > 0; offset /= 2) max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, offset));
        for (int c = lane; c < a.V; c += 32) sum += expf(x[c] - max);
        for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
        total += logf(sum) - (x[a.targets[row]] - max);
    }
    if (lane == 0) sums[warp] = total;
    __syncthreads();
    if (lane == 0 && warp == 0) {
        double all = 0.0;
        for (int w = 0; w < 8; w++) all += sums[w];
        a.loss[0] = (float)(all / a.R);
    }
}
