// Computes: out = softmax(q·kᵀ·scale + mask)·v in bf16; q, k, v, out (B, T, H, D).
// Idea: flash attention's tiles. A block takes 64 queries; 32 keys and their values at a time come to shared memory once
//   for all of them. Scores are a product of two tiles with 4 x 4 of them in a thread's registers
//   (ladder/matmul/04_register_tile.cu), out is another, and the running maximum and sum are updated once for 32 keys.
// Gain: a 64th of the reads of keys and values.
// Reads/Writes: q once, k and v once per 64 queries that see some of them; out once.
// Plan: a block of 128 threads per 64 queries of a head. Thread t has rows t/8 + 16·p; of a row's scores, and of its output,
//   the columns t%8 + 8·q. So eight neighbouring lanes share a row, and no other warp has it.
// Traffic: (2·T²/64 + T)·2·D bytes a head in for all keys, about half of the first term under a causal mask; 2·T·D out.
// Shared memory: 40.6 KiB: queries, keys, values and probabilities in f32, rows a number longer than need be, so that rows
//   lie in different banks.
// Ordering: a barrier publishes a tile of keys, and one behind it says that all are through. Probabilities are written and read
//   by one warp.
// Numerics: scores, probabilities, maximum and sums in f32; a rescaling for each tile.
// Limits: D ≤ 64.
// Source: Dao et al., FlashAttention, arXiv 2205.14135, §3.1, algorithm 1, with the loops as in FlashAttention-2, 2307.08691.
#include "ladder/attention/args.cuh"
#include "tile/softmax.cuh"

enum { D = 64, BM = 64, BN = 32, THREADS = 128 };

// Rows `first`.. of an array to shared memory; 0 where there are none.
template <int ROWS, int PITCH>
__device__ __forceinline__ void load(f32 (&to)[ROWS][PITCH], const SelfAttentionArgs& a, const bf16* from, u32 first) {
    for (u32 e = threadIdx.x; e < ROWS * D; e += THREADS) {
        u32 r = e / D, d = e % D;
        to[r][d] = first + r < a.time && d < a.width ? widen(from[(first + r) * time_stride(a) + d]) : 0.0f;
    }
}

// Folds over the eight lanes of a row.
template <class F>
__device__ __forceinline__ f32 of_row(f32 v, F combine) {
#pragma unroll
    for (int step = 4; step > 0; step /= 2) v = combine(v, __shfl_xor_sync(~0u, v, step));
    return v;
}

KERNEL(ladder_attention_tiled_bf16, THREADS, SelfAttentionArgs) {
    __shared__ f32 q[BM][D + 1], k[BN][D + 1], v[BN][D], p[BM][BN + 1];
    u32 first = blockIdx.x * BM, bh = blockIdx.y, i = threadIdx.x / 8, j = threadIdx.x % 8;
    load(q, a, head(a, a.q, bh), first);
    f32 max[4], total[4], out[4][8] = {};
#pragma unroll
    for (int r = 0; r < 4; r++) max[r] = -math::infinity(), total[r] = 0.0f;
    u32 keys = min(keys_of(a, first + BM - 1), a.time);
    for (u32 key = 0; key < keys; key += BN) {
        load(k, a, head(a, a.k, bh), key);
        load(v, a, head(a, a.v, bh), key);
        __syncthreads();
        f32 s[4][4] = {};
#pragma unroll 8
        for (u32 d = 0; d < D; d++)
#pragma unroll
            for (int r = 0; r < 4; r++)
#pragma unroll
                for (int c = 0; c < 4; c++) s[r][c] = fmaf(q[i + 16 * r][d], k[j + 8 * c][d], s[r][c]);
#pragma unroll
        for (int r = 0; r < 4; r++) {
            u32 row = first + i + 16 * r, end = min(keys_of(a, row), a.time);
            f32 next = max[r], more = 0.0f;
#pragma unroll
            for (int c = 0; c < 4; c++) {
                s[r][c] = key + j + 8 * c < end ? s[r][c] * a.scale : -math::infinity();
                next = larger(next, s[r][c]);
            }
            next = of_row(next, larger);
            // Nothing but -∞ so far: e^(-∞ + ∞) would be NaN where 0 is meant.
            f32 shift = next == -math::infinity() ? 0.0f : next, factor = rescale(max[r], shift);
#pragma unroll
            for (int c = 0; c < 4; c++) {
                f32 one = expf(s[r][c] - shift);
                p[i + 16 * r][j + 8 * c] = one;
                more += one;
            }
            total[r] = total[r] * factor + of_row(more, [](f32 x, f32 y) { return x + y; });
            max[r] = next;
#pragma unroll
            for (int c = 0; c < 8; c++) out[r][c] *= factor;
        }
        __syncwarp();
#pragma unroll 4
        for (u32 l = 0; l < BN; l++)
#pragma unroll
            for (int r = 0; r < 4; r++)
#pragma unroll
                for (int c = 0; c < 8; c++) out[r][c] = fmaf(p[i + 16 * r][l], v[l][j + 8 * c], out[r][c]);
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < 4; r++)
#pragma unroll
        for (int c = 0; c < 8; c++) {
            u32 row = first + i + 16 * r, d = j + 8 * c;
            if (row < a.time && d < a.width)
                head(a, a.out, bh)[row * time_stride(a) + d] = narrow<bf16>(out[r][c] / total[r]);
        }
}
