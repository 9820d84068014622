// Computes: out = softmax(q·kᵀ·scale + mask)·v and lse, the logarithm of each row's denominator, for bf16 and f16.
//   q (B, Tq, H, D), k and v (B, Tk, Hkv, D), out as q, lse (B, H, Tq) f32. Query head h reads key head h/(H/Hkv).
// Reads/Writes: q once, k and v once per tile of queries that sees them, out and lse once; no T x T memory.
// Plan: one block of four warps per BM queries of a head, 16 queries per warp, the longest rows of tiles first. Keys
//   and values come in tiles of BN, two in flight, by cp.async. A warp takes a tile's scores into registers, updates the
//   running maximum and sum of its rows, and multiplies the probabilities, still in registers, by the values. Tiles that
//   no query of the block sees are not read, tiles that no query of a warp sees not multiplied.
// Traffic: per block (BM·D + 2·keys·D)·2 bytes in, BM·D·2 out by half sectors; 4·BM·keys·D flops: 64 per byte of L2.
// Shared memory: (BM + 4·BN)·D·2 bytes, D rounded up to 64, 128 or 256: 40, 80 or 64 KiB (BN 64, 64 or 16).
// Ordering: the wait and the barrier of a turn publish its tile; the barrier at its end frees the place that the next
//   copies take. At the edge of a mask a barrier asks for values that are not finite; if there are any, one more stands
//   behind their removal, and one before the block adds them to its output.
// Numerics: scores, maximum, sum and output are f32, probabilities are rounded to 16 bits before they meet the values.
//   Tiles of keys count from key 0, so a row's bits do not depend on the other queries of the call. A row without keys
//   gives 0 and lse = -∞; one whose scores are all -∞ gives NaN.
//   A value that is not finite reaches those queries alone that see it: see `tile/unbounded.cuh`.
// Limits: D ≤ 256, Tq, Tk < 2³¹. Keys past `lengths` are never read.
// Source: Dao, *FlashAttention-2*, arXiv 2307.08691, §3.1.
#include "tile/unbounded.cuh"

enum { THREADS = 128, WARPS = 4 };

template <int D_, int BN_>
struct Shape {
    static constexpr int D = D_, BN = BN_, BM = 16 * WARPS;
    static constexpr int Q_BYTES = BM * D * 2, TILE_BYTES = BN * D * 2;
};

// 16 rows of queries on their way through the keys.
template <class S>
struct Rows {
    f32 out[S::D / 8][4];
    f32 max[2], sum[2];
};

// Takes one tile of scores into the running softmax and turns it into probabilities.
template <class S>
__device__ __forceinline__ void softmax(const AttentionArgs& a, const Place& p, Rows<S>& rows, f32 (&s)[S::BN / 8][4],
                                        i32 i, i32 j) {
    f32 scale = a.scale * LOG2_E;
    bool whole = sees_all(a, p, i, 16, j, S::BN);
    f32 top[2] = {rows.max[0], rows.max[1]};
#pragma unroll
    for (int e = 0; e < 4; e++) {
        i32 row = i + lane_row(e), start = first_key(a, row) - j, end = end_key(a, p, row) - j;
#pragma unroll
        for (int n = 0; n < S::BN / 8; n++) {
            i32 c = lane_col(n, e);
            s[n][e] = whole || (c >= start && c < end) ? s[n][e] * scale : -math::infinity();
            top[e / 2] = fmaxf(top[e / 2], s[n][e]);
        }
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        top[h] = fmaxf(top[h], __shfl_xor_sync(~0u, top[h], 1));
        top[h] = fmaxf(top[h], __shfl_xor_sync(~0u, top[h], 2));
        // Where nothing finite was seen yet, -∞ - -∞ would be NaN.
        f32 shift = top[h] == -math::infinity() ? 0.0f : top[h];
        f32 rescale = ptx::ex2(rows.max[h] - shift);
        rows.max[h] = top[h];
        rows.sum[h] *= rescale;
#pragma unroll
        for (int n = 0; n < S::BN / 8; n++)
#pragma unroll
            for (int e = 2 * h; e < 2 * h + 2; e++) {
                s[n][e] = ptx::ex2(s[n][e] - shift);
                rows.sum[h] += s[n][e];
            }
#pragma unroll
        for (int n = 0; n < S::D / 8; n++) {
            rows.out[n][2 * h] *= rescale;
            rows.out[n][2 * h + 1] *= rescale;
        }
    }
    if (a.drop > 0.0f) {
        u64 kept = kept_bits<S::BN / 8, false>(a, p, i, j);
#pragma unroll
        for (int n = 0; n < S::BN / 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) s[n][e] *= kept >> (4 * n + e) & 1 ? a.keep : 0.0f;
    }
}

