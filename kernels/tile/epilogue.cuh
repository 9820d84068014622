// What happens to a product before it is stored, and the arguments that all matmul kernels share.
#pragma once
#include "tile/activation.cuh"
#include "tile/vector.cuh"

// The function after a product. TIMES multiplies the product by what lies at `slope`: the backward pass.
enum Activation : u32 { IDENTITY, GELU_TANH, GELU_EXACT, GELU_TANH_SLOPE, GELU_EXACT_SLOPE, RELU, SILU, TIMES };

// From a GELU to its slope.
enum { TO_SLOPE = GELU_TANH_SLOPE - GELU_TANH };

__device__ __forceinline__ f32 activate(u32 activation, f32 v, f32 x) {
    switch (activation) {
        case GELU_TANH: return gelu::tanh(x);
        case GELU_EXACT: return gelu::exact(x);
        case RELU: return x < 0.0f ? 0.0f : x;
        case SILU: return x * math::sigmoid(x);
        case GELU_TANH_SLOPE: return gelu::tanh_slope(x);
        case GELU_EXACT_SLOPE: return gelu::exact_slope(x);
        case TIMES: return v * x;
    }
    return v;
}

enum { BATCH_DIMS = 3 };

using Pair = Vector<f32, 2>;

// C (M, N) = f(A (M, K) · B (K, N) + bias) + residual + C, per index of the batch dims. bias and residual have one dtype, slope
// has that of C; slope and residual lie as C does; a null pointer leaves a step out. Strides are in elements.
struct MatmulArgs {
    u64 a, b, c;
    u64 bias;      // (N,)
    u64 slope;     // read by TIMES, else where f' of the product plus bias goes, for the GELUs
    u64 residual;  // added after the activation
    u64 partial;   // (splits, batch, M, N) f32 if splits > 1
    i64 a_row, a_col, b_row, b_col, c_row, c_batch;
    i64 a_batch[BATCH_DIMS], b_batch[BATCH_DIMS];
    u32 batch[BATCH_DIMS];  // innermost first
    u32 m, n, k;
    u32 splits, k_per_split;  // a multiple of every BK
    u32 activation;
    u32 flags;
};

// OUT_F32: C and slope are f32, else of the operands' dtype. BESIDE_F32: bias and residual are. C_ALIGNED: pairs of elements
// at even columns of all four can be accessed at once.
enum MatmulFlags : u32 { ACCUMULATE = 1, OUT_F32 = 2, A_ALIGNED = 4, B_ALIGNED = 8, C_ALIGNED = 16, BESIDE_F32 = 32 };

// Two neighbours at `at` of an array of f32, if `wide` is among the flags, or of T; the second only if it is `whole`.
template <class T>
__device__ __forceinline__ Pair load_pair(const MatmulArgs& a, u32 wide, u64 array, i64 at, bool whole) {
    bool vector = whole && a.flags & C_ALIGNED;
    if (a.flags & wide) {
        const f32* from = reinterpret_cast<const f32*>(array) + at;
        return vector ? load_vector<2>(from) : Pair{from[0], whole ? from[1] : 0.0f};
    }
    const T* from = reinterpret_cast<const T*>(array) + at;
    Vector<T, 2> x = vector ? load_vector<2>(from) : Vector<T, 2>{from[0], whole ? from[1] : narrow<T>(0.0f)};
    return {widen(x.at[0]), widen(x.at[1])};
}

template <class T>
__device__ __forceinline__ void store_pair(const MatmulArgs& a, u32 wide, u64 array, i64 at, Pair v, bool whole) {
    bool vector = whole && a.flags & C_ALIGNED;
    if (a.flags & wide) {
        f32* to = reinterpret_cast<f32*>(array) + at;
        if (vector) return store_vector(to, v);
        to[0] = v.at[0];
        if (whole) to[1] = v.at[1];
        return;
    }
    T* to = reinterpret_cast<T*>(array) + at;
    Vector<T, 2> x{narrow<T>(v.at[0]), narrow<T>(v.at[1])};
    if (vector) return store_vector(to, x);
    to[0] = x.at[0];
    if (whole) to[1] = x.at[1];
}

// Finishes two neighbours of the product at (row, col), and stores those in the matrix.
template <class T>
__device__ __forceinline__ void epilogue(const MatmulArgs& a, u32 batch, u32 row, u32 col, Pair v) {
    bool whole = col + 1 < a.n;
    i64 at = batch * a.c_batch + row * a.c_row + col;
    auto add = [&](u32 wide, u64 array, i64 at) {
        Pair x = load_pair<T>(a, wide, array, at, whole);
        v.at[0] += x.at[0];
        v.at[1] += x.at[1];
    };
    if (a.bias) add(BESIDE_F32, a.bias, col);
    bool keeps = a.slope && a.activation != TIMES;
    Pair x = a.activation == TIMES ? load_pair<T>(a, OUT_F32, a.slope, at, whole) : v, slope{};
    // First, if it is kept, f' of both, then f of both. Not unrolled: the functions are long, and each kernel has them inline.
#pragma unroll 1
    for (int turn = keeps ? 0 : a.activation == IDENTITY ? 4 : 2; turn < 4; turn++) {
        u32 f = turn < 2 ? a.activation + TO_SLOPE : a.activation;
        f32 y = activate(f, v.at[0], x.at[0]);
        slope.at[0] = slope.at[1];
        if (turn < 2) {
            slope.at[1] = y;
            y = v.at[0];
        }
        v = {v.at[1], y};
        x = {x.at[1], x.at[0]};
        if (turn == 1) store_pair<T>(a, OUT_F32, a.slope, at, slope, whole);
    }
    if (a.residual) add(BESIDE_F32, a.residual, at);
    if (a.flags & ACCUMULATE) add(OUT_F32, a.c, at);
    store_pair<T>(a, OUT_F32, a.c, at, v, whole);
}

