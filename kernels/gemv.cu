// Computes: C (M, N) = f(A (M, K) · B (K, N) + bias) + residual + C for few rows: the products of decoding. nt reads B from
//   rows along K (a weight (N, K)), nn from rows along N (a weight (K, N)).
// Reads/Writes: B once per eight rows; A once per warp in nt, per block in nn, from the caches; bias, slope, residual and C
//   once.
// Plan: a block takes one row, or up to eight. nt: a warp has two columns of C; lanes take eight neighbours of K at a time
//   and are summed by exchanges. nn: a block has 16 columns, eight to a lane; its lanes take rows of B in turn and are
//   summed by exchanges, its warps through shared memory. Blocks are small, for a matrix of 768 x 768 is all there is to
//   read between two launches: with four loads a thread before the first is used, most of it is on its way at once.
// Traffic: K·N elements of B for 2·M·K·N flops: the roof is memory.
// Shared memory: nn: 8 warps · 16 columns · M · 4 bytes: 4 KiB at M 8.
// Ordering: nn: one barrier between the warps' sums and their total.
// Numerics: f32 sums; their order depends on K alone, so a row's bits do not depend on the other rows. They differ from
//   matmul's, which adds in another order.
// Limits: M ≤ 8 · 65535, one product (no batch), K < 2³¹. Any alignment; 16-byte rows are fastest.
// Source: own.
#include "tile/eight.cuh"
#include "tile/epilogue.cuh"

// Threads of a block in nt and in nn.
enum { NT_THREADS = 64, THREADS = 256, WARPS = 8 };
// Columns of a block in nn, and rows of B that it reads at once.
enum { COLUMNS = 16, RUNS = COLUMNS / 8, AT_ONCE = THREADS / RUNS };

// Loads that a thread has on their way; where rows of A take the registers, fewer.
template <int M>
constexpr int AHEAD = M == 1 ? 4 : 2;

// The rows of this block: M of them, from `first` on, of which `count` are there.
template <int M>
struct BlockRows {
    u32 first, count;

    __device__ __forceinline__ BlockRows(const MatmulArgs& a) : first(blockIdx.y * M), count(min(a.m - first, u32(M))) {}
};

// Lane m of a warp that holds the same sums in all lanes finishes row m.
template <class T, int M>
__device__ __forceinline__ void finish(const MatmulArgs& a, BlockRows<M> rows, u32 col, const f32 (&sum)[M][2]) {
    u32 row = threadIdx.x % 32;
    Pair v{};
#pragma unroll
    for (int m = 0; m < M; m++)
        if (m == row) v = {sum[m][0], sum[m][1]};
    if (row < rows.count && col < a.n) epilogue<T>(a, 0, rows.first + row, col, v);
}

template <class T, int M>
__device__ __forceinline__ void along_k(const MatmulArgs& a) {
    constexpr i32 TURN = 32 * 8;
    u32 lane = threadIdx.x % 32, col = (blockIdx.x * (NT_THREADS / 32) + threadIdx.x / 32) * 2;
    BlockRows<M> rows(a);
    const T *x = reinterpret_cast<const T*>(a.a) + rows.first * a.a_row, *w = reinterpret_cast<const T*>(a.b);
    f32 sum[M][2] = {};
    i32 k = lane * 8, end = a.k;
    if (a.flags & A_ALIGNED && a.flags & B_ALIGNED) {
#pragma unroll 1
        for (; k + 8 <= end; k += AHEAD<M> * TURN) {
            Eight<T> y[AHEAD<M>][2], left[AHEAD<M>];
#pragma unroll
            for (int t = 0; t < AHEAD<M>; t++) {
                i32 at = k + t * TURN;
#pragma unroll
                for (int n = 0; n < 2; n++)
                    y[t][n].load(w + (col + n) * a.b_col + at, at + 8 <= end && col + n < a.n);
                if (M == 1) left[t].load(x + at, at + 8 <= end);
            }
#pragma unroll
            for (int t = 0; t < AHEAD<M>; t++)
#pragma unroll
                for (int m = 0; m < M; m++) {
                    i32 at = k + t * TURN;
                    if (M > 1) left[t].load(x + m * a.a_row + at, m < rows.count && at + 8 <= end);
#pragma unroll
                    for (int i = 0; i < 8; i++)
#pragma unroll
                        for (int n = 0; n < 2; n++) sum[m][n] = fmaf(left[t].at(i), y[t][n].at(i), sum[m][n]);
                }
        }
        // What is left of K is a lane's, if its turn comes there.
        k = end / 8 % 32 == lane ? end / 8 * 8 : end;
    }
#pragma unroll 1
    for (; k < end; k += TURN) {
        f32 y[2][8];
#pragma unroll
        for (int n = 0; n < 2; n++) load_eight(y[n], w + (col + n) * a.b_col + k, col + n < a.n ? end - k : 0, false);
#pragma unroll
        for (int m = 0; m < M; m++) {
            f32 left[8];
            load_eight(left, x + m * a.a_row + k, m < rows.count ? end - k : 0, false);
#pragma unroll
            for (int i = 0; i < 8; i++)
#pragma unroll
                for (int n = 0; n < 2; n++) sum[m][n] = fmaf(left[i], y[n][i], sum[m][n]);
        }
    }
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int step = 16; step > 0; step /= 2) {
            sum[m][0] += __shfl_xor_sync(~0u, sum[m][0], step);
            sum[m][1] += __shfl_xor_sync(~0u, sum[m][1], step);
        }
    finish<T>(a, rows, col, sum);
}

