// Computes: C (M, N) = f(A (M, K) · B (K, N) + bias) + residual + C for few rows: the products of decoding. nt reads B from
//   rows along K (a weight (N, K)), nn from rows along N (a weight (K, N)).
// Reads/Writes: B once per eight rows; A once per warp in nt, per block in nn, from the caches; bias, slope, residual and C
//   once.
// Plan: a block takes one row, or up to eight. nt: a warp has two columns of C; lanes take eight neighbours of K at a time and are summed by exchanges. nn: a
//   block has 64 columns, two per lane; its warps take rows of B in turn and are summed through shared memory.
// Traffic: K·N elements of B for 2·M·K·N flops: the roof is memory.
// Shared memory: nn: 8 warps · 64 columns · M · 4 bytes: 16 KiB at M 8.
// Ordering: nn: one barrier between the warps' sums and their total.
// Numerics: f32 sums; their order depends on K alone, so a row's bits do not depend on the other rows. They differ from
//   matmul's, which adds in another order.
// Limits: M ≤ 8 · 65535, one product (no batch), K < 2³¹. Any alignment; 16-byte rows are fastest.
// Source: own.
#include "tile/eight.cuh"
#include "tile/epilogue.cuh"

enum { THREADS = 256, WARPS = 8 };

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
    u32 lane = threadIdx.x % 32, col = (blockIdx.x * WARPS + threadIdx.x / 32) * 2;
    BlockRows<M> rows(a);
    const T *x = reinterpret_cast<const T*>(a.a) + rows.first * a.a_row, *w = reinterpret_cast<const T*>(a.b);
    f32 sum[M][2] = {};
#pragma unroll 2
    for (i32 k = lane * 8; k < i32(a.k); k += 32 * 8) {
        f32 y[2][8];
#pragma unroll
        for (int n = 0; n < 2; n++)
            load_eight(y[n], w + (col + n) * a.b_col + k, col + n < a.n ? a.k - k : 0, a.flags & B_ALIGNED);
#pragma unroll
        for (int m = 0; m < M; m++) {
            f32 left[8];
            load_eight(left, x + m * a.a_row + k, m < rows.count ? a.k - k : 0, a.flags & A_ALIGNED);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                sum[m][0] = fmaf(left[i], y[0][i], sum[m][0]);
                sum[m][1] = fmaf(left[i], y[1][i], sum[m][1]);
            }
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
    __shared__ Pair partial[WARPS][M][32];
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, col = blockIdx.x * 64 + lane * 2;
    BlockRows<M> rows(a);
    const T *x = reinterpret_cast<const T*>(a.a) + rows.first * a.a_row, *w = reinterpret_cast<const T*>(a.b) + col;
    f32 sum[M][2] = {};
    bool vector = a.flags & B_ALIGNED && col + 1 < a.n;
#pragma unroll 4
    for (u32 k = warp; k < a.k; k += WARPS) {
        const T* row = w + k * a.b_row;
        Vector<T, 2> y{};
        if (vector) {
            y = load_vector<2>(row);
        } else {
            if (col < a.n) y.at[0] = row[0];
            if (col + 1 < a.n) y.at[1] = row[1];
        }
        f32 first = widen(y.at[0]), second = widen(y.at[1]);
#pragma unroll
        for (int m = 0; m < M; m++) {
            f32 left = m < rows.count ? widen(x[m * a.a_row + k]) : 0.0f;
            sum[m][0] = fmaf(left, first, sum[m][0]);
            sum[m][1] = fmaf(left, second, sum[m][1]);
        }
    }
#pragma unroll
    for (int m = 0; m < M; m++) partial[warp][m][lane] = {sum[m][0], sum[m][1]};
    __syncthreads();
#pragma unroll 1
    for (u32 row = warp; row < rows.count; row += WARPS) {
        Pair total = partial[0][row][lane];
#pragma unroll
        for (int from = 1; from < WARPS; from++) {
            total.at[0] += partial[from][row][lane].at[0];
            total.at[1] += partial[from][row][lane].at[1];
        }
        if (col < a.n) epilogue<T>(a, 0, rows.first + row, col, total);
    }
}

#define ENTRY(T)                                                              \
    KERNEL(gemv_nt_##T, THREADS, MatmulArgs) { along_k<T, 1>(a); }            \
    KERNEL(gemv_nt_rows_##T, THREADS, MatmulArgs) { along_k<T, 8>(a); }       \
    KERNEL(gemv_nn_##T, THREADS, MatmulArgs) { along_n<T, 1>(a); }            \
    KERNEL(gemv_nn_rows_##T, THREADS, MatmulArgs) { along_n<T, 8>(a); }
FLOATS(ENTRY)
