// Atomic updates of every kind, on global and shared memory.
extern "C" __global__ void atomics(int* i, unsigned* u, unsigned long long* l, float* f, double* d) {
    __shared__ int s[2];
    if (threadIdx.x < 2) s[threadIdx.x] = 0;
    __syncthreads();
    atomicAdd(&s[0], (int)threadIdx.x);
    atomicMax(&s[1], (int)(threadIdx.x * 37 % 64));
    __syncthreads();
    atomicAdd(&i[0], 2); atomicSub(&i[1], 3); atomicMin(&i[2], (int)threadIdx.x - 5); atomicMax(&i[3], (int)threadIdx.x);
    atomicAnd(&u[0], ~(1u << (threadIdx.x % 32))); atomicOr(&u[1], 1u << (threadIdx.x % 32)); atomicXor(&u[2], threadIdx.x);
    atomicInc(&u[3], 40u); atomicDec(&u[4], 40u);
    atomicCAS(&u[5], 0u, threadIdx.x + 1u); u[8 + threadIdx.x] = atomicExch(&u[6], threadIdx.x);
    atomicAdd(&l[0], 1ull << 33); atomicMax(&l[1], (unsigned long long)threadIdx.x << 40);
    atomicAdd(&f[0], 0.5f); atomicAdd(&d[0], 0.25);
    if (threadIdx.x == 0) { i[4] = s[0]; i[5] = s[1]; }
}
