// Computes: out = softmax(q·kᵀ·scale + mask)·v and lse, the logarithm of each row's denominator, for bf16 and f16.
//   q (B, Tq, H, D), k and v (B, Tk, Hkv, D), out as q, lse (B, H, Tq) f32. Query head h reads key head h/(H/Hkv).
// Reads/Writes: q once, k and v once per tile of queries that sees them, out and lse once; no T x T memory.
// Plan: one block of four warps per BM queries of a head, 16 or 32 queries per warp, the longest rows of tiles first. Keys
//   and values come in tiles of BN, two in flight, by cp.async. A warp takes a tile's scores into registers, updates the
//   running maximum and sum of its rows, and multiplies the probabilities, still in registers, by the values. With 32
//   queries it reads each key and value half as often. Only tiles at the edge of a mask are masked; tiles that no query of
//   the block sees are not read, tiles that no query of a warp sees not multiplied.
// Traffic: per block (BM·D + 2·keys·D)·2 bytes in, BM·D·2 out by half sectors; 4·BM·keys·D flops: 128 per byte of L2.
// Shared memory: (BM + 4·BN)·D·2 bytes, D rounded up to 64, 128 or 256, BM 128, 128 or 64, BN 64, 48 or 16: 48, 80 or 64 KiB.
// Ordering: the wait and the barrier of a turn publish its tile, and say that all warps are through with the one before,
//   whose place the next copies take. At the edge of a mask a barrier asks for values that are not finite; if there are any,
//   one more stands behind their removal, and one before the block adds them to its output.
// Numerics: scores, maximum, sum and output are f32, probabilities are rounded to 16 bits before they meet the values. The
//   scale is part of the exponential's argument, a multiplication and a subtraction that round once.
//   Tiles of keys count from key 0, so a row's bits do not depend on the other queries of the call. A row without keys
//   gives 0 and lse = -∞; one whose scores are all -∞ gives NaN.
//   A value that is not finite reaches those queries alone that see it: see `tile/unbounded.cuh`.
// Limits: D ≤ 256, Tq, Tk < 2³¹. Keys past `lengths` are never read.
// Source: Dao, *FlashAttention-2*, arXiv 2307.08691, §3.1.
#include "tile/halves.cuh"
#include "tile/unbounded.cuh"

enum { THREADS = 128, WARPS = 4 };

template <int D_, int BN_, int M_>
struct Shape {
    static constexpr int D = D_, BN = BN_, M = M_, ROWS = 16 * M, BM = ROWS * WARPS;
    static constexpr int Q_BYTES = BM * D * 2, TILE_BYTES = BN * D * 2;
};

// A warp's rows of queries on their way through the keys: M times 16, of which a lane has two each.
template <class S>
struct Rows {
    f32 out[S::M][S::D / 8][4];
    f32 max[S::M][2], sum[S::M][2];
};

// Scores of what rows i.. do not see of keys j.. are -∞.
template <class S>
__device__ __forceinline__ void mask(const AttentionArgs& a, const Place& p, f32 (&s)[S::M][S::BN / 8][4], i32 i, i32 j) {
#pragma unroll
    for (int m = 0; m < S::M; m++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            i32 row = i + m * 16 + lane_row(e), start = first_key(a, row) - j, end = end_key(a, p, row) - j;
#pragma unroll
            for (int n = 0; n < S::BN / 8; n++) {
                i32 c = lane_col(n, e);
                s[m][n][e] = c >= start && c < end ? s[m][n][e] : -math::infinity();
            }
        }
}

// Takes one tile of scores into the running softmax and turns it into probabilities.
template <class S>
__device__ __forceinline__ void softmax(const AttentionArgs& a, const Place& p, Rows<S>& rows, f32 (&s)[S::M][S::BN / 8][4],
                                        i32 i, i32 j) {
    f32 scale = a.scale * LOG2_E;
    // Only a positive factor can wait until the largest score is known.
    if (!(scale > 0.0f)) {
#pragma unroll
        for (int m = 0; m < S::M; m++)
#pragma unroll
            for (int n = 0; n < S::BN / 8; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) s[m][n][e] *= scale;
        scale = 1.0f;
    }
    if (!sees_all(a, p, i, S::ROWS, j, S::BN)) mask<S>(a, p, s, i, j);
#pragma unroll
    for (int m = 0; m < S::M; m++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            f32 top = -math::infinity();
#pragma unroll
            for (int n = 0; n < S::BN / 8; n++) top = fmaxf(top, fmaxf(s[m][n][2 * h], s[m][n][2 * h + 1]));
            top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
            top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
            top = fmaxf(rows.max[m][h], top * scale);
            // Where nothing finite was seen yet, -∞ - -∞ would be NaN.
            f32 shift = top == -math::infinity() ? 0.0f : top;
            f32 rescale = ptx::ex2(rows.max[m][h] - shift);
            rows.max[m][h] = top;
            rows.sum[m][h] *= rescale;
#pragma unroll
            for (int n = 0; n < S::BN / 8; n++)
#pragma unroll
                for (int e = 2 * h; e < 2 * h + 2; e++) {
                    s[m][n][e] = ptx::ex2(fmaf(s[m][n][e], scale, -shift));
                    rows.sum[m][h] += s[m][n][e];
                }
#pragma unroll
            for (int n = 0; n < S::D / 8; n++) {
                rows.out[m][n][2 * h] *= rescale;
                rows.out[m][n][2 * h + 1] *= rescale;
            }
        }
    if (a.drop > 0.0f) {
#pragma unroll
        for (int m = 0; m < S::M; m++) {
            u64 kept = kept_bits<S::BN / 8, false>(a, p, i + m * 16, j);
#pragma unroll
            for (int n = 0; n < S::BN / 8; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) s[m][n][e] *= kept >> (4 * n + e) & 1 ? a.keep : 0.0f;
        }
    }
}

