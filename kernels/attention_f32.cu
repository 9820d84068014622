// Computes: out and lse of attention, and dq, dk, dv, as attention_forward.cu and attention_backward.cu, in f32 throughout.
// Reads/Writes: as there.
// Plan: a block of four warps owns ROWS rows: queries, or keys of one key head for dk and dv. The other side comes in
//   tiles of 32 rows. Each warp has four rows: a lane takes the scores of one row of the tile with all four, then columns
//   lane, lane + 32, … of the products, for which the scores go round by shuffles.
// Traffic: 4·ROWS·keys·D flops per 8·keys·D bytes: 8 flops per byte, from L2. For exactness and not for speed.
// Shared memory: (2·ROWS + 2·32)·(D + 1)·4 bytes, D rounded up to 64, 128 or 256: 25, 50 or 97 KiB.
// Ordering: one barrier after a tile is stored, one before the next replaces it.
// Numerics: f32 throughout. Tiles of keys count from key 0, so a row's bits do not depend on the other queries.
// Limits: as in attention_forward.cu; any alignment.
// Source: Dao, *FlashAttention-2*, arXiv 2307.08691, §3.1.
#include "tile/attention.cuh"

enum { THREADS = 128, WARPS = 4, EACH = 4, ROWS = WARPS * EACH, TILE = 32 };

// Rows `row`.. of an array as f32 in shared memory, `D + 1` apart; 0 where there are none, and between the rows, which
// the compiler's wider loads may touch.
template <int D, int COUNT>
__device__ __forceinline__ void load_rows(f32* to, const AttentionArgs& a, const Heads& x, u32 b, u32 h, i32 row, i32 rows) {
#pragma unroll 1
    for (int i = threadIdx.x; i < COUNT * (D + 1); i += THREADS) {
        i32 r = i / (D + 1), c = i % (D + 1);
        bool inside = row + r < rows && c < i32(a.width);
        to[i] = inside ? row_of<f32>(x, b, row + r, h)[c] : 0.0f;
    }
}

// s[r] = Σ own[r][c]·tile[lane][c]
template <int D>
__device__ __forceinline__ void scores(f32 (&s)[EACH], const f32* own, const f32* tile, u32 width) {
    const f32* other = tile + threadIdx.x % 32 * (D + 1);
#pragma unroll
    for (int r = 0; r < EACH; r++) s[r] = 0.0f;
#pragma unroll 4
    for (int c = 0; c < width; c++) {
        f32 x = other[c];
#pragma unroll
        for (int r = 0; r < EACH; r++) s[r] = fmaf(own[r * (D + 1) + c], x, s[r]);
    }
}

// acc[r][n] += Σ over the tile's rows of s[r], held by lane i for row i, times column lane + 32·n, where the lane says that
// row and own row see each other: others may hold NaN or ∞, and 0 times that is NaN.
template <int D>
__device__ __forceinline__ void accumulate(f32 (&acc)[EACH][D / 32], const f32 (&s)[EACH], const u32 (&seen)[EACH],
                                           const f32* tile) {
#pragma unroll 1
    for (int i = 0; i < TILE; i++) {
        const f32* row = tile + i * (D + 1) + threadIdx.x % 32;
        f32 x[D / 32];
#pragma unroll
        for (int n = 0; n < D / 32; n++) x[n] = row[n * 32];
#pragma unroll
        for (int r = 0; r < EACH; r++) {
            f32 p = __shfl_sync(~0u, s[r], i);
            if (!(seen[r] >> i & 1)) continue;
#pragma unroll
            for (int n = 0; n < D / 32; n++) acc[r][n] = fmaf(p, x[n], acc[r][n]);
        }
    }
}

template <int D>
__device__ __forceinline__ void store_row(const AttentionArgs& a, f32* row, const f32 (&acc)[D / 32], f32 factor) {
#pragma unroll
    for (int n = 0; n < D / 32; n++) {
        u32 c = threadIdx.x % 32 + n * 32;
        // + 0 makes every zero positive.
        if (c < a.width) row[c] = acc[n] * factor + 0.0f;
    }
}

__device__ __forceinline__ f32 warp_max(f32 x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, step));
    return x;
}

__device__ __forceinline__ f32 warp_sum(f32 x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(~0u, x, step);
    return x;
}

__device__ __forceinline__ f32 kept(const AttentionArgs& a, const Place& p, i32 i, i32 j) {
    if (a.drop <= 0.0f) return 1.0f;
    return is_kept(a, p, i, j) ? a.keep : 0.0f;
}

