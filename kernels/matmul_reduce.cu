// Computes: C = f(Σ partial products + bias) + residual + C, the second half of a matmul whose K was split.
// Reads/Writes: partial (splits, batch, M, N) f32, bias, pre and residual once; C and pre once.
// Plan: one thread per two neighbours of a row of C.
// Traffic: 4·splits·M·N bytes and C: the roof is memory.
// Shared memory: none.
// Ordering: no two threads touch one element; the product is an earlier launch of the same stream.
// Numerics: partial products are added in the order of K, in f32, before the epilogue rounds once.
// Limits: M, N < 2³¹.
// Source: own.
#include "tile/epilogue.cuh"

enum { THREADS = 256 };

template <class T>
__device__ __forceinline__ void reduce(const MatmulArgs& a) {
    u64 i = u64(blockIdx.x) * THREADS + threadIdx.x;
    u32 pairs = (a.n + 1) / 2, batches = a.batch[0] * a.batch[1] * a.batch[2];
    u64 lines = u64(batches) * a.m, line = i / pairs;
    if (line >= lines) return;
    u32 col = u32(i % pairs) * 2;
    bool whole = col + 1 < a.n;
    const f32* from = reinterpret_cast<const f32*>(a.partial) + line * a.n + col;
    Pair sum{from[0], whole ? from[1] : 0.0f};
    for (u32 split = 1; split < a.splits; split++) {
        from += lines * a.n;
        sum.at[0] += from[0];
        if (whole) sum.at[1] += from[1];
    }
    epilogue<T>(a, u32(line / a.m), u32(line % a.m), col, sum);
}

#define REDUCE(T) \
    KERNEL(matmul_reduce_##T, THREADS, MatmulArgs) { reduce<T>(a); }
FLOATS(REDUCE)
