// Computes: C (M, N) = A (M, K) · B (K, N) in bf16, sums in f32.
// Idea: the tensor cores multiply. One mma of a warp is 16 x 8 x 16 = 2048 multiply-adds, for which the rung before needs 64
//   instructions; ldmatrix brings its operands from shared memory, where they stay bf16. The elements that a lane holds are
//   not neighbours any more: the diagrams stand in ptx/mma.cuh and ptx/ldmatrix.cuh.
// Gain: a tenth of the instructions in the loop. On an A100 the tensor cores do 312 TFLOP/s, the others 19.5. But ldmatrix
//   reads eight rows at a time, and rows that are 64 or 256 bytes apart lie in the same banks.
// Reads/Writes: A once per 128 columns of C, B once per 128 rows of C; C once, by pieces of half a sector.
// Plan: a block of eight warps per 128 x 128 tile of C, 64 x 32 each, along K in slices of 32; two buffers as before.
// Traffic: 4·M·N·K/128 bytes in, 2·M·N out.
// Shared memory: 32 KiB: two buffers of both slices. A's fragments are read with 4 passes, B's with 8, where 1 would do.
// Ordering: as before, one barrier a turn.
// Numerics: per element one f32 chain over K in steps of 16; a tensor core adds those in an order of its own.
// Limits: M, N < 2²³; K and N are multiples of 8, A and B aligned to 16 bytes.
// Source: NVIDIA, PTX ISA 8.4, §9.7.13 (mma, ldmatrix).
#include "ladder/matmul/args.cuh"
#include "ptx/ldmatrix.cuh"
#include "ptx/mma.cuh"
#include "tile/vector.cuh"

enum { BM = 128, BN = 128, BK = 32, THREADS = 256, WM = 64, WN = 32, RUNS = BM * BK / 8 / THREADS };
using Eight = Vector<bf16, 8>;

struct Slices {
    alignas(16) bf16 x[BM][BK];
    alignas(16) bf16 y[BK][BN];
};

// acc += the product of a slice, for the warp whose part of the tile starts at (i, j).
__device__ __forceinline__ void multiply(f32 (&acc)[WM / 16][WN / 8][4], const Slices& s, u32 i, u32 j) {
    u32 lane = threadIdx.x % 32;
#pragma unroll
    for (int k = 0; k < BK; k += 16) {
        u32 x[WM / 16][4], y[WN / 16][4];
#pragma unroll
        for (int m = 0; m < WM / 16; m++)
            ptx::ldmatrix_x4(x[m], ptx::shared_address(&s.x[i + m * 16 + lane % 16][k + lane / 16 * 8]));
#pragma unroll
        for (int n = 0; n < WN / 16; n++)
            ptx::ldmatrix_x4_trans(y[n], ptx::shared_address(&s.y[k + lane % 16][j + n * 16 + lane / 16 * 8]));
#pragma unroll
        for (int m = 0; m < WM / 16; m++)
#pragma unroll
            for (int n = 0; n < WN / 8; n++)
                ptx::mma_16816<bf16>(acc[m][n], x[m], y[n / 2][n % 2 * 2], y[n / 2][n % 2 * 2 + 1]);
    }
}

KERNEL(ladder_matmul_tensor_cores_bf16, THREADS, ProductArgs) {
    __shared__ Slices slices[2];
    u32 row = blockIdx.y * BM, col = blockIdx.x * BN, lane = threadIdx.x % 32;
    u32 i = threadIdx.x / 32 / 4 * WM, j = threadIdx.x / 32 % 4 * WN;
    Eight of_a[RUNS], of_b[RUNS];
    auto fetch = [&](u32 k) {
#pragma unroll
        for (int n = 0; n < RUNS; n++) {
            u32 run = n * THREADS + threadIdx.x, xr = run / 4, xc = run % 4 * 8, yr = run / 16, yc = run % 16 * 8;
            bool in_a = row + xr < a.m && k + xc < a.k, in_b = k + yr < a.k && col + yc < a.n;
            of_a[n] = in_a ? load_vector<8>(left(a) + u64(row + xr) * a.k + k + xc) : Eight{};
            of_b[n] = in_b ? load_vector<8>(right(a) + u64(k + yr) * a.n + col + yc) : Eight{};
        }
    };
    auto keep = [&](Slices& to) {
#pragma unroll
        for (int n = 0; n < RUNS; n++) {
            u32 run = n * THREADS + threadIdx.x;
            store_vector(&to.x[run / 4][run % 4 * 8], of_a[n]);
            store_vector(&to.y[run / 16][run % 16 * 8], of_b[n]);
        }
    };
    f32 acc[WM / 16][WN / 8][4] = {};
    fetch(0);
    keep(slices[0]);
    __syncthreads();
    for (u32 k = 0, turn = 0; k < a.k; k += BK, turn ^= 1) {
        bool more = k + BK < a.k;
        if (more) fetch(k + BK);
        multiply(acc, slices[turn], i, j);
        if (!more) break;
        keep(slices[turn ^ 1]);
        __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < WM / 16; m++)
#pragma unroll
        for (int n = 0; n < WN / 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e += 2) {
                u32 r = row + i + m * 16 + lane / 4 + e * 4, c = col + j + n * 8 + lane % 4 * 2;
                Vector<bf16, 2> v{narrow<bf16>(acc[m][n][e]), narrow<bf16>(acc[m][n][e + 1])};
                if (r < a.m && c < a.n) store_vector(result(a) + u64(r) * a.n + c, v);
            }
}
