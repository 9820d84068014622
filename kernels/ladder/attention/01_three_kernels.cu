// Computes: out = softmax(q·kᵀ·scale + mask)·v in bf16; q, k, v, out (B, T, H, D).
// Idea: none yet. The formula in three kernels: all scores, a softmax of their rows, their product with the values.
// Reads/Writes: q and k once for each score, the scores written, rewritten, and read for each element of out, v once for each
//   probability; out once.
// Plan: a thread per score, a warp per row, a thread per element of out.
// Traffic: 4·T²·D bytes of q and k, 6·T²·D of probabilities and v a head, and T² scores of 4 bytes written twice and read
//   three times between. Memory grows with T²: one head of 16384 tokens wants a GiB.
// Shared memory: 64 bytes of partial results, not used by single warps.
// Ordering: kernels of a stream run one behind the other.
// Numerics: scores and probabilities are f32 throughout.
// Limits: any T and D. What a query does not see has the probability e^-∞ = 0, and is computed all the same.
// Source: Vaswani et al., Attention is all you need, arXiv 1706.03762, §3.2.1.
#include "ladder/attention/args.cuh"
#include "tile/row.cuh"

// Scores of (batch row and head z, query y, key x), (B·H, T, T).
KERNEL(ladder_attention_scores_bf16, 256, SelfAttentionArgs) {
    u32 j = blockIdx.x * 32 + threadIdx.x, i = blockIdx.y * 8 + threadIdx.y, bh = blockIdx.z;
    if (i >= a.time || j >= a.time) return;
    const bf16* q = row(a, a.q, bh, i);
    const bf16* k = row(a, a.k, bh, j);
    f32 sum = 0.0f;
    for (u32 d = 0; d < a.width; d++) sum = fmaf(widen(q[d]), widen(k[d]), sum);
    f32* scores = reinterpret_cast<f32*>(a.room) + (u64(bh) * a.time + i) * a.time;
    scores[j] = j < keys_of(a, i) ? sum * a.scale : -math::infinity();
}

KERNEL(ladder_attention_probabilities_bf16, 256, SelfAttentionArgs) {
    u64 r = row_number();
    if (r >= u64(a.batch) * a.heads * a.time) return;
    f32* scores = reinterpret_cast<f32*>(a.room) + r * a.time;
    f32 max = -math::infinity(), total = 0.0f;
    for (u32 j = threadIdx.x; j < a.time; j += 32) max = larger(max, scores[j]);
    max = largest(max);
    for (u32 j = threadIdx.x; j < a.time; j += 32) total += expf(scores[j] - max);
    total = sum(total);
    for (u32 j = threadIdx.x; j < a.time; j += 32) scores[j] = expf(scores[j] - max) / total;
}

KERNEL(ladder_attention_values_bf16, 256, SelfAttentionArgs) {
    u32 d = blockIdx.x * 32 + threadIdx.x, i = blockIdx.y * 8 + threadIdx.y, bh = blockIdx.z;
    if (i >= a.time || d >= a.width) return;
    const f32* p = reinterpret_cast<const f32*>(a.room) + (u64(bh) * a.time + i) * a.time;
    const bf16* v = head(a, a.v, bh) + d;
    f32 sum = 0.0f;
    for (u32 j = 0; j < a.time; j++) sum = fmaf(p[j], widen(v[j * time_stride(a)]), sum);
    head(a, a.out, bh)[i * time_stride(a) + d] = narrow<bf16>(sum);
}
