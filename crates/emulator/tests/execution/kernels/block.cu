// Sums, scans and transposes through shared memory.
extern "C" __global__ void block_sum(const float* x, float* y, int n) {
    __shared__ float partial[32];
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float v = i < n ? x[i] : 0.0f;
    for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = v;
    __syncthreads();
    if (threadIdx.x == 0) {
        float s = 0.0f;
        for (int w = 0; w < blockDim.x / 32; ++w) s += partial[w];
        y[blockIdx.x] = s;
    }
}

extern "C" __global__ void transpose(const int* x, int* y, int rows, int cols) {
    extern __shared__ int tile[];
    int c = blockIdx.x * 16 + threadIdx.x, r = blockIdx.y * 16 + threadIdx.y;
    if (r < rows && c < cols) tile[threadIdx.y * 17 + threadIdx.x] = x[r * cols + c];
    __syncthreads();
    c = blockIdx.y * 16 + threadIdx.x; r = blockIdx.x * 16 + threadIdx.y;
    if (r < cols && c < rows) y[r * rows + c] = tile[threadIdx.x * 17 + threadIdx.y];
}

struct Args { const float4* x; float4* y; long n; float scale; int pad; };
extern "C" __global__ void scale_vectors(const __grid_constant__ Args a) {
    for (long i = blockIdx.x * (long)blockDim.x + threadIdx.x; i < a.n; i += (long)gridDim.x * blockDim.x) {
        float4 v = __ldg(a.x + i);
        v.x *= a.scale; v.y *= a.scale; v.z *= a.scale; v.w *= a.scale;
        a.y[i] = v;
    }
}
