// Computes: attention of one new query per batch row and head over a long cache: softmax(q·kᵀ·scale)·v, in two kernels.
// Reads/Writes: decode_split reads q, k and v and writes, per query and part of the cache, sums (D), maximum and total;
//   decode_merge reads those and writes out and, if asked for, lse.
// Plan: decode_split: one block of four warps per batch row, key head, group of G query heads and PART keys. A key is read
//   by D/8 lanes with eight elements each, once for all G heads; every such group of lanes keeps a running softmax over its
//   keys, and they are merged by shuffles and then through shared memory. decode_merge: one warp per query.
//   A part is small, so that one sequence fills a GPU: 12 heads of 1024 keys are 192 blocks. Keys and values of a thread's turn,
//   and four parts of a query, are on their way together.
// Traffic: 2·keys·D·2 bytes per key head, and 8 bytes a column for each part on the way to the merge and back: 3 % at G =
//   1, for 4·D·keys·G flops: the roof is memory.
// Shared memory: 4 warps · G · (D + 2) · 4 bytes: 16 KiB at D 256.
// Ordering: one barrier between the warps' sums and their merge; the second kernel is a later launch of the same stream.
// Numerics: f32. PART is fixed and parts are merged in order, so the bits of a row depend on its own keys alone: not on
//   the batch, the capacity of the cache or the GPU. They differ from attention_forward's, which adds in another order.
// Limits: one query per batch row (Tq = 1), D ≤ 256.
// Source: Dao et al., *Flash-Decoding for long-context inference*, 2023.
#include "tile/attention.cuh"
#include "tile/eight.cuh"

enum { THREADS = 128, WARPS = 4, PART = 64, AHEAD = 4 };

struct DecodeArgs {
    AttentionArgs attention;
    u64 partial;  // (B, H, parts, D + 2) f32
    u32 parts;
    u32 unused;
};

// A running softmax of one query, eight columns of its output per lane.
struct Running {
    f32 sums[8], max, total;
};

// The first key of those that the query sees.
__device__ __forceinline__ i32 begin_key(const AttentionArgs& a, const Place& p) {
    return a.flags & TRAILING ? max(p.length - i32(a.window), 0) : first_key(a, 0);
}

// Adds another part of the same row.
__device__ __forceinline__ void merge(Running& x, const f32 (&sums)[8], f32 max, f32 total) {
    f32 top = fmaxf(x.max, max), shift = top == -math::infinity() ? 0.0f : top;
    f32 mine = ptx::ex2(x.max - shift), other = ptx::ex2(max - shift);
    x.max = top;
    x.total = x.total * mine + total * other;
#pragma unroll
    for (int c = 0; c < 8; c++) x.sums[c] = x.sums[c] * mine + sums[c] * other;
}

// LANES per key: D is at most 8·LANES.
template <class T, int LANES, int G>
__device__ __forceinline__ void split(const DecodeArgs& d) {
    const AttentionArgs& a = d.attention;
    __shared__ f32 merged[WARPS][G][LANES * 8 + 2];
    constexpr u32 KEYS = WARPS * 32 / LANES;  // per turn
    u32 lane = threadIdx.x % LANES, which = blockIdx.x / d.parts;
    i32 part = blockIdx.x % d.parts;
    u32 groups = (a.group + G - 1) / G, kv_heads = a.heads / a.group;
    u32 kv = which / groups % kv_heads, head = kv * a.group + which % groups * G, b = which / groups / kv_heads;
    u32 heads = min(u32(G), (kv + 1) * a.group - head);
    Place p = place_of(a, b, head);
    i32 left = i32(a.width) - i32(lane * 8);
    i32 begin = begin_key(a, p), end = min(end_key(a, p, 0), (part + 1) * PART);
    // Every lane has eight columns or none, and can read them at once.
    bool is_whole = a.flags & ALIGNED && a.width % 8 == 0;
    f32 q[G][8];
    Running running[G];
#pragma unroll
    for (int g = 0; g < G; g++) {
        load_eight(q[g], row_of<T>(a.q, b, 0, head + g) + lane * 8, g < heads ? left : 0, a.flags & ALIGNED);
        running[g] = {{}, -math::infinity(), 0.0f};
    }
#pragma unroll 1
    for (i32 j = part * PART + threadIdx.x / LANES; j - i32(threadIdx.x / LANES) < end; j += KEYS * AHEAD) {
        f32 k[AHEAD][8], v[AHEAD][8];
        if (is_whole) {
            // All on their way before the first is used.
            Eight<T> keys[AHEAD], values[AHEAD];
#pragma unroll
            for (int n = 0; n < AHEAD; n++) {
                i32 key = j + n * KEYS;
                bool wanted = key >= begin && key < end && left > 0;
                keys[n].load(row_of<T>(a.k, b, key, kv) + lane * 8, wanted);
                values[n].load(row_of<T>(a.v, b, key, kv) + lane * 8, wanted);
            }
#pragma unroll
            for (int n = 0; n < AHEAD; n++)
#pragma unroll
                for (int c = 0; c < 8; c++) {
                    k[n][c] = keys[n].at(c);
                    v[n][c] = values[n].at(c);
                }
        } else {
#pragma unroll
            for (int n = 0; n < AHEAD; n++) {
                i32 key = j + n * KEYS, count = key >= begin && key < end ? left : 0;
                load_eight(k[n], row_of<T>(a.k, b, key, kv) + lane * 8, count, false);
                load_eight(v[n], row_of<T>(a.v, b, key, kv) + lane * 8, count, false);
            }
        }
#pragma unroll
        for (int n = 0; n < AHEAD; n++) {
            i32 key = j + n * KEYS;
            bool seen = key >= begin && key < end;
#pragma unroll
            for (int g = 0; g < G; g++) {
                f32 s = 0.0f;
#pragma unroll
                for (int c = 0; c < 8; c++) s = fmaf(q[g][c], k[n][c], s);
#pragma unroll
                for (int step = 1; step < LANES; step *= 2) s += __shfl_xor_sync(~0u, s, step);
                s = seen ? s * (a.scale * LOG2_E) : -math::infinity();
                // A running softmax of one key; where the score is -∞ its weight comes out as 0.
                merge(running[g], v[n], s, seen ? 1.0f : 0.0f);
            }
        }
    }
#pragma unroll
    for (int g = 0; g < G; g++) {
#pragma unroll
        for (int step = LANES; step < 32; step *= 2) {
            f32 sums[8], max = __shfl_xor_sync(~0u, running[g].max, step);
            f32 total = __shfl_xor_sync(~0u, running[g].total, step);
#pragma unroll
            for (int c = 0; c < 8; c++) sums[c] = __shfl_xor_sync(~0u, running[g].sums[c], step);
            merge(running[g], sums, max, total);
        }
        if (threadIdx.x % 32 < LANES) {
            f32* to = merged[threadIdx.x / 32][g];
#pragma unroll
            for (int c = 0; c < 8; c++) to[lane * 8 + c] = running[g].sums[c];
            if (lane == 0) {
                to[LANES * 8] = running[g].max;
                to[LANES * 8 + 1] = running[g].total;
            }
        }
    }
    __syncthreads();
#pragma unroll 1
    for (u32 i = threadIdx.x; i < heads * LANES; i += THREADS) {
        u32 g = i / LANES, c = i % LANES * 8;
        Running row{{}, -math::infinity(), 0.0f};
#pragma unroll
        for (int warp = 0; warp < WARPS; warp++) {
            const f32* from = merged[warp][g];
            f32 sums[8];
#pragma unroll
            for (int e = 0; e < 8; e++) sums[e] = from[c + e];
            merge(row, sums, from[LANES * 8], from[LANES * 8 + 1]);
        }
        f32* to = reinterpret_cast<f32*>(d.partial);
        to += ((u64(b) * a.heads + head + g) * d.parts + part) * (a.width + 2);
#pragma unroll
        for (int e = 0; e < 8; e++)
            if (c + e < a.width) to[c + e] = row.sums[e];
        if (c == 0) {
            to[a.width] = row.max;
            to[a.width + 1] = row.total;
        }
    }
}