template <class T, class S>
__device__ __forceinline__ void finish(const AttentionArgs& a, const Place& p, Rows<S>& rows, i32 i) {
#pragma unroll
    for (int m = 0; m < S::M; m++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            f32 sum = rows.sum[m][h];
            sum += __shfl_xor_sync(~0u, sum, 1);
            sum += __shfl_xor_sync(~0u, sum, 2);
            i32 row = i + m * 16 + lane_row(2 * h);
            if (row >= i32(a.queries)) continue;
            bool seen = first_key(a, row) < end_key(a, p, row);
            // Scores of -∞ alone: softmax is 0/0.
            f32 lse = sum == 0.0f ? math::nan() : fmaf(rows.max[m][h], LN_2, math::ln(sum));
            if (threadIdx.x % 4 == 0)
                reinterpret_cast<f32*>(a.lse)[(u64(p.b) * a.heads + p.h) * a.queries + row] =
                    seen ? lse : -math::infinity();
            store_lane_row(a, row_of<T>(a.out, p.b, row, p.h), rows.out[m], 2 * h, 0, seen ? 1.0f / sum : 0.0f);
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

    TileCopy<S::BN, S::D, THREADS, T> copy_k(k, 0, 0), copy_v(v, 0, 0);
    i32 whole = k.aligned && k.cols == S::D ? p.length / S::BN : 0;
    auto fetch = [&](i32 tile) {
        u8* to = ring + tile % 2 * (2 * S::TILE_BYTES);
        if (tile < min(whole, end)) {
            copy_k.start(ptx::shared_address(to), tile * (S::BN * k.stride));
            copy_v.start(ptx::shared_address(to) + S::TILE_BYTES, tile * (S::BN * v.stride));
        } else if (tile < end) {
            u32 b = ptx::opaque(p.b);
            load_tile<S::BN, S::D, THREADS, 1>(to, rows_of<T>(a, a.k, b, p.kv, p.length), tile * S::BN, 0);
            load_tile<S::BN, S::D, THREADS, 1>(to + S::TILE_BYTES, rows_of<T>(a, a.v, b, p.kv, p.length), tile * S::BN, 0);
        }
        ptx::cp_async_commit();
    };
    load_tile<S::BM, S::D, THREADS, 1>(queries, q, first, 0);
    fetch(begin);
    u32 row = threadIdx.x / 32 * S::ROWS;
    i32 i = first + row;
    Rows<S> rows{};
#pragma unroll
    for (int m = 0; m < S::M; m++) rows.max[m][0] = rows.max[m][1] = -math::infinity();
    Fragments<S::D, true, false> left(row, 0);
    Fragments<S::D, true, true> key_rows(0, 0);
    Fragments<S::D, false, true> value_columns(0, 0);
    bool any_unbounded = false;
#pragma unroll 1
    for (i32 tile = begin; tile < end; tile++) {
        ptx::cp_async_wait<0>();
        __syncthreads();
        fetch(tile + 1);
        i32 key = tile * S::BN;
        u32 keys = ptx::shared_address(ring) + tile % 2 * (2 * S::TILE_BYTES), values = keys + S::TILE_BYTES;
        if (!sees_all(a, p, first, S::BM, key, S::BN) &&
            __syncthreads_or(has_unbounded<T, S::TILE_BYTES, THREADS>(values))) {
            any_unbounded = true;
            clear_unbounded<T, S::TILE_BYTES, THREADS>(values);
            __syncthreads();
        }
        if (sees_any(a, p, i, S::ROWS, key, S::BN)) {
            f32 s[S::M][S::BN / 8][4] = {};
            multiply_rows<T, S::D>(s, ptx::shared_address(queries), left, keys, key_rows);
            softmax<S>(a, p, rows, s, i, key);
            multiply_held<T, S::D>(rows.out, s, values, value_columns);
        }
    }
    ptx::cp_async_wait<0>();
    finish<T, S>(a, p, rows, i);
    if (any_unbounded) {
        __syncthreads();
        auto factor = [&](i32 query, i32 j) { return factor_of_value(a, p, query, j); };
        i32 behind = min(first + S::BM, i32(a.queries));
        add_unbounded<T, THREADS>(row_of<T>(a.out, p.b, 0, p.h), a.out.time, first, behind, v, factor);
    }
}

#define WIDTHS(T)                                                                                              \
    KERNEL(attention_fwd_d64_##T, THREADS, AttentionArgs) { forward<T, Shape<64, 64, 2>>(a); }               \
    KERNEL(attention_fwd_d128_##T, THREADS, AttentionArgs) { forward<T, Shape<128, 48, 2>>(a); }              \
    KERNEL(attention_fwd_d256_##T, THREADS, AttentionArgs) { forward<T, Shape<256, 16, 1>>(a); }
FOR_HALF(WIDTHS)
