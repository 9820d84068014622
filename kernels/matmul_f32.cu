// Computes: C (M, N) = f(A (M, K) · B (K, N) + bias) + residual + C in f32, no tensor cores, batched, any strides.
// Reads/Writes: A and B once per tile that needs them, bias, pre and residual once; C and pre once, or, where K is split,
//   partial products, which matmul_reduce sums.
// Plan: one block per 64x64 tile of C; slices of 16 along K go through registers into shared memory, the next one while
//   this one is multiplied; a thread holds 8x4 sums. Threads walk A and B along whichever axis has stride 1.
// Traffic: per block K·512 bytes against 8192·K flops: 16 flops per byte, from L2 mostly.
// Shared memory: 17 KiB: two slices, one of each operand, or the sums.
// Ordering: one barrier after a slice is stored, one before the next replaces it.
// Numerics: per element one chain of fused multiply-adds over K = 0, 1, …, whatever M and N; true f32, never tf32.
// Limits: M, N, K < 2³¹.
// Source: Volkov and Demmel, *Benchmarking GPUs to tune dense linear algebra*, SC 2008.
#include "tile/epilogue.cuh"
#include "tile/outer_product.cuh"

enum { BM = 64, BN = 64, BK = 16, THREADS = 128, PITCH = BN + 4, PER = BM * BK / THREADS };

// A slice of an operand, 64 along its outer axis and BK along K: in registers, then as (BK, PITCH) in shared memory.
struct Slice {
    const f32* base;
    i64 outer_stride, k_stride;
    u32 first, outer;
    bool along_k;  // neighbouring threads read along K
    f32 held[PER];

    __device__ __forceinline__ void place(int n, u32& o, u32& k) const {
        u32 i = n * THREADS + threadIdx.x;
        o = along_k ? i / BK : i % BM;
        k = along_k ? i % BK : i / BM;
    }

    __device__ __forceinline__ void fetch(u32 from, u32 to) {
#pragma unroll
        for (int n = 0; n < PER; n++) {
            u32 o, k;
            place(n, o, k);
            bool inside = first + o < outer && from + k < to;
            held[n] = inside ? base[i64(first + o) * outer_stride + i64(from + k) * k_stride] : 0.0f;
        }
    }

    __device__ __forceinline__ void store(f32* tile) const {
#pragma unroll
        for (int n = 0; n < PER; n++) {
            u32 o, k;
            place(n, o, k);
            tile[k * PITCH + o] = held[n];
        }
    }
};

// Four blocks per multiprocessor: without it the assembler aims at five on sm_86, and spills.
#define BOUNDS THREADS, 4
KERNEL(matmul_strided_f32, BOUNDS, MatmulArgs) {
    __shared__ __align__(16) f32 memory[BM * PITCH];
    f32 *a_tile = memory, *b_tile = memory + BK * PITCH;
    TileAt at = locate_tile(a, blockIdx.x, BM, BN);
    u32 row = at.row * BM, col = at.col * BN;
    u32 from = at.split * a.k_per_split, to = min(from + a.k_per_split, a.k);
    Slice left{reinterpret_cast<const f32*>(a.a) + batch_offset(a, at.batch, a.a_batch), a.a_row, a.a_col, row, a.m,
               a.a_col == 1};
    Slice right{reinterpret_cast<const f32*>(a.b) + batch_offset(a, at.batch, a.b_batch), a.b_col, a.b_row, col, a.n,
                a.b_col != 1};
    u32 i = threadIdx.x / 16 * 8, j = threadIdx.x % 16 * 4;
    f32 acc[8][4] = {};
    left.fetch(from, to);
    right.fetch(from, to);
#pragma unroll 1
    for (u32 k = from; k < to; k += BK) {
        left.store(a_tile);
        right.store(b_tile);
        __syncthreads();
        if (k + BK < to) {
            left.fetch(k + BK, to);
            right.fetch(k + BK, to);
        }
        add_outer_products<BK, PITCH>(acc, a_tile + i, b_tile + j);
        __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < 8; m++)
        store_vector<4>(memory + (i + m) * PITCH + j, {acc[m][0], acc[m][1], acc[m][2], acc[m][3]});
    __syncthreads();
    finish_rows<BM, BN, PITCH, THREADS, f32>(a, at, memory, row, col);
}
