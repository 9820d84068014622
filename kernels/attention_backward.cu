// Computes: dq, dk and dv of attention from dout, q, k, v, lse and delta = Σ dout·out per row, for bf16 and f16:
//   p = e^(q·kᵀ·scale - lse), dv = pᵀ·dout, ds = p·(dout·vᵀ - delta), dq = ds·k·scale, dk = dsᵀ·q·scale.
// Reads/Writes: two kernels, so that each gradient has one writer. attention_bwd_kv owns BN keys of a key head and reads
//   the queries that see them, of all heads of the group in turn; attention_bwd_q owns BM queries and reads their keys.
// Plan: four warps, each with 16 or 32 rows of what its block owns; the other side comes in tiles, two in flight, by cp.async.
//   Scores are computed anew, in the orientation that leaves them in registers as the left factor of the next product
//   (transposed in attention_bwd_kv), so that neither p nor ds is ever stored.
// Traffic: 7 products of T·T·D where keeping ds would need 5, for no atomics and no T x T memory.
// Shared memory: (2·OWN + 4·TILE)·D·2 bytes, OWN 64, or 128 for dq of D ≤ 128: 48 to 96 KiB.
// Ordering: the wait and the barrier of a turn publish its tile, and say that all warps are through with the one before,
//   whose place the next copies take. At the edge of a mask a barrier asks for numbers that are not finite; if there are any,
//   two more stand around their removal, and one before the block adds them to its gradients.
// Numerics: scores, p, ds and sums are f32; p and ds are rounded to 16 bits before the products that sum over them. The
//   order of each sum is fixed: queries of the group's first head first. What is not finite reaches those gradients alone
//   that have a part in it: see `tile/unbounded.cuh`.
// Limits: D ≤ 256, Tq, Tk < 2³¹. At D 256 two blocks share a tile of keys, half of the columns each.
// Source: Dao, *FlashAttention-2*, arXiv 2307.08691, §3.1.2.
#include "tile/halves.cuh"
#include "tile/unbounded.cuh"

enum { THREADS = 128, WARPS = 4 };

template <int D_, int TILE_, int M_>
struct Shape {
    static constexpr int D = D_, TILE = TILE_, N = TILE / 8, M = M_, ROWS = 16 * M, OWN = ROWS * WARPS;
    static constexpr int COLS = D < 128 ? D : 128;  // of dk and dv per block: more do not fit into the registers
    static constexpr int OWN_BYTES = OWN * D * 2, TILE_BYTES = TILE * D * 2;
};

// Copies pairs of tiles, two in flight: x and y are the two arrays that a turn needs.
template <class S, class T>
struct Pairs {
    TileCopy<S::TILE, S::D, THREADS, T> x, y;
    bool whole;

    // Of one batch row, from the head `h` on.
    __device__ __forceinline__ Pairs(const AttentionArgs& a, const Heads& x, const Heads& y, u32 b, u32 h)
        : x(rows_of<T>(a, x, b, h, 0), 0, 0), y(rows_of<T>(a, y, b, h, 0), 0, 0),
          whole(a.flags & ALIGNED && a.width == S::D) {}

    // The tile from `row` on of the head `h`, which is head number `ahead` counted from the first.
    __device__ __forceinline__ void fetch(const AttentionArgs& a, u8* ring, i32 turn, const Heads& x_at, const Heads& y_at,
                                          u32 b, u32 h, u32 ahead, i32 row, i32 rows) const {
        u8* to = ring + turn % 2 * (2 * S::TILE_BYTES);
        if (whole && row + S::TILE <= rows) {
            x.start(ptx::shared_address(to), row * x_at.time + ahead * x_at.head);
            y.start(ptx::shared_address(to) + S::TILE_BYTES, row * y_at.time + ahead * y_at.head);
        } else {
            load_tile<S::TILE, S::D, THREADS, 1>(to, rows_of<T>(a, x_at, ptx::opaque(b), h, rows), row, 0);
            load_tile<S::TILE, S::D, THREADS, 1>(to + S::TILE_BYTES, rows_of<T>(a, y_at, ptx::opaque(b), h, rows), row, 0);
        }
    }
};

// lse and delta of a head's queries. Of those past the last they do not matter.
struct Statistics {
    const f32 *lse, *delta;
    u32 last;

    __device__ __forceinline__ Statistics(const AttentionArgs& a, const Place& p) : last(a.queries - 1) {
        u64 at = (u64(p.b) * a.heads + p.h) * a.queries;
        lse = reinterpret_cast<const f32*>(a.lse) + at;
        delta = reinterpret_cast<const f32*>(a.delta) + at;
    }