template <class T, class S>
__device__ __forceinline__ void finish(const AttentionArgs& a, const Place& p, Rows<S>& rows, i32 i) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
        f32 sum = rows.sum[h];
        sum += __shfl_xor_sync(~0u, sum, 1);
        sum += __shfl_xor_sync(~0u, sum, 2);
        i32 row = i + lane_row(2 * h);
        if (row >= i32(a.queries)) continue;
        bool seen = first_key(a, row) < end_key(a, p, row);
        // Scores of -∞ alone: softmax is 0/0.
        f32 lse = sum == 0.0f ? math::nan() : fmaf(rows.max[h], LN_2, math::ln(sum));
        if (threadIdx.x % 4 == 0)
            reinterpret_cast<f32*>(a.lse)[(u64(p.b) * a.heads + p.h) * a.queries + row] = seen ? lse : -math::infinity();
        store_lane_row(a, row_of<T>(a.out, p.b, row, p.h), rows.out, 2 * h, 0, seen ? 1.0f / sum : 0.0f);
    }
}

template <class T, class S>
__device__ __forceinline__ void forward(const AttentionArgs& a) {
    u8* queries = ptx::dynamic_shared();
    u8* ring = queries + S::Q_BYTES;
    u32 heads = a.batch * a.heads, tiles = (a.queries + S::BM - 1) / S::BM;
    u32 which = blockIdx.x % heads;
    i32 first = (tiles - 1 - blockIdx.x / heads) * S::BM;
    Place p = place_of(a, which / a.heads, which % a.heads);
    auto q = rows_of<T>(a, a.q, p.b, p.h, a.queries);
    auto k = rows_of<T>(a, a.k, p.b, p.kv, p.length), v = rows_of<T>(a, a.v, p.b, p.kv, p.length);
    i32 begin = first_key(a, first) / S::BN, end = (end_key(a, p, first + S::BM - 1) + S::BN - 1) / S::BN;

    auto fetch = [&](i32 tile) {
        if (tile < end) {
            u8* to = ring + tile % 2 * (2 * S::TILE_BYTES);
            load_tile<S::BN, S::D, THREADS>(to, k, tile * S::BN, 0);
            load_tile<S::BN, S::D, THREADS>(to + S::TILE_BYTES, v, tile * S::BN, 0);
        }
        ptx::cp_async_commit();
    };
    load_tile<S::BM, S::D, THREADS>(queries, q, first, 0);
    fetch(begin);
    u32 row = threadIdx.x / 32 * 16;
    i32 i = first + row;
    Rows<S> rows{{}, {-math::infinity(), -math::infinity()}, {}};
    bool any_unbounded = false;
#pragma unroll 1
    for (i32 tile = begin; tile < end; tile++) {
        fetch(tile + 1);
        ptx::cp_async_wait<1>();
        __syncthreads();
        i32 key = tile * S::BN;
        u32 keys = ptx::shared_address(ring) + tile % 2 * (2 * S::TILE_BYTES), values = keys + S::TILE_BYTES;
        if (!sees_all(a, p, first, S::BM, key, S::BN) &&
            __syncthreads_or(has_unbounded<T, S::TILE_BYTES, THREADS>(values))) {
            any_unbounded = true;
            clear_unbounded<T, S::TILE_BYTES, THREADS>(values);
            __syncthreads();
        }
        if (sees_any(a, p, i, 16, key, S::BN)) {
            f32 s[S::BN / 8][4] = {};
            multiply_rows<T, S::D>(s, ptx::shared_address(queries), row, keys, 0);
            softmax<S>(a, p, rows, s, i, key);
            multiply_held<T, S::D>(rows.out, s, values, 0);
        }
        __syncthreads();
    }
    ptx::cp_async_wait<0>();
    finish<T, S>(a, p, rows, i);
    if (any_unbounded) {
        __syncthreads();
        auto factor = [&](i32 query, i32 j) { return factor_of_value(a, p, query, j); };
        add_unbounded<T, THREADS>(row_of<T>(a.out, p.b, 0, p.h), a.out.time, first, min(first + S::BM, i32(a.queries)), v, factor);
    }
}

// Blocks per multiprocessor that the narrow heads' registers allow: without it the assembler takes a few more, and one
// block fewer fits.
#define FOUR THREADS, 4
#define WIDTHS(T)                                                                                              \
    KERNEL(attention_fwd_d64_##T, FOUR, AttentionArgs) { forward<T, Shape<64, 64>>(a); }                    \
    KERNEL(attention_fwd_d128_##T, THREADS, AttentionArgs) { forward<T, Shape<128, 64>>(a); }               \
    KERNEL(attention_fwd_d256_##T, THREADS, AttentionArgs) { forward<T, Shape<256, 16>>(a); }
WIDTHS(f16)
WIDTHS(bf16)