template <int D>
__device__ __forceinline__ void forward(const AttentionArgs& a) {
    f32 *own = reinterpret_cast<f32*>(ptx::dynamic_shared()), *keys = own + 2 * ROWS * (D + 1);
    f32 *values = keys + TILE * (D + 1), *mine = own + threadIdx.x / 32 * EACH * (D + 1);
    u32 heads = a.batch * a.heads, which = blockIdx.x % heads;
    i32 first = blockIdx.x / heads * ROWS, i = first + threadIdx.x / 32 * EACH, lane = threadIdx.x % 32;
    Place p = place_of(a, which / a.heads, which % a.heads);
    load_rows<D, ROWS>(own, a, a.q, p.b, p.h, first, a.queries);
    f32 acc[EACH][D / 32] = {}, top[EACH], sum[EACH] = {};
#pragma unroll
    for (int r = 0; r < EACH; r++) top[r] = -math::infinity();
    i32 end = end_key(a, p, first + ROWS - 1);
#pragma unroll 1
    for (i32 j = first_key(a, first) / TILE * TILE; j < end; j += TILE) {
        __syncthreads();
        load_rows<D, TILE>(keys, a, a.k, p.b, p.kv, j, p.length);
        load_rows<D, TILE>(values, a, a.v, p.b, p.kv, j, p.length);
        __syncthreads();
        f32 s[EACH];
        u32 seen[EACH];
        scores<D>(s, mine, keys, a.width);
#pragma unroll
        for (int r = 0; r < EACH; r++) {
            bool is_seen = sees(a, p, i + r, j + lane);
            seen[r] = __ballot_sync(~0u, is_seen);
            f32 score = is_seen ? s[r] * a.scale : -math::infinity();
            f32 now = fmaxf(top[r], warp_max(score));
            // Where nothing finite was seen yet, -∞ - -∞ would be NaN.
            f32 shift = now == -math::infinity() ? 0.0f : now;
            f32 rescale = math::exp(top[r] - shift), e = math::exp(score - shift);
            top[r] = now;
            sum[r] = fmaf(sum[r], rescale, warp_sum(e));
            s[r] = e * kept(a, p, i + r, j + lane);
#pragma unroll
            for (int n = 0; n < D / 32; n++) acc[r][n] *= rescale;
        }
        accumulate<D>(acc, s, seen, values);
    }
#pragma unroll
    for (int r = 0; r < EACH; r++) {
        if (i + r >= i32(a.queries)) continue;
        bool seen = first_key(a, i + r) < end_key(a, p, i + r);
        // Scores of -∞ alone: softmax is 0/0.
        f32 lse = sum[r] == 0.0f ? math::nan() : top[r] + math::ln(sum[r]);
        if (lane == 0)
            reinterpret_cast<f32*>(a.lse)[(u64(p.b) * a.heads + p.h) * a.queries + i + r] =
                seen ? lse : -math::infinity();
        store_row<D>(a, row_of<f32>(a.out, p.b, i + r, p.h), acc[r], seen ? 1.0f / sum[r] : 0.0f);
    }
}

// s to p (with dropout) and dp to ds for the pair (i, j); in which lanes query and key see each other.
__device__ __forceinline__ u32 differentiate(const AttentionArgs& a, const Place& p, i32 i, i32 j, f32& s, f32& dp) {
    bool seen = i < i32(a.queries) && sees(a, p, i, j);
    u64 at = (u64(p.b) * a.heads + p.h) * a.queries + i;
    f32 lse = seen ? reinterpret_cast<const f32*>(a.lse)[at] : 0.0f;
    f32 delta = seen ? reinterpret_cast<const f32*>(a.delta)[at] : 0.0f;
    f32 probability = seen ? math::exp(fmaf(s, a.scale, -lse)) : 0.0f, factor = kept(a, p, i, j);
    dp = seen ? probability * fmaf(dp, factor, -delta) : 0.0f;
    s = probability * factor;
    return __ballot_sync(~0u, seen);
}

