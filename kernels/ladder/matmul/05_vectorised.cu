// Computes: C (M, N) = A (M, K) · B (K, N) in bf16, sums in f32.
// Idea: fewer and earlier loads. Whatever moves, moves by 16 bytes: 8 numbers of A or B from global memory, 4 from shared
//   memory. And there are two buffers of slices: the loads of the next slice are issued before this one is multiplied, wait in
//   registers, and go to the other buffer when the arithmetic is done, which had hidden them. Half of the barriers go.
// Gain: a quarter of the memory instructions. On an A6000 in f32 from 68.7 % to 78.4 % of cuBLAS by wider loads
//   alone (Boehm, kernel 6).
// Reads/Writes: A once per 128 columns of C, B once per 128 rows of C; C once.
// Plan: a block of 256 threads per 128 x 128 tile of C, along K in slices of 16; a thread has 8 rows, 16 apart, and twice 4
//   neighbouring columns, 64 apart.
// Traffic: 4·M·N·K/128 bytes in, 2·M·N out.
// Shared memory: 36 KiB: two buffers of both slices. A row of A's slice is 20 numbers long: whole runs of 16 bytes.
// Ordering: the barrier at the end of a turn publishes the other buffer, and says that all have read this one, which is written
//   again at the end of the next turn.
// Numerics: per element one f32 chain over K.
// Limits: M, N < 2²³; K and N are multiples of 8, A and B aligned to 16 bytes.
// Source: Boehm, 2022, kernel 6; Kerr et al., CUTLASS: Fast linear algebra in CUDA C++, 2017 (software pipelining).
#include "ladder/matmul/args.cuh"
#include "tile/vector.cuh"

enum { BM = 128, BN = 128, BK = 16, THREADS = 256, PER = 8, STEP = 16 };
using Eight = Vector<bf16, 8>;
using Four = Vector<f32, 4>;

struct Slices {
    alignas(16) f32 x[BM][BK + 4];
    alignas(16) f32 y[BK][BN];
};

// Eight neighbours as eight numbers in shared memory.
__device__ __forceinline__ void put(f32* to, const Eight& v) {
#pragma unroll
    for (int h = 0; h < 8; h += 4)
        store_vector(to + h, Four{widen(v.at[h]), widen(v.at[h + 1]), widen(v.at[h + 2]), widen(v.at[h + 3])});
}

KERNEL(ladder_matmul_vectorised_bf16, THREADS, ProductArgs) {
    __shared__ Slices slices[2];
    u32 row = blockIdx.y * BM, col = blockIdx.x * BN;
    u32 i = threadIdx.x / STEP, j = threadIdx.x % STEP * 4;
    // Each thread moves one run of A, 2 to a row, and one of B, 16 to a row.
    u32 xr = threadIdx.x / 2, xc = threadIdx.x % 2 * 8, yr = threadIdx.x / 16, yc = threadIdx.x % 16 * 8;
    Eight of_a, of_b;
    auto fetch = [&](u32 k) {
        bool in_a = row + xr < a.m && k + xc < a.k, in_b = k + yr < a.k && col + yc < a.n;
        of_a = in_a ? load_vector<8>(left(a) + u64(row + xr) * a.k + k + xc) : Eight{};
        of_b = in_b ? load_vector<8>(right(a) + u64(k + yr) * a.n + col + yc) : Eight{};
    };
    auto keep = [&](Slices& to) {
        put(&to.x[xr][xc], of_a);
        put(&to.y[yr][yc], of_b);
    };
    f32 acc[PER][PER] = {};
    fetch(0);
    keep(slices[0]);
    __syncthreads();
    for (u32 k = 0, turn = 0; k < a.k; k += BK, turn ^= 1) {
        const Slices& s = slices[turn];
        bool more = k + BK < a.k;
        if (more) fetch(k + BK);
#pragma unroll
        for (u32 l = 0; l < BK; l += 4) {
            Four x[PER];
#pragma unroll
            for (int p = 0; p < PER; p++) x[p] = load_vector<4>(&s.x[i + p * STEP][l]);
#pragma unroll
            for (int e = 0; e < 4; e++) {
                Four y[2] = {load_vector<4>(&s.y[l + e][j]), load_vector<4>(&s.y[l + e][j + 64])};
#pragma unroll
                for (int p = 0; p < PER; p++)
#pragma unroll
                    for (int q = 0; q < PER; q++) acc[p][q] = fmaf(x[p].at[e], y[q / 4].at[q % 4], acc[p][q]);
            }
        }
        if (!more) break;
        keep(slices[turn ^ 1]);
        __syncthreads();
    }
#pragma unroll
    for (int p = 0; p < PER; p++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            u32 r = row + i + p * STEP, c = col + j + h * 64;
            Vector<bf16, 4> v;
#pragma unroll
            for (int q = 0; q < 4; q++) v.at[q] = narrow<bf16>(acc[p][4 * h + q]);
            if (r < a.m && c < a.n) store_vector(result(a) + u64(r) * a.n + c, v);
        }
}
