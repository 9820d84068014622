// Computes: Y (M, N) = X (M, K) · Wᵀ in f32, W (N, K) in the quantised blocks of a GGUF file, which are read as they are.
// Reads/Writes: few rows: W once for each eight rows, X once per block of columns. tiles: W once per 64 rows, X once per 64
//   columns. Y once. Nothing else: no weight is written anywhere as a number.
// Plan: few rows: eight lanes have a column of Y (R columns, where M > 1); lane c takes units c, c + 8, … of 32 weights, makes
//   numbers of them in registers and multiplies them with rows of X, which lie in shared memory, a unit every 36 places so that
//   the eight lanes meet different banks. tiles: one block per 64x64 tile of Y; a unit of X and, made numbers on the way, of
//   W go through registers into shared memory, the next one while this one is multiplied; a thread holds 8x4 sums.
// Traffic: few rows: the bytes of W, 2·M flops a weight and about 4 instructions to make it a number: the roof is memory at
//   8 bits, and issue at 4. tiles: 16 flops per byte of X and W in shared memory, as matmul_f32; W comes in 0.6 to 1.1
//   bytes a weight.
// Shared memory: few rows: 128 units of X, 18 KiB. tiles: two slices, 17 KiB.
// Ordering: few rows: a barrier on each side of filling the stage. tiles: one after a slice is stored, one before the next.
// Numerics: per element eight chains of fused multiply-adds: chain c over units c, c + 8, … in order, weight by weight; then
//   chain 0 + 1 + … + 7. Both plans keep to it, so a row has the same bits alone, among eight, and among thousands.
// Limits: K a multiple of 32 (of 256 in kinds with such blocks), not 0; W and Y start at multiples of 16 bytes.
// Source: own; the tile as Volkov and Demmel, *Benchmarking GPUs to tune dense linear algebra*, SC 2008.
#include "tile/blocks.cuh"
#include "tile/outer_product.cuh"

enum { THREADS = 128, CHAINS = 8, GROUPS = THREADS / CHAINS, MOST_ROWS = 8 };
// Units of X in the stage, of all rows together, and places from one to the next.
enum { STAGED = 128, STAGE_PITCH = UNIT + 4 };

struct QuantisedMatmulArgs {
    u64 y, x, w;
    u32 m, n, units, unused;  // K = 32·units
};

// Row n of W; the last one stands in for rows past it, whose products nobody stores.
template <class B>
__device__ __forceinline__ const u8* weights(const QuantisedMatmulArgs& a, u32 n) {
    return reinterpret_cast<const u8*>(a.w) + u64(min(n, a.n - 1)) * (a.units / B::UNITS * B::BYTES);
}

template <class B, int M, int R>
__device__ __forceinline__ void few_rows(const QuantisedMatmulArgs& a) {
    constexpr u32 ROOM = STAGED / M;
    __shared__ __align__(16) f32 stage[STAGED * STAGE_PITCH];
    u32 chain = threadIdx.x % CHAINS, col = (blockIdx.x * GROUPS + threadIdx.x / CHAINS) * R, row = blockIdx.y * M;
    const f32* x = reinterpret_cast<const f32*>(a.x) + u64(row) * a.units * UNIT;
    const u8* w[R];
#pragma unroll
    for (int r = 0; r < R; r++) w[r] = weights<B>(a, col + r);
    f32 sum[M][R] = {};
#pragma unroll 1
    for (u32 first = 0; first < a.units; first += ROOM) {
        u32 count = min(a.units - first, ROOM);
        __syncthreads();
#pragma unroll 1
        for (u32 i = threadIdx.x; i < count * UNIT; i += THREADS)
#pragma unroll
            for (int m = 0; m < M; m++) {
                u64 at = (u64(m) * a.units + first) * UNIT + i;
                stage[(m * ROOM + i / UNIT) * STAGE_PITCH + i % UNIT] = row + m < a.m ? x[at] : 0.0f;
            }
        __syncthreads();
#pragma unroll 1
        for (u32 u = chain; u < count; u += CHAINS) {
            B unit[R];
#pragma unroll
            for (int r = 0; r < R; r++) unit[r] = blocks::unit<B>(w[r], first + u);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                f32 weight[R][4];
#pragma unroll
                for (int r = 0; r < R; r++) unit[r].four(i, weight[r]);
#pragma unroll
                for (int m = 0; m < M; m++) {
                    Vector<f32, 4> left = load_vector<4>(stage + (m * ROOM + u) * STAGE_PITCH + 4 * i);
#pragma unroll
                    for (int r = 0; r < R; r++)
#pragma unroll
                        for (int j = 0; j < 4; j++) sum[m][r] = fmaf(left.at[j], weight[r][j], sum[m][r]);
                }
            }
        }
    }
    // The chains in order; lane m of the group has row m.
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int r = 0; r < R; r++) {
            f32 total = 0.0f;
#pragma unroll
            for (int c = 0; c < CHAINS; c++) total += __shfl_sync(~0u, sum[m][r], c, CHAINS);
            bool stores = chain == m && row + m < a.m && col + r < a.n;
            if (stores) reinterpret_cast<f32*>(a.y)[u64(row + m) * a.n + col + r] = total;
        }
}

