// Computes: out = softmax(q·kᵀ·scale + mask)·v in bf16; q, k, v, out (B, T, H, D).
// Idea: the three kernels become one. A query goes through the keys once, with the maximum and the sum of its row so far
//   (ladder/softmax/02_online.cu) and the sum of its values so far; when a larger score comes, both sums are scaled down. No
//   score is ever written, and none is computed for a key that the query does not see.
// Gain: the T x T memory goes, and with it its traffic: what makes long sequences possible. It costs instructions: two or three
//   times as many, since every score is an exchange between all lanes, and rescales the sums.
// Reads/Writes: q once, k and v once for each query that sees them; out once.
// Plan: a warp per query, four to a block. A lane has elements 2·l and 2·l + 1 of the head, of q and of the sum.
// Traffic: 4·T²·D bytes a head for all keys, half of that under a causal mask; 2·T·D written.
// Shared memory: none; lanes exchange registers.
// Ordering: shuffles are of whole warps.
// Numerics: scores, maximum and sums in f32; a rescaling for each key.
// Limits: D ≤ 64.
// Source: Rabe and Staats, Self-attention does not need O(n²) memory, arXiv 2112.05682; Milakov and Gimelshein, 1805.02867.
#include "ladder/attention/args.cuh"
#include "tile/softmax.cuh"

// Elements 2·lane and 2·lane + 1 of a row, 0 where the head is narrower.
__device__ __forceinline__ void load_pair(f32 (&v)[2], const bf16* row, u32 width) {
    u32 d = threadIdx.x * 2;
    v[0] = d < width ? widen(row[d]) : 0.0f;
    v[1] = d + 1 < width ? widen(row[d + 1]) : 0.0f;
}

KERNEL(ladder_attention_fused_bf16, 128, SelfAttentionArgs) {
    u32 i = blockIdx.x * 4 + threadIdx.y, bh = blockIdx.y;
    if (i >= a.time) return;
    const bf16 *keys = head(a, a.k, bh), *values = head(a, a.v, bh);
    f32 q[2], k[2], v[2], out[2] = {};
    load_pair(q, row(a, a.q, bh, i), a.width);
    f32 max = -math::infinity(), total = 0.0f;
    for (u32 j = 0; j < keys_of(a, i); j++) {
        load_pair(k, keys + j * time_stride(a), a.width);
        load_pair(v, values + j * time_stride(a), a.width);
        f32 score = sum(q[0] * k[0] + q[1] * k[1]) * a.scale, next = larger(max, score);
        if (next == -math::infinity()) continue;
        f32 factor = rescale(max, next), p = expf(score - next);
        total = total * factor + p;
        for (int e = 0; e < 2; e++) out[e] = out[e] * factor + p * v[e];
        max = next;
    }
    bf16* to = head(a, a.out, bh) + i * time_stride(a);
    for (u32 e = 0, d = threadIdx.x * 2; e < 2; e++) {
        if (d + e < a.width) to[d + e] = narrow<bf16>(out[e] / total);
    }
}
