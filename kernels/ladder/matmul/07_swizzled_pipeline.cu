// Computes: C (M, N) = A (M, K) · B (K, N) in bf16, sums in f32.
// Idea: where a run of 16 bytes lies in shared memory is permuted with its row (tile/swizzle.cuh), so that the eight rows of
//   an ldmatrix lie in different banks. And the copies, cp.async, go past the registers into a ring of three slices: two
//   slices are on their way while one is multiplied, and no instruction moves them a second time.
// Gain: no bank conflicts. On an A100 rows padded against conflicts take 65 TFLOP/s to 167, a swizzle to 191, two stages to
//   221, where cuBLAS has 244 (gau-nernst, learn-cuda, 4096³ in bf16).
// Reads/Writes: A once per 128 columns of C, B once per 128 rows of C; C once, by pieces of half a sector.
// Plan: a block of eight warps per 128 x 128 tile of C, 64 x 32 each, along K in slices of 32.
// Traffic: 4·M·N·K/128 bytes in, 2·M·N out.
// Shared memory: 48 KiB: three slices of A and B.
// Ordering: the wait and the barrier of a turn publish its slice; the same barrier says that all warps are through with the
//   slice before, whose place the next copies take.
// Numerics: per element one f32 chain over K in steps of 16.
// Limits: M, N < 2²³. Rows that are no multiples of 16 bytes are read by element.
// Source: gau-nernst, learn-cuda, https://github.com/gau-nernst/learn-cuda; NVIDIA, PTX ISA 8.4, §9.7.8.24 (cp.async).
#include "ladder/matmul/args.cuh"
#include "ptx/mma.cuh"
#include "tile/swizzle.cuh"
#include "tile/vector.cuh"

enum { BM = 128, BN = 128, BK = 32, STAGES = 3, THREADS = 256, WM = 64, WN = 32 };
enum { A_BYTES = BM * BK * 2, STAGE_BYTES = (BM + BN) * BK * 2 };

// acc += the product of a slice, for the warp whose part of the tile starts at (i, j).
__device__ __forceinline__ void multiply(f32 (&acc)[WM / 16][WN / 8][4], u32 slice, u32 i, u32 j) {
#pragma unroll
    for (int k = 0; k < BK; k += 16) {
        u32 x[WM / 16][4], y[WN / 16][4];
#pragma unroll
        for (int m = 0; m < WM / 16; m++) load_fragment<BK, true, false>(x[m], slice, i + m * 16, k);
#pragma unroll
        for (int n = 0; n < WN / 16; n++) load_fragment<BN, false, true>(y[n], slice + A_BYTES, j + n * 16, k);
#pragma unroll
        for (int m = 0; m < WM / 16; m++)
#pragma unroll
            for (int n = 0; n < WN / 8; n++)
                ptx::mma_16816<bf16>(acc[m][n], x[m], y[n / 2][n % 2 * 2], y[n / 2][n % 2 * 2 + 1]);
    }
}

KERNEL(ladder_matmul_swizzled_pipeline_bf16, THREADS, ProductArgs) {
    u8* ring = ptx::dynamic_shared();
    u32 row = blockIdx.y * BM, col = blockIdx.x * BN, lane = threadIdx.x % 32;
    u32 i = threadIdx.x / 32 / 4 * WM, j = threadIdx.x / 32 % 4 * WN;
    Stored<bf16> x{left(a), a.k, i32(a.m), i32(a.k), a.k % 8 == 0 && a.a % 16 == 0};
    Stored<bf16> y{right(a), a.n, i32(a.k), i32(a.n), a.n % 8 == 0 && a.b % 16 == 0};
    int slices = (a.k + BK - 1) / BK;
    auto fetch = [&](int slice) {
        if (slice < slices) {
            u8* to = ring + slice % STAGES * STAGE_BYTES;
            load_tile<BM, BK, THREADS>(to, x, row, slice * BK);
            load_tile<BK, BN, THREADS>(to + A_BYTES, y, slice * BK, col);
        }
        // Empty groups too: wait counts groups, so there must be one per slice.
        ptx::cp_async_commit();
    };
    f32 acc[WM / 16][WN / 8][4] = {};
    for (int slice = 0; slice < STAGES - 1; slice++) fetch(slice);
    for (int slice = 0; slice < slices; slice++) {
        ptx::cp_async_wait<STAGES - 2>();
        __syncthreads();
        fetch(slice + STAGES - 1);
        multiply(acc, ptx::shared_address(ring) + slice % STAGES * STAGE_BYTES, i, j);
    }
    ptx::cp_async_wait<0>();
#pragma unroll
    for (int m = 0; m < WM / 16; m++)
#pragma unroll
        for (int n = 0; n < WN / 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e += 2) {
                u32 r = row + i + m * 16 + lane / 4 + e * 4, c = col + j + n * 8 + lane % 4 * 2;
                if (r >= a.m || c >= a.n) continue;
                bf16* to = result(a) + u64(r) * a.n + c;
                Vector<bf16, 2> v{narrow<bf16>(acc[m][n][e]), narrow<bf16>(acc[m][n][e + 1])};
                if (a.n % 2 == 0) {
                    store_vector(to, v);
                } else {
                    to[0] = v.at[0];
                    if (c + 1 < a.n) to[1] = v.at[1];
                }
            }
}
