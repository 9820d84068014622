// Computes: dq, dk, dv of out = softmax(q·kᵀ·scale + mask)·v in bf16 from dout and the logarithms lse of the rows' sums. With
//   p = e^(q·kᵀ·scale - lse), dp = dout·vᵀ and δ = Σ dout·out along a row: dv = pᵀ·dout, ds = p·(dp - δ)·scale, dq = ds·k,
//   dk = dsᵀ·q.
// Idea: none yet. The formulas one after another; that the probabilities come back from lse by one exponential, and that
//   δ = Σ dp·p is as well Σ dout·out, is all that is taken from flash attention.
// Reads/Writes: five rows for each score, p and ds written, and read for each element of dq, of dk and of dv.
// Plan: a thread per score, a thread per element of dq, a thread per element of dk and dv.
// Traffic: 10·T²·D bytes of rows a head, T² numbers of p and of ds of 4 bytes written, and again 18·T²·D bytes read.
// Shared memory: none.
// Ordering: kernels of a stream run one behind the other.
// Numerics: all in f32; the gradients are rounded once.
// Limits: any T and D.
// Source: Dao et al., FlashAttention, arXiv 2205.14135, appendix B.2.
#include "ladder/attention/args.cuh"

using Args = SelfAttentionGradientArgs;

// p and, behind all of them, ds: (B·H, T, T) each.
__device__ __forceinline__ f32* probabilities(const Args& a, u32 bh) {
    return reinterpret_cast<f32*>(a.room) + u64(bh) * a.time * a.time;
}
__device__ __forceinline__ f32* score_gradients(const Args& a, u32 bh) { return probabilities(a, a.batch * a.heads + bh); }

KERNEL(ladder_attention_bwd_scores_bf16, 256, SelfAttentionGradientArgs) {
    u32 j = blockIdx.x * 32 + threadIdx.x, i = blockIdx.y * 8 + threadIdx.y, bh = blockIdx.z;
    if (i >= a.time || j >= a.time) return;
    const bf16 *q = row(a, a.q, bh, i), *k = row(a, a.k, bh, j), *v = row(a, a.v, bh, j);
    const bf16 *dout = row(a, a.dout, bh, i), *out = row(a, a.out, bh, i);
    f32 score = 0.0f, dp = 0.0f, delta = 0.0f;
    for (u32 d = 0; d < a.width; d++) {
        f32 g = widen(dout[d]);
        score = fmaf(widen(q[d]), widen(k[d]), score);
        dp = fmaf(g, widen(v[d]), dp);
        delta = fmaf(g, widen(out[d]), delta);
    }
    f32 lse = reinterpret_cast<const f32*>(a.lse)[u64(bh) * a.time + i];
    f32 p = j < keys_of(a, i) ? expf(score * a.scale - lse) : 0.0f;
    u64 at = u64(i) * a.time + j;
    probabilities(a, bh)[at] = p;
    score_gradients(a, bh)[at] = p * (dp - delta) * a.scale;
}

KERNEL(ladder_attention_bwd_queries_bf16, 256, SelfAttentionGradientArgs) {
    u32 d = blockIdx.x * 32 + threadIdx.x, i = blockIdx.y * 8 + threadIdx.y, bh = blockIdx.z;
    if (i >= a.time || d >= a.width) return;
    const f32* ds = score_gradients(a, bh) + u64(i) * a.time;
    f32 dq = 0.0f;
    for (u32 j = 0; j < a.time; j++) dq = fmaf(ds[j], widen(row(a, a.k, bh, j)[d]), dq);
    head(a, a.dq, bh)[i * time_stride(a) + d] = narrow<bf16>(dq);
}

KERNEL(ladder_attention_bwd_keys_bf16, 256, SelfAttentionGradientArgs) {
    u32 d = blockIdx.x * 32 + threadIdx.x, j = blockIdx.y * 8 + threadIdx.y, bh = blockIdx.z;
    if (j >= a.time || d >= a.width) return;
    const f32 *p = probabilities(a, bh) + j, *ds = score_gradients(a, bh) + j;
    f32 dk = 0.0f, dv = 0.0f;
    for (u32 i = 0; i < a.time; i++) {
        u64 at = u64(i) * a.time;
        dk = fmaf(ds[at], widen(row(a, a.q, bh, i)[d]), dk);
        dv = fmaf(p[at], widen(row(a, a.dout, bh, i)[d]), dv);
    }
    u64 at = j * time_stride(a) + d;
    head(a, a.dk, bh)[at] = narrow<bf16>(dk);
    head(a, a.dv, bh)[at] = narrow<bf16>(dv);
}
