// Computes: dq, dk and dv of attention from dout, q, k, v, lse and delta = Σ dout·out per row, for bf16 and f16:
//   p = e^(q·kᵀ·scale - lse), dv = pᵀ·dout, ds = p·(dout·vᵀ - delta), dq = ds·k·scale, dk = dsᵀ·q·scale.
// Reads/Writes: two kernels, so that each gradient has one writer. attention_bwd_kv owns BN keys of a key head and reads
//   the queries that see them, of all heads of the group in turn; attention_bwd_q owns BM queries and reads their keys.
// Plan: four warps, each with 16 rows of what its block owns; the other side comes in tiles, two in flight, by cp.async.
//   Scores are computed anew, in the orientation that leaves them in registers as the left factor of the next product
//   (transposed in attention_bwd_kv), so that neither p nor ds is ever stored.
// Traffic: 7 products of T·T·D where keeping ds would need 5, for no atomics and no T x T memory.
// Shared memory: (2·64 + 4·TILE)·D·2 bytes, TILE 32, or 16 for D 256: 32, 64 or 96 KiB.
// Ordering: the wait and the barrier of a turn publish its tile; the barrier at its end frees the place that the next
//   copies take. At the edge of a mask a barrier asks for numbers that are not finite; if there are any, two more stand
//   around their removal, and one before the block adds them to its gradients.
// Numerics: scores, p, ds and sums are f32; p and ds are rounded to 16 bits before the products that sum over them. The
//   order of each sum is fixed: queries of the group's first head first. What is not finite reaches those gradients alone
//   that have a part in it: see `tile/unbounded.cuh`.
// Limits: D ≤ 256, Tq, Tk < 2³¹. At D 256 two blocks share a tile of keys, half of the columns each.
// Source: Dao, *FlashAttention-2*, arXiv 2307.08691, §3.1.2.
#include "tile/unbounded.cuh"

enum { THREADS = 128, OWN = 64 };

template <int D_, int TILE_>
struct Shape {
    static constexpr int D = D_, TILE = TILE_, N = TILE / 8;
    static constexpr int COLS = D < 128 ? D : 128;  // of dk and dv per block: more do not fit into the registers
    static constexpr int OWN_BYTES = OWN * D * 2, TILE_BYTES = TILE * D * 2;
};

// Copies pairs of tiles, two in flight: x and y are the two arrays that a turn needs.
template <class S, class T>
__device__ __forceinline__ void fetch_pair(u8* ring, i32 turn, const Stored<T>& x, const Stored<T>& y, i32 row) {
    u8* to = ring + turn % 2 * (2 * S::TILE_BYTES);
    load_tile<S::TILE, S::D, THREADS>(to, x, row, 0);
    load_tile<S::TILE, S::D, THREADS>(to + S::TILE_BYTES, y, row, 0);
}

// lse·log₂e and delta of a query; those past the last do not matter.
struct Statistic {
    f32 lse, delta;
};

__device__ __forceinline__ Statistic statistic(const AttentionArgs& a, const Place& p, i32 i) {
    if (i >= i32(a.queries)) return {};
    u64 at = (u64(p.b) * a.heads + p.h) * a.queries + i;
    return {reinterpret_cast<const f32*>(a.lse)[at] * LOG2_E, reinterpret_cast<const f32*>(a.delta)[at]};
}

// s to p and dp to ds; with dropout p as it met the values.
__device__ __forceinline__ void differentiate(const AttentionArgs& a, f32& s, f32& dp, const Statistic& row, bool seen,
                                              f32 factor) {
    f32 p = seen ? ptx::ex2(fmaf(s, a.scale * LOG2_E, -row.lse)) : 0.0f;
    dp = seen ? p * (dp * factor - row.delta) : 0.0f;
    s = p * factor;
}

