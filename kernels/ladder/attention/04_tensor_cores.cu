// Computes: out = softmax(q·kᵀ·scale + mask)·v in bf16; q, k, v, out (B, T, H, D).
// Idea: both products go to the tensor cores, and everything that made them fast in ladder/matmul comes along: tiles in bf16,
//   swizzled, copied by cp.async while the tile before is multiplied. The scores come out of the first product in the very
//   registers in which the second wants its left operand (ptx/mma.cuh), so probabilities never see shared memory.
// Gain: a sixth of the instructions. On an RTX 5090 such a kernel makes 143 TFLOP/s without a swizzle, 181 with it,
//   190 with two tiles in flight, where the vendor's library makes 204 (gau-nernst, learn-cuda, D = 128).
// Reads/Writes: q once, k and v once per 64 queries that see some of them; out once, by pieces of half a sector.
// Plan: a block of four warps per 64 queries of a head, 16 to a warp; keys and values in tiles of 64, two in flight.
// Traffic: (2·T²/64 + T)·2·D bytes a head in for all keys, about half of the first term under a causal mask; 2·T·D out.
// Shared memory: 40 KiB: the queries, and two tiles of keys and of values.
// Ordering: the wait and the barrier of a turn publish its tile; the barrier at its end frees the place that the next copies
//   take.
// Numerics: scores, maximum and sums in f32; probabilities are rounded to bf16 before they meet the values. Exponentials are
//   the hardware's, to base 2.
// Limits: D ≤ 64.
// Source: Dao, FlashAttention-2, arXiv 2307.08691, §3; gau-nernst, learn-cuda, https://github.com/gau-nernst/learn-cuda.
#include "ladder/attention/args.cuh"
#include "tile/attention.cuh"

enum { D = 64, BM = 64, BN = 64, THREADS = 128, TILE_BYTES = BN * D * 2 };

KERNEL(ladder_attention_tensor_cores_bf16, THREADS, SelfAttentionArgs) {
    u8* queries = ptx::dynamic_shared();
    u8* ring = queries + TILE_BYTES;
    u32 first = blockIdx.x * BM, bh = blockIdx.y, row = threadIdx.x / 32 * 16;
    i64 stride = time_stride(a);
    bool aligned = a.width % 8 == 0 && (a.q | a.k | a.v) % 16 == 0;
    auto rows = [&](u64 x) { return Stored<bf16>{head(a, x, bh), stride, i32(a.time), i32(a.width), aligned}; };
    auto q = rows(a.q), k = rows(a.k), v = rows(a.v);
    u32 tiles = (min(keys_of(a, first + BM - 1), a.time) + BN - 1) / BN;
    auto fetch = [&](u32 tile) {
        if (tile < tiles) {
            u8* to = ring + tile % 2 * (2 * TILE_BYTES);
            load_tile<BN, D, THREADS>(to, k, tile * BN, 0);
            load_tile<BN, D, THREADS>(to + TILE_BYTES, v, tile * BN, 0);
        }
        ptx::cp_async_commit();
    };
    load_tile<BM, D, THREADS>(queries, q, first, 0);
    fetch(0);
    f32 out[D / 8][4] = {}, max[2] = {-math::infinity(), -math::infinity()}, total[2] = {};
#pragma unroll 1
    for (u32 tile = 0; tile < tiles; tile++) {
        fetch(tile + 1);
        ptx::cp_async_wait<1>();
        __syncthreads();
        u32 keys = ptx::shared_address(ring) + tile % 2 * (2 * TILE_BYTES);
        f32 s[BN / 8][4] = {};
        multiply_rows<bf16, D>(s, ptx::shared_address(queries), row, keys, 0);
#pragma unroll
        for (int h = 0; h < 2; h++) {
            // The lane's elements 2·h and 2·h + 1 of each eight columns are of one row; four lanes share it.
            u32 end = min(keys_of(a, first + row + lane_row(2 * h)), a.time);
            f32 next = max[h];
#pragma unroll
            for (int n = 0; n < BN / 8; n++)
#pragma unroll
                for (int e = 2 * h; e < 2 * h + 2; e++) {
                    bool seen = tile * BN + lane_col(n, e) < end;
                    s[n][e] = seen ? s[n][e] * (a.scale * LOG2_E) : -math::infinity();
                    next = fmaxf(next, s[n][e]);
                }
            next = fmaxf(next, __shfl_xor_sync(~0u, next, 1));
            next = fmaxf(next, __shfl_xor_sync(~0u, next, 2));
            f32 shift = next == -math::infinity() ? 0.0f : next, factor = ptx::ex2(max[h] - shift);
            max[h] = next;
            total[h] *= factor;
#pragma unroll
            for (int n = 0; n < BN / 8; n++)
#pragma unroll
                for (int e = 2 * h; e < 2 * h + 2; e++) {
                    s[n][e] = ptx::ex2(s[n][e] - shift);
                    total[h] += s[n][e];
                }
#pragma unroll
            for (int n = 0; n < D / 8; n++)
#pragma unroll
                for (int e = 2 * h; e < 2 * h + 2; e++) out[n][e] *= factor;
        }
        multiply_held<bf16, D>(out, s, keys + TILE_BYTES, 0);
        __syncthreads();
    }
    ptx::cp_async_wait<0>();
#pragma unroll
    for (int h = 0; h < 2; h++) {
        total[h] += __shfl_xor_sync(~0u, total[h], 1);
        total[h] += __shfl_xor_sync(~0u, total[h], 2);
        u32 i = first + row + lane_row(2 * h);
        if (i >= a.time) continue;
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            u32 d = lane_col(n, 0);
            bf16* to = head(a, a.out, bh) + i * stride + d;
            Vector<bf16, 2> pair{narrow<bf16>(out[n][2 * h] / total[h]), narrow<bf16>(out[n][2 * h + 1] / total[h])};
            if (aligned && a.out % 4 == 0 && d < a.width) {
                store_vector(to, pair);
            } else {
                if (d < a.width) to[0] = pair.at[0];
                if (d + 1 < a.width) to[1] = pair.at[1];
            }
        }
    }
}
