// Softmax with one mistake each, in the ways that a bench has been fooled. `softmax` itself is right.
// `cargo xtask kernels` makes planted.ptx of this file.

typedef float Real;

struct Args {
    const Real* x;
    Real* y;
    int R, C;
};

__device__ void row_softmax(const Real* x, Real* y, int C, int lane) {
    float max = __int_as_float(0xff800000), sum = 0.0f;
    for (int c = lane; c < C; c += 32) max = fmaxf(max, x[c]);
    for (int offset = 16; offset > 0; offset /= 2) max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, offset));
    for (int c = lane; c < C; c += 32) sum += expf(x[c] - max);
    for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    for (int c = lane; c < C; c += 32) y[c] = expf(x[c] - max) / sum;
}

#define KERNEL(name) extern "C" __global__ void name(const __grid_constant__ Args a)
#define ROW const long long row = (long long)blockIdx.x * a.C; const int lane = threadIdx.x

KERNEL(softmax) {
    ROW;
    row_softmax(a.x + row, a.y + row, a.C, lane);
}

KERNEL(zeros) {
    ROW;
    for (int c = lane; c < a.C; c += 32) a.y[row + c] = 0.0f;
}

KERNEL(nothing) {}

// Writes the even rows only.
KERNEL(half) {
    ROW;
    if (blockIdx.x % 2 == 0) row_softmax(a.x + row, a.y + row, a.C, lane);
}

// Answers for the row behind.
KERNEL(off_by_one_row) {
    ROW;
    const long long next = (long long)((blockIdx.x + 1) % a.R) * a.C;
    row_softmax(a.x + next, a.y + row, a.C, lane);
}

__device__ float kept[1 << 16];
__device__ int is_kept[1 << 12];

// Keeps its first answer and gives it again.
KERNEL(cached) {
    ROW;
    const int key = ((a.R * 31 + a.C) * 7 + blockIdx.x) & 0xfff;
    if (!is_kept[key]) {
        row_softmax(a.x + row, a.y + row, a.C, lane);
        __syncwarp();
        for (int c = lane; c < a.C; c += 32) kept[(row + c) & 0xffff] = a.y[row + c];
        __syncwarp();
        if (lane == 0) is_kept[key] = 1;
        return;
    }
    for (int c = lane; c < a.C; c += 32) a.y[row + c] = kept[(row + c) & 0xffff];
}

// Right, and writes one number behind the end.
KERNEL(past_the_end) {
    ROW;
    row_softmax(a.x + row, a.y + row, a.C, lane);
    if (blockIdx.x == a.R - 1 && lane == 0) a.y[(long long)a.R * a.C] = 1.0f;
}

// Right by luck: the sum goes through shared memory with no barrier.
KERNEL(race) {
    __shared__ float parts[64];
    ROW;
    float max = __int_as_float(0xff800000), sum = 0.0f;
    for (int c = lane; c < a.C; c += 64) max = fmaxf(max, a.x[row + c]);
    parts[lane] = max;
    for (int i = 0; i < 64; i++) max = fmaxf(max, parts[i]);
    __syncthreads();
    for (int c = 0; c < a.C; c++) sum += expf(a.x[row + c] - max);
    for (int c = lane; c < a.C; c += 64) a.y[row + c] = expf(a.x[row + c] - max) / sum;
}
