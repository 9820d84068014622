// Computes: y[o, i] = scale·Σⱼ x[o, j, i]: sums along an axis that is not the last. The partial entries give the sums of
//   chunks of rows, and the total entries add the chunks up.
// Reads/Writes: x once; y, or f32 sums of at most 128 chunks, once. Gapless.
// Plan: tiles of 128 columns by chunks of rows, 8 warps a tile (`tile/columns.cuh`); few rows need one kernel, many two.
// Traffic: one read of x: the roof is memory.
// Shared memory: 4 KiB static, stored with 4-way bank conflicts (12 passes more than need be for each warp).
// Ordering: one barrier between the sums of the warps and their addition.
// Numerics: f32, in an order that depends on the shape alone. Nothing sums up to 0.
// Limits: inner < 2³¹.
// Source: own.
#include "tile/columns.cuh"

// The chunks of one output: f32 (outer, chunks, sums, inner) to T (sums, outer, inner).
struct TotalArgs {
    u64 y[2];  // one per sum
    u64 x;
    u64 inner, outer;
    u32 chunks, sums;
    f32 scale;
    u32 unused;
};

template <class T, bool DIRECT>
__device__ __forceinline__ void columns(const ColumnsArgs& a) {
    const T* x = reinterpret_cast<const T*>(a.x[0]);
    sum_columns<T, 1, 4>(
        a,
        [&](u64 row, u32 column, u32 count, f32(&total)[1][4]) {
            f32 v[4];
            load_columns(x + row * a.inner, column, count, v);
#pragma unroll
            for (int k = 0; k < 4; k++) total[0][k] += v[k];
        },
        DIRECT);
}

// A block is 8 warps and 32 columns; blockIdx.y counts the sums.
template <class T>
__device__ __forceinline__ void total(const TotalArgs& a) {
    __shared__ f32 part[COLUMN_WARPS][32];
    u32 tiles = u32((a.inner + 31) / 32), sum = blockIdx.y;
    u64 outer = blockIdx.x / tiles;
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    u64 column = u64(blockIdx.x % tiles) * 32 + lane;
    f32 v = 0.0f;
    if (column < a.inner) {
        const f32* x = reinterpret_cast<const f32*>(a.x) + sum * a.inner + column;
        for (u64 c = warp; c < a.chunks; c += COLUMN_WARPS) v += x[(outer * a.chunks + c) * a.sums * a.inner];
    }
    part[warp][lane] = v;
    __syncthreads();
    if (warp != 0 || column >= a.inner) return;
    v = 0.0f;
#pragma unroll
    for (int w = 0; w < COLUMN_WARPS; w++) v += part[w][lane];
    reinterpret_cast<T*>(a.y[sum])[outer * a.inner + column] = narrow<T>(v * a.scale);
}

// Without a number the assembler aims at eight blocks, and loads one row after another to save registers.
#define BOUNDS COLUMN_THREADS, 5
#define ENTRIES(T) \
    KERNEL(sum_columns_##T, BOUNDS, ColumnsArgs) { columns<T, true>(a); } \
    KERNEL(sum_columns_partial_##T, BOUNDS, ColumnsArgs) { columns<T, false>(a); } \
    KERNEL(sum_columns_total_##T, COLUMN_THREADS, TotalArgs) { total<T>(a); }
FLOATS(ENTRIES)
