// What all attention kernels share: arguments, which keys a query sees, and tiles of scores in registers.
#pragma once
#include "ptx/exponential.cuh"
#include "ptx/mma.cuh"
#include "ptx/philox.cuh"
#include "tile/math.cuh"
#include "tile/swizzle.cuh"
#include "tile/vector.cuh"

// An array (B, T, H, D): strides in elements, those of D are 1.
struct Heads {
    u64 pointer;
    i64 batch, time, head;
};

// q, out, dout, dq: (B, Tq, H, D). k, v, dk, dv: (B, Tk, H/group, D). lse and delta: (B, H, Tq), gapless.
struct AttentionArgs {
    Heads q, k, v, out, dout, dq, dk, dv;
    u64 lse, delta;
    u64 lengths;  // (B,) i64: how many keys each batch row has; null for all
    u64 seed, stream;
    u64 advance;  // one u64: so many rounds of 2³² streams later; 0: none
    u32 batch, queries, keys, heads, group, width;
    i32 offset;     // a causal query i sees keys j ≤ i + offset
    u32 window;     // and of those the last so many; 0 for all. TRAILING: the last so many that count
    f32 scale;      // of a score
    f32 drop, keep;  // drop: the share of probabilities that become 0; keep: 1/(1 - drop)
    u32 flags;
};

// ALIGNED: every run of D elements of every array can be accessed 16 bytes at a time. TRAILING: for one query, in decode.cu
//   alone.
enum AttentionFlags : u32 { CAUSAL = 1, ALIGNED = 2, TRAILING = 4 };

#define LOG2_E 1.4426950408889634f
#define LN_2 0.6931471805599453f

template <class T>
__device__ __forceinline__ T* row_of(const Heads& x, u32 b, u32 t, u32 h) {
    return reinterpret_cast<T*>(x.pointer) + (b * x.batch + t * x.time + h * x.head);
}

template <class T>
__device__ __forceinline__ Stored<T> rows_of(const AttentionArgs& a, const Heads& x, u32 b, u32 h, i32 rows) {
    return {row_of<T>(x, b, 0, h), x.time, rows, i32(a.width), bool(a.flags & ALIGNED)};
}

// One batch row and head, and how many keys there are.
struct Place {
    u32 b, h, kv;
    i32 length;
    u64 stream;  // of the random numbers
};

__device__ __forceinline__ Place place_of(const AttentionArgs& a, u32 b, u32 h) {
    i64 length = a.lengths ? reinterpret_cast<const i64*>(a.lengths)[b] : i64(a.keys);
    u64 stream = a.stream + philox::rounds(a.advance);
    return {b, h, h / a.group, i32(min(max(length, i64(0)), i64(a.keys))), stream};
}

// The first key that query i sees, and the one after the last. Neither falls as i grows.
__device__ __forceinline__ i32 first_key(const AttentionArgs& a, i32 i) {
    if (a.window == 0) return 0;
    return max(min(i + 1 + a.offset, i32(a.keys)) - i32(a.window), 0);
}

__device__ __forceinline__ i32 end_key(const AttentionArgs& a, const Place& p, i32 i) {
    return a.flags & CAUSAL ? min(max(i + 1 + a.offset, 0), p.length) : p.length;
}

__device__ __forceinline__ bool sees(const AttentionArgs& a, const Place& p, i32 i, i32 j) {
    return j >= first_key(a, i) && j < end_key(a, p, i);
}

// Whether every query of i.. sees every key of j..
__device__ __forceinline__ bool sees_all(const AttentionArgs& a, const Place& p, i32 i, i32 rows, i32 j, i32 cols) {
    return j >= first_key(a, i + rows - 1) && j + cols <= end_key(a, p, i);
}

// Whether some query of i.. sees some key of j..
__device__ __forceinline__ bool sees_any(const AttentionArgs& a, const Place& p, i32 i, i32 rows, i32 j, i32 cols) {
    return j < end_key(a, p, i + rows - 1) && j + cols > first_key(a, i);
}

// What the probability of key j for query i is multiplied by: 0 or `keep`.
__device__ __forceinline__ bool is_kept(const AttentionArgs& a, const Place& p, i32 i, i32 j) {
    u64 index = ((u64(p.b) * a.heads + p.h) * a.queries + i) * a.keys + j;
    philox::Block random = philox::block(a.seed, p.stream, index / 4);
    u32 word = index % 4;
    u32 bits = word == 0 ? random.word[0] : word == 1 ? random.word[1] : word == 2 ? random.word[2] : random.word[3];
    return philox::unit(bits) >= a.drop;
}

// The lane's elements of a warp's product of 16 rows and 8·N columns: element e of column block n, as mma lays them out.
__device__ __forceinline__ u32 lane_row(u32 e) { return threadIdx.x % 32 / 4 + e / 2 * 8; }
__device__ __forceinline__ u32 lane_col(u32 n, u32 e) { return n * 8 + threadIdx.x % 4 * 2 + e % 2; }