template <class T>
__device__ __forceinline__ void merge_parts(const DecodeArgs& d) {
    const AttentionArgs& a = d.attention;
    u64 at = u64(blockIdx.x) * WARPS + threadIdx.x / 32;
    u32 c = threadIdx.x % 32 * 8;
    if (at >= u64(a.batch) * a.heads) return;
    Place p = place_of(a, at / a.heads, at % a.heads);
    i32 begin = begin_key(a, p), end = end_key(a, p, 0);
    const f32* from = reinterpret_cast<const f32*>(d.partial) + at * d.parts * (a.width + 2);
    Running row{{}, -math::infinity(), 0.0f};
#pragma unroll 1
    for (i32 first = begin / PART; first * PART < end; first += AHEAD) {
        // Several on their way together, or a long cache would wait for each.
        f32 sums[AHEAD][8], max[AHEAD], total[AHEAD];
#pragma unroll
        for (int n = 0; n < AHEAD; n++) {
            const f32* one = from + u64(first + n) * (a.width + 2);
            bool wanted = (first + n) * PART < end;
#pragma unroll
            for (int e = 0; e < 8; e++) sums[n][e] = ptx::load_f32(one + c + e, wanted && c + e < a.width);
            max[n] = ptx::load_f32(one + a.width, wanted);
            total[n] = ptx::load_f32(one + a.width + 1, wanted);
        }
#pragma unroll
        for (int n = 0; n < AHEAD; n++)
            if ((first + n) * PART < end) merge(row, sums[n], max[n], total[n]);
    }
    bool seen = begin < end;
    T* out = row_of<T>(a.out, p.b, 0, p.h);
    f32 factor = seen ? 1.0f / row.total : 0.0f;
#pragma unroll
    for (int e = 0; e < 8; e++)
        if (c + e < a.width) out[c + e] = narrow<T>(row.sums[e] * factor + 0.0f);
    if (a.lse && c == 0) {
        // Scores of -∞ alone: softmax is 0/0.
        f32 lse = row.total == 0.0f || row.max == -math::infinity() ? math::nan() : fmaf(row.max, LN_2, math::ln(row.total));
        reinterpret_cast<f32*>(a.lse)[at] = seen ? lse : -math::infinity();
    }
}

#define ENTRY(T)                                                                                    \
    KERNEL(decode_split_d64_##T, THREADS, DecodeArgs) { split<T, 8, 1>(a); }                        \
    KERNEL(decode_split_d128_##T, THREADS, DecodeArgs) { split<T, 16, 1>(a); }                      \
    KERNEL(decode_split_d256_##T, THREADS, DecodeArgs) { split<T, 32, 1>(a); }                      \
    KERNEL(decode_split_group_d64_##T, THREADS, DecodeArgs) { split<T, 8, 4>(a); }                  \
    KERNEL(decode_split_group_d128_##T, THREADS, DecodeArgs) { split<T, 16, 4>(a); }                \
    KERNEL(decode_split_group_d256_##T, THREADS, DecodeArgs) { split<T, 32, 4>(a); }                \
    KERNEL(decode_merge_##T, THREADS, DecodeArgs) { merge_parts<T>(a); }
FLOATS(ENTRY)
