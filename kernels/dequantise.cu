// Computes: y = the f32 numbers that quantised blocks of a GGUF file stand for: (q - offset)·scale, plus a minimum in some kinds.
// Reads/Writes: each block and each number of y once, but for bytes that units share: Q4_K and Q6_K read some twice or more.
// Plan: a thread per unit of 32 weights: eight stores of 16 bytes.
// Traffic: 4 bytes written and ½ to 1 read a weight: the roof is memory.
// Shared memory: none.
// Ordering: none needed.
// Numerics: a product and a sum, each rounded to f32: the bits of the host.
// Limits: y and the blocks start at multiples of 16 bytes.
// Source: the structs `block_q*` of ggml's `ggml-common.h`.
#include "tile/blocks.cuh"

enum { DEQUANTISE_THREADS = 256 };

struct DequantiseArgs {
    u64 y, x;
    u64 units;
};

template <class B>
__device__ __forceinline__ void dequantise(const DequantiseArgs& a) {
    u64 u = u64(blockIdx.x) * DEQUANTISE_THREADS + threadIdx.x;
    if (u >= a.units) return;
    B unit = blocks::unit<B>(reinterpret_cast<const u8*>(a.x), u);
    f32* y = reinterpret_cast<f32*>(a.y) + u * UNIT;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        f32 v[4];
        unit.four(i, v);
        store_vector<4>(y + 4 * i, {v[0], v[1], v[2], v[3]});
    }
}

#define ENTRY(NAME, KIND) \
    KERNEL(dequantise_fwd_##NAME, DEQUANTISE_THREADS, DequantiseArgs) { dequantise<KIND>(a); }
WHOLE_KINDS(ENTRY)