template <class T, class S>
__device__ __forceinline__ void backward_keys(const AttentionArgs& a) {
    u8 *keys = ptx::dynamic_shared(), *values = keys + S::OWN_BYTES, *ring = values + S::OWN_BYTES;
    constexpr u32 PARTS = S::D / S::COLS;
    u32 kv_heads = a.heads / a.group, places = a.batch * kv_heads, which = blockIdx.x / PARTS;
    u32 b = which % places / kv_heads, kv = which % kv_heads, first_col = blockIdx.x % PARTS * S::COLS;
    i32 first = which / places * OWN;
    Place p = place_of(a, b, kv * a.group);
    // The queries that see a key of the block, rounded to tiles; sums that could overflow are clamped first.
    i32 begin = a.flags & CAUSAL ? min(max(first - a.offset, 0), i32(a.queries)) / S::TILE : 0, last = a.queries;
    if (a.window != 0 && i32(a.keys) - i32(a.window) >= first + OWN)
        last = min(last, max(first + OWN - 1 + i32(a.window) - a.offset, 0));
    i32 tiles = first < p.length ? max((last + S::TILE - 1) / S::TILE - begin, 0) : 0, turns = tiles * a.group;

    auto fetch = [&](i32 turn) {
        if (turn < turns) {
            u32 h = kv * a.group + turn / tiles;
            fetch_pair<S>(ring, turn, rows_of<T>(a, a.q, b, h, a.queries), rows_of<T>(a, a.dout, b, h, a.queries),
                          (begin + turn % tiles) * S::TILE);
        }
        ptx::cp_async_commit();
    };
    load_tile<OWN, S::D, THREADS>(keys, rows_of<T>(a, a.k, b, kv, p.length), first, 0);
    load_tile<OWN, S::D, THREADS>(values, rows_of<T>(a, a.v, b, kv, p.length), first, 0);
    fetch(0);
    u32 row = threadIdx.x / 32 * 16;
    i32 j = first + row;
    f32 dk[S::COLS / 8][4] = {}, dv[S::COLS / 8][4] = {};
    bool any_unbounded = false;
#pragma unroll 1
    for (i32 turn = 0; turn < turns; turn++) {
        fetch(turn + 1);
        ptx::cp_async_wait<1>();
        __syncthreads();
        p.h = kv * a.group + turn / tiles;
        i32 i = (begin + turn % tiles) * S::TILE;
        u32 q = ptx::shared_address(ring) + turn % 2 * (2 * S::TILE_BYTES), dout = q + S::TILE_BYTES;
        bool unbounded = !sees_all(a, p, i, S::TILE, first, OWN) &&
                         __syncthreads_or(has_unbounded<T, 2 * S::TILE_BYTES, THREADS>(q));
        any_unbounded |= unbounded;
        f32 s[S::N][4] = {}, dp[S::N][4] = {};
        if (sees_any(a, p, i, S::TILE, j, 16)) {
            multiply_rows<T, S::D>(s, ptx::shared_address(keys), row, q, 0);
            multiply_rows<T, S::D>(dp, ptx::shared_address(values), row, dout, 0);
            bool whole = i + S::TILE <= i32(a.queries) && sees_all(a, p, i, S::TILE, j, 16);
            u64 kept = a.drop > 0.0f ? kept_bits<S::N, true>(a, p, j, i) : 0;
#pragma unroll
            for (int n = 0; n < S::N; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    i32 query = i + lane_col(n, e), key = j + lane_row(e);
                    bool seen = whole || (query < i32(a.queries) && sees(a, p, query, key));
                    f32 factor = a.drop > 0.0f ? (kept >> (4 * n + e) & 1 ? a.keep : 0.0f) : 1.0f;
                    differentiate(a, s[n][e], dp[n][e], statistic(a, p, query), seen, factor);
                }
        }
        if (unbounded) {
            __syncthreads();
            clear_unbounded<T, 2 * S::TILE_BYTES, THREADS>(q);
            __syncthreads();
        }
        if (sees_any(a, p, i, S::TILE, j, 16)) {
            multiply_held<T, S::D>(dv, s, dout, first_col);
            multiply_held<T, S::D>(dk, dp, q, first_col);
        }
        __syncthreads();
    }
    ptx::cp_async_wait<0>();
#pragma unroll
    for (int h = 0; h < 2; h++) {
        i32 key = j + lane_row(2 * h);
        if (key >= i32(a.keys)) continue;
        store_lane_row(a, row_of<T>(a.dk, b, key, kv), dk, 2 * h, first_col, a.scale);
        store_lane_row(a, row_of<T>(a.dv, b, key, kv), dv, 2 * h, first_col, 1.0f);
    }
    if (!any_unbounded) return;
    __syncthreads();
    i32 left = max(min(i32(a.width) - i32(first_col), S::COLS), 0), behind = min(first + OWN, i32(a.keys));
#pragma unroll 1
    for (u32 g = 0; g < a.group; g++) {
        p.h = kv * a.group + g;
        Stored<T> douts{row_of<T>(a.dout, b, 0, p.h) + first_col, a.dout.time, i32(a.queries), left, false};
        Stored<T> queries{row_of<T>(a.q, b, 0, p.h) + first_col, a.q.time, i32(a.queries), left, false};
        add_unbounded<T, THREADS>(row_of<T>(a.dv, b, 0, kv) + first_col, a.dv.time, first, behind, douts,
                                  [&](i32 key, i32 query) { return factor_of_value(a, p, query, key); });
        add_unbounded<T, THREADS>(row_of<T>(a.dk, b, 0, kv) + first_col, a.dk.time, first, behind, queries,
                                  [&](i32 key, i32 query) { return factor_of_score(a, p, query, key); });
    }
}

