// Divergence, calls, local arrays, constants and printf-free control flow.
__constant__ int table[8] = {3, 1, 4, 1, 5, 9, 2, 6};
__device__ int counter = 7;
__device__ int* where = &counter;

__device__ __noinline__ int collatz(int n) {
    int steps = 0;
    while (n != 1) { n = n % 2 ? 3 * n + 1 : n / 2; ++steps; }
    return steps;
}
__device__ __noinline__ float2 swap(float2 v) { return make_float2(v.y, v.x); }

extern "C" __global__ void steps(const int* x, int* y) {
    int i = threadIdx.x;
    int n = x[i];
    if (n <= 0) return;
    y[i] = collatz(n) + table[i & 7];
}

extern "C" __global__ void local_sort(int* x) {
    int a[8];
    for (int i = 0; i < 8; ++i) a[i] = x[threadIdx.x * 8 + i];
    #pragma unroll 1
    for (int i = 1; i < 8; ++i) {
        #pragma unroll 1
        for (int j = i; j > 0 && a[j - 1] > a[j]; --j) { int t = a[j]; a[j] = a[j - 1]; a[j - 1] = t; }
    }
    for (int i = 0; i < 8; ++i) x[threadIdx.x * 8 + i] = a[i];
}

extern "C" __global__ void choose(const int* x, float* y) {
    int i = threadIdx.x;
    float v;
    switch (x[i]) {
        case 0: v = sinf(i); break;
        case 1: v = expf(i * 0.1f); break;
        case 2: v = sqrtf(i); break;
        case 3: v = 1.0f / (i + 1); break;
        case 4: v = logf(i + 1); break;
        case 5: v = tanhf(i * 0.01f); break;
        case 6: { float2 w = swap(make_float2(i, 2.0f * i)); v = w.x - 3.0f * w.y; break; }
        default: v = powf(i, 1.5f);
    }
    y[i] = v;
}

extern "C" __global__ void globals(int* out) {
    if (threadIdx.x == 0) out[0] = atomicAdd(where, 1);
    if (threadIdx.x == 1) out[1] = *(volatile int*)&table[5];
}
