// Sums down the columns of matrices (outer, size, inner), in chunks of rows whose bounds depend on the shape alone.
//
// A block is 8 warps; each lane owns 4 neighbouring columns, and the warps take the rows of the chunk in turn. The sums
// of the 8 warps are added in their order.
#pragma once
#include "tile/vector.cuh"

enum { COLUMN_WARPS = 8, COLUMN_THREADS = 256, COLUMN_TILE = 128 };

struct ColumnsArgs {
    u64 y;              // f32 (outer, chunks, sums, inner), or what the kernel says
    u64 x[2];           // (outer, size, inner), gapless; the second if there are two
    u64 statistics[2];  // f32 per row, if the kernel wants them
    u64 size;           // rows to sum
    u64 inner;          // columns
    u64 chunk;          // rows per chunk
    u32 tiles;          // of COLUMN_TILE columns
    f32 scale;          // of the result
};

// A count that says that 4 neighbours can be read at once.
enum { ALL_COLUMNS = 5 };

// Up to 4 neighbours; those past the row are 0. One access if the row's length and place allow it.
template <class T>
__device__ __forceinline__ void load_columns(const T* row, u32 column, u32 count, f32 (&v)[4]) {
    if (count == ALL_COLUMNS || (count == 4 && u64(row + column) % (4 * sizeof(T)) == 0)) {
        auto from = load_vector<4>(row + column);
#pragma unroll
        for (int k = 0; k < 4; k++) v[k] = widen(from.at[k]);
    } else {
#pragma unroll
        for (int k = 0; k < 4; k++) v[k] = k < count ? widen(row[column + k]) : 0.0f;
    }
}

// add(row, column, count, total) adds one row's part to the S sums of 4 columns; rows are counted over all matrices.
// The sums go to y as f32, or as T if this is the only chunk and `direct`. AHEAD: rows of a warp that are on their way together.
template <class T, int S, int AHEAD = 1, class F>
__device__ __forceinline__ void sum_columns(const ColumnsArgs& a, F add, bool direct = false) {
    __shared__ f32 part[COLUMN_WARPS][S][COLUMN_TILE];
    u64 outer = blockIdx.x / a.tiles;
    u32 tile = blockIdx.x % a.tiles * COLUMN_TILE;
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    u32 column = tile + lane * 4;
    u64 end = min(u64(blockIdx.y + 1) * a.chunk, a.size);
    f32 total[S][4] = {};
    if (column < a.inner) {
        u32 count = u32(min(a.inner - column, 4ull));
        u64 row = blockIdx.y * a.chunk + warp;
        if (AHEAD > 1 && count == 4 && a.inner % 4 == 0 && (a.x[0] | a.x[1]) % 16 == 0) {
#pragma unroll 1
            for (; row + (AHEAD - 1) * COLUMN_WARPS < end; row += AHEAD * COLUMN_WARPS)
#pragma unroll
                for (int r = 0; r < AHEAD; r++)
                    add(outer * a.size + row + r * COLUMN_WARPS, column, ALL_COLUMNS, total);
        }
#pragma unroll 1
        for (; row < end; row += COLUMN_WARPS) add(outer * a.size + row, column, count, total);
    }
#pragma unroll
    for (int s = 0; s < S; s++) {
#pragma unroll
        for (int k = 0; k < 4; k++) part[warp][s][lane * 4 + k] = total[s][k];
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < S * COLUMN_TILE; i += COLUMN_THREADS) {
        u32 s = i / COLUMN_TILE, own = i % COLUMN_TILE;
        if (tile + own >= a.inner) continue;
        f32 v = 0.0f;
#pragma unroll
        for (int w = 0; w < COLUMN_WARPS; w++) v += part[w][s][own];
        u64 to = ((outer * gridDim.y + blockIdx.y) * S + s) * a.inner + tile + own;
        if (direct) {
            reinterpret_cast<T*>(a.y)[to] = narrow<T>(v * a.scale);
        } else {
            reinterpret_cast<f32*>(a.y)[to] = v;
        }
    }
}