template <class T, class S>
__device__ __forceinline__ void backward_queries(const AttentionArgs& a) {
    u8 *queries = ptx::dynamic_shared(), *douts = queries + S::OWN_BYTES, *ring = douts + S::OWN_BYTES;
    u32 heads = a.batch * a.heads, tiles = (a.queries + OWN - 1) / OWN, which = blockIdx.x % heads;
    i32 first = (tiles - 1 - blockIdx.x / heads) * OWN;
    Place p = place_of(a, which / a.heads, which % a.heads);
    auto k = rows_of<T>(a, a.k, p.b, p.kv, p.length), v = rows_of<T>(a, a.v, p.b, p.kv, p.length);
    i32 begin = first_key(a, first) / S::TILE, end = (end_key(a, p, first + OWN - 1) + S::TILE - 1) / S::TILE;

    auto fetch = [&](i32 tile) {
        if (tile < end) fetch_pair<S>(ring, tile, k, v, tile * S::TILE);
        ptx::cp_async_commit();
    };
    load_tile<OWN, S::D, THREADS>(queries, rows_of<T>(a, a.q, p.b, p.h, a.queries), first, 0);
    load_tile<OWN, S::D, THREADS>(douts, rows_of<T>(a, a.dout, p.b, p.h, a.queries), first, 0);
    fetch(begin);
    u32 row = threadIdx.x / 32 * 16;
    i32 i = first + row;
    Statistic statistics[2] = {statistic(a, p, i + lane_row(0)), statistic(a, p, i + lane_row(2))};
    f32 dq[S::D / 8][4] = {};
    bool any_unbounded = false;
#pragma unroll 1
    for (i32 tile = begin; tile < end; tile++) {
        fetch(tile + 1);
        ptx::cp_async_wait<1>();
        __syncthreads();
        i32 j = tile * S::TILE;
        u32 keys = ptx::shared_address(ring) + tile % 2 * (2 * S::TILE_BYTES), values = keys + S::TILE_BYTES;
        bool unbounded = !sees_all(a, p, first, OWN, j, S::TILE) &&
                         __syncthreads_or(has_unbounded<T, S::TILE_BYTES, THREADS>(keys));
        any_unbounded |= unbounded;
        f32 s[S::N][4] = {}, dp[S::N][4] = {};
        if (sees_any(a, p, i, 16, j, S::TILE)) {
            multiply_rows<T, S::D>(s, ptx::shared_address(queries), row, keys, 0);
            multiply_rows<T, S::D>(dp, ptx::shared_address(douts), row, values, 0);
            bool whole = sees_all(a, p, i, 16, j, S::TILE);
            u64 kept = a.drop > 0.0f ? kept_bits<S::N, false>(a, p, i, j) : 0;
#pragma unroll
            for (int n = 0; n < S::N; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    bool seen = whole || sees(a, p, i + lane_row(e), j + lane_col(n, e));
                    f32 factor = a.drop > 0.0f ? (kept >> (4 * n + e) & 1 ? a.keep : 0.0f) : 1.0f;
                    differentiate(a, s[n][e], dp[n][e], statistics[e / 2], seen, factor);
                }
        }
        if (unbounded) {
            __syncthreads();
            clear_unbounded<T, S::TILE_BYTES, THREADS>(keys);
            __syncthreads();
        }
        if (sees_any(a, p, i, 16, j, S::TILE)) multiply_held<T, S::D>(dq, dp, keys, 0);
        __syncthreads();
    }
    ptx::cp_async_wait<0>();
#pragma unroll
    for (int h = 0; h < 2; h++) {
        i32 query = i + lane_row(2 * h);
        if (query < i32(a.queries)) store_lane_row(a, row_of<T>(a.dq, p.b, query, p.h), dq, 2 * h, 0, a.scale);
    }
    if (!any_unbounded) return;
    __syncthreads();
    auto factor = [&](i32 query, i32 key) { return factor_of_score(a, p, query, key); };
    add_unbounded<T, THREADS>(row_of<T>(a.dq, p.b, 0, p.h), a.dq.time, first, min(first + OWN, i32(a.queries)), k, factor);
}

// Blocks per multiprocessor that the narrow heads' registers allow: without it the assembler takes a few more, and one
// block fewer fits.
#define FOUR THREADS, 4
#define THREE THREADS, 3
#define WIDTHS(T)                                                                                              \
    KERNEL(attention_bwd_kv_d64_##T, THREADS, AttentionArgs) { backward_keys<T, Shape<64, 32>>(a); }           \
    KERNEL(attention_bwd_kv_d128_##T, THREADS, AttentionArgs) { backward_keys<T, Shape<128, 32>>(a); }         \
    KERNEL(attention_bwd_kv_d256_##T, THREADS, AttentionArgs) { backward_keys<T, Shape<256, 16>>(a); }         \
    KERNEL(attention_bwd_q_d64_##T, FOUR, AttentionArgs) { backward_queries<T, Shape<64, 32>>(a); }            \
    KERNEL(attention_bwd_q_d128_##T, THREE, AttentionArgs) { backward_queries<T, Shape<128, 32>>(a); }         \
    KERNEL(attention_bwd_q_d256_##T, THREADS, AttentionArgs) { backward_queries<T, Shape<256, 16>>(a); }
WIDTHS(f16)
WIDTHS(bf16)