template <int D>
__device__ __forceinline__ void backward_queries(const AttentionArgs& a) {
    f32 *own = reinterpret_cast<f32*>(ptx::dynamic_shared()), *own_dout = own + ROWS * (D + 1);
    f32 *keys = own + 2 * ROWS * (D + 1), *values = keys + TILE * (D + 1);
    u32 heads = a.batch * a.heads, which = blockIdx.x % heads, mine = threadIdx.x / 32 * EACH * (D + 1);
    i32 first = blockIdx.x / heads * ROWS, i = first + threadIdx.x / 32 * EACH, lane = threadIdx.x % 32;
    Place p = place_of(a, which / a.heads, which % a.heads);
    load_rows<D, ROWS>(own, a, a.q, p.b, p.h, first, a.queries);
    load_rows<D, ROWS>(own_dout, a, a.dout, p.b, p.h, first, a.queries);
    f32 dq[EACH][D / 32] = {};
    i32 end = end_key(a, p, first + ROWS - 1);
#pragma unroll 1
    for (i32 j = first_key(a, first) / TILE * TILE; j < end; j += TILE) {
        __syncthreads();
        load_rows<D, TILE>(keys, a, a.k, p.b, p.kv, j, p.length);
        load_rows<D, TILE>(values, a, a.v, p.b, p.kv, j, p.length);
        __syncthreads();
        f32 s[EACH], dp[EACH];
        u32 seen[EACH];
        scores<D>(s, own + mine, keys, a.width);
        scores<D>(dp, own_dout + mine, values, a.width);
#pragma unroll
        for (int r = 0; r < EACH; r++) seen[r] = differentiate(a, p, i + r, j + lane, s[r], dp[r]);
        accumulate<D>(dq, dp, seen, keys);
    }
#pragma unroll
    for (int r = 0; r < EACH; r++)
        if (i + r < i32(a.queries)) store_row<D>(a, row_of<f32>(a.dq, p.b, i + r, p.h), dq[r], a.scale);
}

template <int D>
__device__ __forceinline__ void backward_keys(const AttentionArgs& a) {
    f32 *own = reinterpret_cast<f32*>(ptx::dynamic_shared()), *own_values = own + ROWS * (D + 1);
    f32 *q = own + 2 * ROWS * (D + 1), *dout = q + TILE * (D + 1);
    u32 kv_heads = a.heads / a.group, places = a.batch * kv_heads, which = blockIdx.x % places;
    u32 b = which / kv_heads, kv = which % kv_heads, mine = threadIdx.x / 32 * EACH * (D + 1);
    i32 first = blockIdx.x / places * ROWS, j = first + threadIdx.x / 32 * EACH, lane = threadIdx.x % 32;
    Place p = place_of(a, b, kv * a.group);
    load_rows<D, ROWS>(own, a, a.k, b, kv, first, p.length);
    load_rows<D, ROWS>(own_values, a, a.v, b, kv, first, p.length);
    f32 dk[EACH][D / 32] = {}, dv[EACH][D / 32] = {};
#pragma unroll 1
    for (u32 g = 0; g < a.group; g++) {
        p.h = kv * a.group + g;
#pragma unroll 1
        for (i32 i = 0; i < i32(a.queries); i += TILE) {
            if (!sees_any(a, p, i, TILE, first, ROWS)) continue;
            __syncthreads();
            load_rows<D, TILE>(q, a, a.q, b, p.h, i, a.queries);
            load_rows<D, TILE>(dout, a, a.dout, b, p.h, i, a.queries);
            __syncthreads();
            f32 s[EACH], dp[EACH];
            u32 seen[EACH];
            scores<D>(s, own + mine, q, a.width);
            scores<D>(dp, own_values + mine, dout, a.width);
#pragma unroll
            for (int r = 0; r < EACH; r++) seen[r] = differentiate(a, p, i + lane, j + r, s[r], dp[r]);
            accumulate<D>(dv, s, seen, dout);
            accumulate<D>(dk, dp, seen, q);
        }
    }
#pragma unroll
    for (int r = 0; r < EACH; r++) {
        if (j + r >= i32(a.keys)) continue;
        store_row<D>(a, row_of<f32>(a.dk, b, j + r, kv), dk[r], a.scale);
        store_row<D>(a, row_of<f32>(a.dv, b, j + r, kv), dv[r], 1.0f);
    }
}

// Two blocks per multiprocessor, which shared memory allows at D 128: without it the assembler aims at more, and spills.
#define BOUNDS THREADS, 2
#define WIDTH(D)                                                                                   \
    KERNEL(attention_fwd_d##D##_f32, BOUNDS, AttentionArgs) { forward<D>(a); }                     \
    KERNEL(attention_bwd_kv_d##D##_f32, BOUNDS, AttentionArgs) { backward_keys<D>(a); }            \
    KERNEL(attention_bwd_q_d##D##_f32, BOUNDS, AttentionArgs) { backward_queries<D>(a); }
WIDTH(64)
WIDTH(128)
WIDTH(256)