// Where block `index` works: tiles run down groups of eight rows of tiles, so that blocks in flight share operands in L2.
struct TileAt {
    u32 row, col, batch, split;  // tiles
};

__device__ __forceinline__ TileAt locate_tile(const MatmulArgs& a, u32 index, u32 bm, u32 bn) {
    u32 rows = (a.m + bm - 1) / bm, cols = (a.n + bn - 1) / bn;
    u32 tile = index % (rows * cols), rest = index / (rows * cols);
    u32 group = tile / (8 * cols), height = min(rows - group * 8, 8u), inside = tile % (8 * cols);
    u32 batches = a.batch[0] * a.batch[1] * a.batch[2];
    return {group * 8 + inside % height, inside / height, rest % batches, rest / batches};
}

// The element offset of a batch index.
__device__ __forceinline__ i64 batch_offset(const MatmulArgs& a, u32 index, const i64 (&strides)[BATCH_DIMS]) {
    i64 offset = 0;
#pragma unroll
    for (int d = 0; d < BATCH_DIMS; d++) {
        offset += index % a.batch[d] * strides[d];
        index /= a.batch[d];
    }
    return offset;
}

// Where a pair of a part of K goes, to be summed by matmul_reduce.
__device__ __forceinline__ void store_partial(const MatmulArgs& a, const TileAt& at, u32 row, u32 col, Pair v) {
    u32 batches = a.batch[0] * a.batch[1] * a.batch[2];
    u64 line = (u64(at.split) * batches + at.batch) * a.m + row;
    f32* to = reinterpret_cast<f32*>(a.partial) + line * a.n + col;
    if (a.n % 2 == 0) return store_vector(to, v);
    to[0] = v.at[0];
    if (col + 1 < a.n) to[1] = v.at[1];
}

// Stores rows of f32 that lie in shared memory, PITCH apart: through the epilogue, or as they are if K is split.
template <int ROWS, int COLS, int PITCH, int THREADS, class T>
__device__ __forceinline__ void finish_rows(const MatmulArgs& a, const TileAt& at, const f32* rows, u32 row, u32 col) {
#pragma unroll 1
    for (int i = threadIdx.x; i < ROWS * COLS / 2; i += THREADS) {
        u32 r = i / (COLS / 2), c = i % (COLS / 2) * 2;
        if (row + r >= a.m || col + c >= a.n) continue;
        Pair v = load_vector<2>(rows + r * PITCH + c);
        if (a.splits > 1) {
            store_partial(a, at, row + r, col + c, v);
        } else {
            epilogue<T>(a, at.batch, row + r, col + c, v);
        }
    }
}

// The same where no more is done to C than to add a bias: there is so little to compute that a pair is read while the one
// before is stored, and each thread stays in its columns.
template <int ROWS, int COLS, int PITCH, int THREADS, class T>
__device__ __forceinline__ void finish_plain_rows(const MatmulArgs& a, const TileAt& at, const f32* rows, u32 row, u32 col) {
    constexpr i32 PAIRS = COLS / 2, STEP = THREADS / PAIRS;
    static_assert(THREADS % PAIRS == 0, "all pairs of some rows");
    i32 begin = threadIdx.x / PAIRS, end = min(i32(a.m) - i32(row), ROWS);
    u32 c = threadIdx.x % PAIRS * 2;
    rows += c;
    col += c;
    if (col >= a.n) return;
    bool whole = col + 1 < a.n;
    Pair bias = a.bias && a.splits == 1 ? load_pair<T>(a, BESIDE_F32, a.bias, col, whole) : Pair{};
    Pair next = begin < end ? load_vector<2>(rows + begin * PITCH) : Pair{};
#pragma unroll 1
    for (i32 r = begin; r < end; r += STEP) {
        Pair v = next;
        if (r + STEP < end) next = load_vector<2>(rows + (r + STEP) * PITCH);
        if (a.splits > 1) {
            store_partial(a, at, row + r, col, v);
            continue;
        }
        if (a.bias) v = {v.at[0] + bias.at[0], v.at[1] + bias.at[1]};
        store_pair<T>(a, OUT_F32, a.c, at.batch * a.c_batch + (row + r) * a.c_row + col, v, whole);
    }
}
