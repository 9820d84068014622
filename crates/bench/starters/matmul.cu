// bench: matmul fwd f32; grid (N+15)/16, (M+15)/16; block 16, 16
//
// C = A·B through 16×16 tiles in shared memory. A is (M, K), B (K, N), C (M, N), all without gaps.
//
//     warpsmith bench matmul --kernel matmul.cu:matmul --device cuda

typedef float Real;

struct Args {
    const Real* A;
    const Real* B;
    Real* C;
    int M, N, K;
};

extern "C" __global__ void matmul(const __grid_constant__ Args a) {
    __shared__ float left[16][16], right[16][16];
    const int x = threadIdx.x, y = threadIdx.y;
    const int row = blockIdx.y * 16 + y, column = blockIdx.x * 16 + x;
    float sum = 0.0f;
    for (int k = 0; k < a.K; k += 16) {
        left[y][x] = row < a.M && k + x < a.K ? a.A[(long long)row * a.K + k + x] : 0.0f;
        right[y][x] = column < a.N && k + y < a.K ? a.B[(long long)(k + y) * a.N + column] : 0.0f;
        __syncthreads();
        for (int j = 0; j < 16; j++) sum += left[y][j] * right[j][x];
        // The next tile is written over this one.
        __syncthreads();
    }
    if (row < a.M && column < a.N) a.C[(long long)row * a.N + column] = sum;
}