enum { BM = 64, BN = 64, PITCH = BN + 4, PER = BM * UNIT / THREADS };

// A unit along K of 64 rows of X and of W: in registers, then as (32, PITCH) each in shared memory.
template <class B>
struct Slice {
    f32 left[PER];
    B right;

    __device__ __forceinline__ void fetch(const QuantisedMatmulArgs& a, u32 row, const u8* w, u32 unit) {
        const f32* x = reinterpret_cast<const f32*>(a.x) + unit * UNIT + threadIdx.x % UNIT;
#pragma unroll
        for (int n = 0; n < PER; n++) {
            u32 r = row + n * (THREADS / UNIT) + threadIdx.x / UNIT;
            left[n] = r < a.m ? x[u64(r) * a.units * UNIT] : 0.0f;
        }
        right = blocks::unit<B>(w, unit);
    }

    // Numbers of half of the unit, from weight 4·FIRST on.
    template <int FIRST>
    __device__ __forceinline__ void store_half(f32* w_tile) const {
#pragma unroll
        for (int i = FIRST; i < FIRST + 4; i++) {
            f32 v[4];
            right.four(i, v);
#pragma unroll
            for (int j = 0; j < 4; j++) w_tile[(4 * i + j) * PITCH + threadIdx.x % BN] = v[j];
        }
    }

    __device__ __forceinline__ void store(f32* x_tile, f32* w_tile) const {
#pragma unroll
        for (int n = 0; n < PER; n++)
            x_tile[threadIdx.x % UNIT * PITCH + n * (THREADS / UNIT) + threadIdx.x / UNIT] = left[n];
        if (threadIdx.x < BN) {
            store_half<0>(w_tile);
        } else {
            store_half<4>(w_tile);
        }
    }
};

template <class B>
__device__ __forceinline__ void tiles(const QuantisedMatmulArgs& a) {
    __shared__ __align__(16) f32 memory[2 * UNIT * PITCH];
    f32 *x_tile = memory, *w_tile = memory + UNIT * PITCH;
    // Blocks in flight share rows of W.
    u32 down = (a.m + BM - 1) / BM, row = blockIdx.x % down * BM, col = blockIdx.x / down * BN;
    const u8* w = weights<B>(a, col + threadIdx.x % BN);
    u32 i = threadIdx.x / 16 * 8, j = threadIdx.x % 16 * 4;
    f32 sum[8][4] = {}, total[8][4] = {};
    Slice<B> slice;
    slice.fetch(a, row, w, 0);
    u32 chain = 0;
#pragma unroll 1
    for (u32 unit = 0;;) {
        slice.store(x_tile, w_tile);
        __syncthreads();
        unit += CHAINS;
        bool ends = unit >= a.units;
        if (ends) unit = ++chain;
        bool is_last = unit >= a.units || chain == CHAINS;
        if (!is_last) slice.fetch(a, row, w, unit);
#pragma unroll 1
        for (int k = 0; k < UNIT * PITCH; k += 8 * PITCH)
            add_outer_products<8, PITCH>(sum, x_tile + k + i, w_tile + k + j);
        if (ends) {
#pragma unroll
            for (int m = 0; m < 8; m++)
#pragma unroll
                for (int n = 0; n < 4; n++) {
                    total[m][n] += sum[m][n];
                    sum[m][n] = 0.0f;
                }
        }
        if (is_last) break;
        __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < 8; m++) {
        f32* y = reinterpret_cast<f32*>(a.y) + u64(row + i + m) * a.n + col + j;
        if (row + i + m >= a.m) break;
#pragma unroll
        for (int n = 0; n < 4; n++)
            if (col + j + n < a.n) y[n] = total[m][n];
    }
}

// Blocks per multiprocessor that are asked for: with more of them the assembler spills.
#define ROWS_BOUNDS THREADS, 4
#define TILE_BOUNDS THREADS, 3
#define ENTRY(NAME, KIND)                                                                                       \
    KERNEL(quantised_matmul_row_##NAME, THREADS, QuantisedMatmulArgs) { few_rows<KIND, 1, 1>(a); }              \
    KERNEL(quantised_matmul_rows_##NAME, ROWS_BOUNDS, QuantisedMatmulArgs) { few_rows<KIND, MOST_ROWS, 2>(a); }     \
    KERNEL(quantised_matmul_tiles_##NAME, TILE_BOUNDS, QuantisedMatmulArgs) { tiles<KIND>(a); }
ALL_KINDS(ENTRY)