    __device__ __forceinline__ f32 lse_of(u32 i) const { return lse[min(i, last)]; }
    __device__ __forceinline__ f32 delta_of(u32 i) const { return delta[min(i, last)]; }
};

// A score's probability.
__device__ __forceinline__ f32 probability(f32 score, f32 scale, f32 lse) {
    return ptx::ex2(fmaf(score, scale, -(lse * LOG2_E)));
}

// dp to ds for rows row.. and columns col.. of which TRANSPOSED says whether rows are keys; with dropout s, which holds p, as
// it met the values. delta(m, n, e) is that of the element's query.
template <class S, bool TRANSPOSED, class F>
__device__ __forceinline__ void differentiate(const AttentionArgs& a, const Place& p, f32 (&s)[S::M][S::N][4],
                                              f32 (&dp)[S::M][S::N][4], i32 row, i32 col, F delta) {
    if (a.drop <= 0.0f) {
        each_element<S::M, S::N>([&](int m, int n, int e) { dp[m][n][e] = s[m][n][e] * (dp[m][n][e] - delta(m, n, e)); });
        return;
    }
#pragma unroll
    for (int m = 0; m < S::M; m++) {
        u64 kept = kept_bits<S::N, TRANSPOSED>(a, p, row + m * 16, col);
        each_element<1, S::N>([&](int, int n, int e) {
            f32 factor = kept >> (4 * n + e) & 1 ? a.keep : 0.0f;
            dp[m][n][e] = s[m][n][e] * (dp[m][n][e] * factor - delta(m, n, e));
            s[m][n][e] *= factor;
        });
    }
}