// f(m, n, e) for every element of a lane: of M blocks of 16 rows and N of 8 columns.
template <int M, int N, class F>
__device__ __forceinline__ void each_element(F f) {
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) f(m, n, e);
}

// Bit 4n + e: whether the lane's element is kept. TRANSPOSED: rows are keys. One draw per turn, and not unrolled, since
// ten rounds of Philox are long.
template <int N, bool TRANSPOSED>
__device__ __forceinline__ u64 kept_bits(const AttentionArgs& a, const Place& p, i32 row, i32 col) {
    u64 bits = 0;
#pragma unroll 1
    for (int i = 0; i < N * 4; i++) {
        i32 r = row + lane_row(i % 4), c = col + lane_col(i / 4, i % 4);
        bits |= u64(is_kept(a, p, TRANSPOSED ? c : r, TRANSPOSED ? r : c)) << i;
    }
    return bits;
}

// acc (16·M, 8·N) += X·Yᵀ: rows of tile x, from the first that `left` reads, with rows of tile y, both with COLS columns,
// summed over those. What is read of y serves all M blocks.
template <class T, int COLS, int M, int N>
__device__ __forceinline__ void multiply_rows(f32 (&acc)[M][N][4], u32 x, const Fragments<COLS, true, false>& left, u32 y,
                                              const Fragments<COLS, true, true>& right) {
#pragma unroll
    for (int k = 0; k < COLS / 16; k++) {
        u32 l[M][4];
#pragma unroll
        for (int m = 0; m < M; m++) left.load(l[m], x, m, k);
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            u32 r[4];
            right.load(r, y, n / 2, k);
#pragma unroll
            for (int m = 0; m < M; m++) {
                ptx::mma_16816<T>(acc[m][n], l[m], r[0], r[1]);
                ptx::mma_16816<T>(acc[m][n + 1], l[m], r[2], r[3]);
            }
        }
    }
}

// The same for 16 rows: those of x from i on, those of y from j on.
template <class T, int COLS, int N>
__device__ __forceinline__ void multiply_rows(f32 (&acc)[N][4], u32 x, u32 i, u32 y, u32 j) {
    multiply_rows<T, COLS>(reinterpret_cast<f32(&)[1][N][4]>(acc), x, Fragments<COLS, true, false>(i, 0), y,
                           Fragments<COLS, true, true>(j, 0));
}

// Two f32 as a pair of T in one register.
template <class T>
__device__ __forceinline__ u32 packed(f32 low, f32 high);
template <>
__device__ __forceinline__ u32 packed<bf16>(f32 low, f32 high) { return ptx::bf16x2_from_f32(low, high); }
template <>
__device__ __forceinline__ u32 packed<f16>(f32 low, f32 high) { return ptx::f16x2_from_f32(low, high); }

// acc (16·M, 8·N) += P·Y: P (16·M, 8·K) from registers, where a product left it, rounded to T; Y the tile of 8·K rows of
// COLS columns, of which those count that `right` reads.
template <class T, int COLS, int M, int K, int N>
__device__ __forceinline__ void multiply_held(f32 (&acc)[M][N][4], const f32 (&p)[M][K][4], u32 y,
                                              const Fragments<COLS, false, true>& right) {
#pragma unroll
    for (int k = 0; k < K; k += 2) {
        u32 l[M][4];
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) l[m][i] = packed<T>(p[m][k + i / 2][i % 2 * 2], p[m][k + i / 2][i % 2 * 2 + 1]);
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            u32 r[4];
            right.load(r, y, n / 2, k / 2);
#pragma unroll
            for (int m = 0; m < M; m++) {
                ptx::mma_16816<T>(acc[m][n], l[m], r[0], r[1]);
                ptx::mma_16816<T>(acc[m][n + 1], l[m], r[2], r[3]);
            }
        }
    }
}

// The same for 16 rows, and columns from `first` on.
template <class T, int COLS, int K, int N>
__device__ __forceinline__ void multiply_held(f32 (&acc)[N][4], const f32 (&p)[K][4], u32 y, u32 first) {
    multiply_held<T, COLS>(reinterpret_cast<f32(&)[1][N][4]>(acc), reinterpret_cast<const f32(&)[1][K][4]>(p), y,
                           Fragments<COLS, false, true>(first, 0));
}

// Stores the lane's elements of columns first.. of row r of a product (e = 0 or 2 chooses the half), times `factor`.
template <class T, int N>
__device__ __forceinline__ void store_lane_row(const AttentionArgs& a, T* row, const f32 (&acc)[N][4], int e, u32 first,
                                               f32 factor) {
#pragma unroll
    for (int n = 0; n < N; n++) {
        u32 c = first + lane_col(n, 0);
        // + 0 makes every zero positive.
        Vector<T, 2> x{narrow<T>(acc[n][e] * factor + 0.0f), narrow<T>(acc[n][e + 1] * factor + 0.0f)};
        if (a.flags & ALIGNED && c + 1 < a.width) {
            store_vector(row + c, x);
        } else {
            if (c < a.width) row[c] = x.at[0];
            if (c + 1 < a.width) row[c + 1] = x.at[1];
        }
    }
}