template <class T, int M>
__device__ __forceinline__ void along_n(const MatmulArgs& a) {
    __shared__ Pair partial[WARPS][M][COLUMNS / 2];
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, col = blockIdx.x * COLUMNS + lane % RUNS * 8;
    BlockRows<M> rows(a);
    const T *x = reinterpret_cast<const T*>(a.a) + rows.first * a.a_row, *w = reinterpret_cast<const T*>(a.b) + col;
    i32 count = i32(a.n) - i32(col);
    f32 sum[M][8] = {};
    auto add = [&](u32 k, const f32(&y)[8]) {
#pragma unroll
        for (int m = 0; m < M; m++) {
            // Without branches, which would stand between the loads: what is read twice counts for nothing.
            f32 left = widen(x[min(m, rows.count - 1) * a.a_row + min(k, a.k - 1)]);
            left = k < a.k ? left : 0.0f;
#pragma unroll
            for (int i = 0; i < 8; i++) sum[m][i] = fmaf(left, y[i], sum[m][i]);
        }
    };
    u32 first = threadIdx.x / RUNS;
    if (a.flags & B_ALIGNED && count >= 8) {
#pragma unroll 1
        for (u32 k = first; k < a.k; k += AHEAD<M> * AT_ONCE) {
            Eight<T> y[AHEAD<M>];
#pragma unroll
            for (int t = 0; t < AHEAD<M>; t++)
                y[t].load(w + (k + t * AT_ONCE) * a.b_row, k + t * AT_ONCE < a.k);
#pragma unroll
            for (int t = 0; t < AHEAD<M>; t++) {
                f32 v[8];
#pragma unroll
                for (int i = 0; i < 8; i++) v[i] = y[t].at(i);
                add(k + t * AT_ONCE, v);
            }
        }
    } else {
#pragma unroll 1
        for (u32 k = first; k < a.k; k += AT_ONCE) {
            f32 y[8];
            load_eight(y, w + k * a.b_row, count, false);
            add(k, y);
        }
    }
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int step = RUNS; step < 32; step *= 2)
#pragma unroll
            for (int i = 0; i < 8; i++) sum[m][i] += __shfl_xor_sync(~0u, sum[m][i], step);
        if (lane < RUNS)
#pragma unroll
            for (int i = 0; i < 4; i++) partial[warp][m][lane * 4 + i] = {sum[m][2 * i], sum[m][2 * i + 1]};
    }
    __syncthreads();
#pragma unroll 1
    for (u32 i = threadIdx.x; i < rows.count * (COLUMNS / 2); i += THREADS) {
        u32 row = i / (COLUMNS / 2), pair = i % (COLUMNS / 2), to = blockIdx.x * COLUMNS + pair * 2;
        Pair total = partial[0][row][pair];
#pragma unroll
        for (int from = 1; from < WARPS; from++) {
            total.at[0] += partial[from][row][pair].at[0];
            total.at[1] += partial[from][row][pair].at[1];
        }
        if (to < a.n) epilogue<T>(a, 0, rows.first + row, to, total);
    }
}

// So many blocks at least, or the assembler saves registers and loads one after another.
#define NT_BOUNDS NT_THREADS, 10
#define NN_BOUNDS THREADS, 3
#define NN_ROWS_BOUNDS THREADS, 2
#define ENTRY(T)                                                                \
    KERNEL(gemv_nt_##T, NT_BOUNDS, MatmulArgs) { along_k<T, 1>(a); }            \
    KERNEL(gemv_nt_rows_##T, NT_THREADS, MatmulArgs) { along_k<T, 8>(a); }      \
    KERNEL(gemv_nn_##T, NN_BOUNDS, MatmulArgs) { along_n<T, 1>(a); }            \
    KERNEL(gemv_nn_rows_##T, NN_ROWS_BOUNDS, MatmulArgs) { along_n<T, 8>(a); }
FLOATS(ENTRY)
