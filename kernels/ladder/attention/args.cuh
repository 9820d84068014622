// What every rung is given: arrays (B, T, H, D) in bf16, gapless, and room for what it keeps between kernels.
#pragma once
#include "tile/math.cuh"

struct SelfAttentionArgs {
    u64 out, q, k, v, room;
    u32 batch, time, heads, width;
    f32 scale;   // of a score
    u32 causal;  // whether query i sees the keys up to i alone
};

// The gradients dq, dk, dv of q, k and v from that of out, `dout`; lse (B, H, T) f32 is what the forward pass kept.
struct SelfAttentionGradientArgs {
    u64 dq, dk, dv, dout, q, k, v, out, lse, room;
    u32 batch, time, heads, width;
    f32 scale;
    u32 causal;
};

// Elements from one time to the next.
template <class A>
__device__ __forceinline__ u64 time_stride(const A& a) { return u64(a.heads) * a.width; }

// Time 0 of batch row and head `bh` of an array.
template <class A>
__device__ __forceinline__ bf16* head(const A& a, u64 x, u32 bh) {
    return reinterpret_cast<bf16*>(x) + (u64(bh / a.heads) * a.time * a.heads + bh % a.heads) * a.width;
}

// Time t of it.
template <class A>
__device__ __forceinline__ const bf16* row(const A& a, u64 x, u32 bh, u32 t) { return head(a, x, bh) + t * time_stride(a); }

// How many keys query i sees.
template <class A>
__device__ __forceinline__ u32 keys_of(const A& a, u32 i) { return a.causal ? i + 1 : a.time; }
