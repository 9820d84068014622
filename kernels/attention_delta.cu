// Computes: delta (B, H, Tq) = Σ dout·out over D, which the backward pass of attention subtracts from dp.
// Reads/Writes: dout and out (B, Tq, H, D) once, delta once.
// Plan: one warp per row; lanes take every 32nd element, then five exchanges.
// Traffic: 4·D bytes and 4 per row in 16-bit floats: the roof is memory.
// Shared memory: none.
// Ordering: no two warps touch one element.
// Numerics: f32; the order of the sum depends on D alone.
// Limits: none.
// Source: Dao, *FlashAttention-2*, arXiv 2307.08691, §3.1.2.
#include "tile/attention.cuh"

enum { THREADS = 128 };

template <class T>
__device__ __forceinline__ void delta(const AttentionArgs& a) {
    u64 at = u64(blockIdx.x) * (THREADS / 32) + threadIdx.x / 32;
    if (at >= u64(a.batch) * a.heads * a.queries) return;
    u32 i = at % a.queries, h = at / a.queries % a.heads, b = at / a.queries / a.heads;
    const T *out = row_of<T>(a.out, b, i, h), *dout = row_of<T>(a.dout, b, i, h);
    f32 sum = 0.0f;
    for (u32 c = threadIdx.x % 32; c < a.width; c += 32) sum = fmaf(widen(dout[c]), widen(out[c]), sum);
#pragma unroll
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
    if (threadIdx.x % 32 == 0) reinterpret_cast<f32*>(a.delta)[at] = sum;
}

#define ENTRY(T) \
    KERNEL(attention_delta_##T, THREADS, AttentionArgs) { delta<T>(a); }
FLOATS(ENTRY)