template <class T, class S>
__device__ __forceinline__ void backward_keys(const AttentionArgs& a) {
    u8 *keys = ptx::dynamic_shared(), *values = keys + S::OWN_BYTES, *ring = values + S::OWN_BYTES;
    constexpr u32 PARTS = S::D / S::COLS;
    u32 kv_heads = a.heads / a.group, places = a.batch * kv_heads, which = blockIdx.x / PARTS;
    u32 b = which % places / kv_heads, kv = which % kv_heads, first_col = blockIdx.x % PARTS * S::COLS;
    i32 first = which / places * S::OWN;
    Place p = place_of(a, b, kv * a.group);
    // The queries that see a key of the block, rounded to tiles; sums that could overflow are clamped first.
    i32 begin = a.flags & CAUSAL ? min(max(first - a.offset, 0), i32(a.queries)) / S::TILE : 0, last = a.queries;
    if (a.window != 0 && i32(a.keys) - i32(a.window) >= first + S::OWN)
        last = min(last, max(first + S::OWN - 1 + i32(a.window) - a.offset, 0));
    i32 tiles = first < p.length ? max((last + S::TILE - 1) / S::TILE - begin, 0) : 0, turns = tiles * a.group;
    i32 behind_last = (begin + tiles) * S::TILE;

    Pairs<S, T> pairs(a, a.q, a.dout, b, kv * a.group);
    // The tile and the head of the next copy.
    i32 next_row = begin * S::TILE;
    u32 next_head = 0;
    auto fetch = [&](i32 turn) {
        if (turn < turns) {
            pairs.fetch(a, ring, turn, a.q, a.dout, b, kv * a.group + next_head, next_head, next_row, a.queries);
        }
        ptx::cp_async_commit();
    };
    load_tile<S::OWN, S::D, THREADS, 1>(keys, rows_of<T>(a, a.k, b, kv, p.length), first, 0);
    load_tile<S::OWN, S::D, THREADS, 1>(values, rows_of<T>(a, a.v, b, kv, p.length), first, 0);
    fetch(0);
    u32 row = threadIdx.x / 32 * S::ROWS;
    i32 j = first + row;
    f32 scale = a.scale * LOG2_E;
    f32 dk[S::M][S::COLS / 8][4] = {}, dv[S::M][S::COLS / 8][4] = {};
    Fragments<S::D, true, false> own_rows(row, 0);
    Fragments<S::D, true, true> tile_rows(0, 0);
    Fragments<S::D, false, true> tile_columns(first_col, 0);
    bool any_unbounded = false;
#pragma unroll 1
    for (i32 turn = 0; turn < turns; turn++) {
        ptx::cp_async_wait<0>();
        __syncthreads();
        p.h = kv * a.group + next_head;
        i32 i = next_row;
        next_row += S::TILE;
        if (next_row == behind_last) {
            next_row = begin * S::TILE;
            next_head++;
        }
        fetch(turn + 1);
        u32 q = ptx::shared_address(ring) + turn % 2 * (2 * S::TILE_BYTES), dout = q + S::TILE_BYTES;
        bool unbounded = !sees_all(a, p, i, S::TILE, first, S::OWN) &&
                         __syncthreads_or(has_unbounded<T, 2 * S::TILE_BYTES, THREADS>(q));
        any_unbounded |= unbounded;
        f32 s[S::M][S::N][4] = {}, dp[S::M][S::N][4] = {};
        if (sees_any(a, p, i, S::TILE, j, S::ROWS)) {
            multiply_rows<T, S::D>(s, ptx::shared_address(keys), own_rows, q, tile_rows);
            Statistics of_head(a, p);
            f32 columns[S::N][2];
#pragma unroll
            for (int n = 0; n < S::N; n++)
#pragma unroll
                for (int e = 0; e < 2; e++) columns[n][e] = of_head.lse_of(i + lane_col(n, e));
            each_element<S::M, S::N>([&](int m, int n, int e) {
                s[m][n][e] = probability(s[m][n][e], scale, columns[n][e % 2]);
            });
#pragma unroll
            for (int n = 0; n < S::N; n++)
#pragma unroll
                for (int e = 0; e < 2; e++) columns[n][e] = of_head.delta_of(i + lane_col(n, e));
            multiply_rows<T, S::D>(dp, ptx::shared_address(values), own_rows, dout, tile_rows);
            differentiate<S, true>(a, p, s, dp, j, i, [&](int, int n, int e) { return columns[n][e % 2]; });
            if (i + S::TILE > i32(a.queries) || !sees_all(a, p, i, S::TILE, j, S::ROWS)) {
                each_element<S::M, S::N>([&](int m, int n, int e) {
                    i32 query = i + lane_col(n, e);
                    if (query >= i32(a.queries) || !sees(a, p, query, j + m * 16 + lane_row(e)))
                        s[m][n][e] = dp[m][n][e] = 0.0f;
                });
            }
        }
        if (unbounded) {
            __syncthreads();
            clear_unbounded<T, 2 * S::TILE_BYTES, THREADS>(q);
            __syncthreads();
        }
        if (sees_any(a, p, i, S::TILE, j, S::ROWS)) {
            multiply_held<T, S::D>(dv, s, dout, tile_columns);
            multiply_held<T, S::D>(dk, dp, q, tile_columns);
        }
    }
    ptx::cp_async_wait<0>();
#pragma unroll
    for (int h = 0; h < 2 * S::M; h++) {
        i32 key = j + h / 2 * 16 + lane_row(h % 2 * 2);
        if (key >= i32(a.keys)) continue;
        store_lane_row(a, row_of<T>(a.dk, b, key, kv), dk[h / 2], h % 2 * 2, first_col, a.scale);
        store_lane_row(a, row_of<T>(a.dv, b, key, kv), dv[h / 2], h % 2 * 2, first_col, 1.0f);
    }
    if (!any_unbounded) return;
    __syncthreads();
    i32 left = max(min(i32(a.width) - i32(first_col), S::COLS), 0), behind = min(first + S::OWN, i32(a.keys));
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
    u32 heads = a.batch * a.heads, tiles = (a.queries + S::OWN - 1) / S::OWN, which = blockIdx.x % heads;
    i32 first = (tiles - 1 - blockIdx.x / heads) * S::OWN;
    Place p = place_of(a, which / a.heads, which % a.heads);
    auto k = rows_of<T>(a, a.k, p.b, p.kv, p.length), v = rows_of<T>(a, a.v, p.b, p.kv, p.length);
    i32 begin = first_key(a, first) / S::TILE, end = (end_key(a, p, first + S::OWN - 1) + S::TILE - 1) / S::TILE;

    Pairs<S, T> pairs(a, a.k, a.v, p.b, p.kv);
    auto fetch = [&](i32 tile) {
        if (tile < end) pairs.fetch(a, ring, tile, a.k, a.v, p.b, p.kv, 0, tile * S::TILE, p.length);
        ptx::cp_async_commit();
    };
    load_tile<S::OWN, S::D, THREADS, 1>(queries, rows_of<T>(a, a.q, p.b, p.h, a.queries), first, 0);
    load_tile<S::OWN, S::D, THREADS, 1>(douts, rows_of<T>(a, a.dout, p.b, p.h, a.queries), first, 0);
    fetch(begin);
    u32 row = threadIdx.x / 32 * S::ROWS;
    i32 i = first + row;
    f32 scale = a.scale * LOG2_E;
    Statistics of_head(a, p);
    f32 lse[2 * S::M], delta[2 * S::M];
#pragma unroll
    for (int h = 0; h < 2 * S::M; h++) {
        u32 query = i + h / 2 * 16 + lane_row(h % 2 * 2);
        lse[h] = of_head.lse_of(query);
        delta[h] = of_head.delta_of(query);
    }
    f32 dq[S::M][S::D / 8][4] = {};
    Fragments<S::D, true, false> own_rows(row, 0);
    Fragments<S::D, true, true> tile_rows(0, 0);
    Fragments<S::D, false, true> tile_columns(0, 0);
    bool any_unbounded = false;
#pragma unroll 1
    for (i32 tile = begin; tile < end; tile++) {
        ptx::cp_async_wait<0>();
        __syncthreads();
        fetch(tile + 1);
        i32 j = tile * S::TILE;
        u32 keys = ptx::shared_address(ring) + tile % 2 * (2 * S::TILE_BYTES), values = keys + S::TILE_BYTES;
        bool unbounded = !sees_all(a, p, first, S::OWN, j, S::TILE) &&
                         __syncthreads_or(has_unbounded<T, S::TILE_BYTES, THREADS>(keys));
        any_unbounded |= unbounded;
        f32 s[S::M][S::N][4] = {}, dp[S::M][S::N][4] = {};
        if (sees_any(a, p, i, S::ROWS, j, S::TILE)) {
            multiply_rows<T, S::D>(s, ptx::shared_address(queries), own_rows, keys, tile_rows);
            each_element<S::M, S::N>([&](int m, int n, int e) {
                s[m][n][e] = probability(s[m][n][e], scale, lse[2 * m + e / 2]);
            });
            multiply_rows<T, S::D>(dp, ptx::shared_address(douts), own_rows, values, tile_rows);
            differentiate<S, false>(a, p, s, dp, i, j, [&](int m, int, int e) { return delta[2 * m + e / 2]; });
            if (!sees_all(a, p, i, S::ROWS, j, S::TILE)) {
                i32 at = ptx::opaque(i);
                each_element<S::M, S::N>([&](int m, int n, int e) {
                    if (!sees(a, p, at + m * 16 + lane_row(e), j + lane_col(n, e))) dp[m][n][e] = 0.0f;
                });
            }
        }
        if (unbounded) {
            __syncthreads();
            clear_unbounded<T, S::TILE_BYTES, THREADS>(keys);
            __syncthreads();
        }
        if (sees_any(a, p, i, S::ROWS, j, S::TILE)) multiply_held<T, S::D>(dq, dp, keys, tile_columns);
    }
    ptx::cp_async_wait<0>();
#pragma unroll
    for (int h = 0; h < 2 * S::M; h++) {
        i32 query = i + h / 2 * 16 + lane_row(h % 2 * 2);
        if (query < i32(a.queries))
            store_lane_row(a, row_of<T>(a.dq, p.b, query, p.h), dq[h / 2], h % 2 * 2, 0, a.scale);
    }
    if (!any_unbounded) return;
    __syncthreads();
    auto factor = [&](i32 query, i32 key) { return factor_of_score(a, p, query, key); };
    add_unbounded<T, THREADS>(row_of<T>(a.dq, p.b, 0, p.h), a.dq.time, first, min(first + S::OWN, i32(a.queries)), k, factor);
}

// Blocks per multiprocessor that the registers allow: without it the assembler takes a few more, and one block fewer fits.
#define TWO THREADS, 2
#define WIDTHS(T)                                                                                              \
    KERNEL(attention_bwd_kv_d64_##T, TWO, AttentionArgs) { backward_keys<T, Shape<64, 64, 1>>(a); }            \
    KERNEL(attention_bwd_kv_d128_##T, TWO, AttentionArgs) { backward_keys<T, Shape<128, 32, 1>>(a); }          \
    KERNEL(attention_bwd_kv_d256_##T, TWO, AttentionArgs) { backward_keys<T, Shape<256, 16, 1>>(a); }          \
    KERNEL(attention_bwd_q_d64_##T, TWO, AttentionArgs) { backward_queries<T, Shape<64, 32, 2>>(a); }          \
    KERNEL(attention_bwd_q_d128_##T, TWO, AttentionArgs) { backward_queries<T, Shape<128, 16, 2>>(a); }        \
    KERNEL(attention_bwd_q_d256_##T, TWO, AttentionArgs) { backward_queries<T, Shape<256, 16, 1>>(a); }
FOR_HALF(WIDTHS)
