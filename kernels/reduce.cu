// Computes: along the last axis y = scale·Σ x; and along any axis the largest (or smallest) element and its place.
// Reads/Writes: x once; one number (or one and an i64) per row. Gapless.
// Plan: a group of threads per row of at most 32768; longer rows in such chunks, whose f32 sums are summed once more. An
//   extreme along another axis than the last: a thread per output, neighbours read neighbours.
// Traffic: one read of x: the roof is memory.
// Shared memory: 128 bytes static.
// Ordering: two barriers around each exchange of partial results.
// Numerics: sums in f32 in an order that depends on n alone; extremes are exact, the first of equals, the first NaN wins.
// Limits: extremes along the last axis: n < 2³¹.
// Source: own.
#include "tile/row.cuh"

enum { SUM_CHUNK = 32768 };

struct SumArgs {
    u64 y;     // (rows, chunks)
    u64 x;     // (rows, n)
    u64 rows;  // chunks of one row follow each other
    u64 n;
    u32 chunks;
    f32 scale;
};

struct ExtremeArgs {
    u64 y;       // 0: not wanted
    u64 places;  // i64; 0: not wanted
    u64 x;       // (outer, size, inner)
    u64 outer, size, inner;
    u32 smaller;
    u32 unused;
};

template <class X, class Y>
__device__ __forceinline__ void sum_rows(const SumArgs& a) {
    constexpr int PER = WIDTH<X>;
    u64 r = row_number();
    if (r >= a.rows * a.chunks) return;
    u64 row = r / a.chunks, first = r % a.chunks * SUM_CHUNK;
    u32 n = u32(min(a.n - first, u64(SUM_CHUNK)));
    RowPointer<X> x(a.x + (row * a.n + first) * sizeof(X), 0, n);
    bool whole = rows_are_aligned<X>(u32(a.n % WIDTH<X>), a.x) && n % PER == 0;
    f32 total = 0.0f;
    for (u32 at = threadIdx.x * PER; at < n; at += blockDim.x * PER) {
        f32 v[PER];
        x.load(whole, at, v);
#pragma unroll
        for (int k = 0; k < PER; k++) total += v[k];
    }
    total = sum(total);
    if (threadIdx.x == 0) reinterpret_cast<Y*>(a.y)[r] = narrow<Y>(total * a.scale);
}

// A value and where it stands.
struct Candidate {
    f32 value;
    i64 place;
};

// The better of two: NaN before numbers, then the larger, then the earlier.
__device__ __forceinline__ Candidate better(Candidate a, Candidate b) {
    bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    bool ties = a_nan == b_nan && (a_nan || a.value == b.value);
    bool wins = ties ? a.place < b.place : a_nan || (!b_nan && a.value > b.value);
    return wins ? a : b;
}

template <class T>
__device__ __forceinline__ void write(const ExtremeArgs& a, u64 to, Candidate best) {
    // The smaller ones are searched with their signs turned.
    f32 value = a.smaller ? -best.value : best.value;
    if (a.y) reinterpret_cast<T*>(a.y)[to] = narrow<T>(value);
    if (a.places) reinterpret_cast<i64*>(a.places)[to] = best.place;
}

template <class T>
__device__ __forceinline__ void extreme_of_rows(const ExtremeArgs& a) {
    constexpr int PER = WIDTH<T>;
    u64 r = row_number();
    if (r >= a.outer) return;
    f32 sign = a.smaller ? -1.0f : 1.0f;
    u32 n = u32(a.size);
    RowPointer<T> x(a.x, r, n);
    bool whole = rows_are_aligned<T>(n, a.x);
    Candidate best = {-math::infinity(), 0x7fffffffffffffffll};
    for (u32 at = threadIdx.x * PER; at < n; at += blockDim.x * PER) {
        f32 v[PER];
        x.load(whole, at, v);
#pragma unroll
        for (int k = 0; k < PER; k++) {
            if (at + k < n) best = better(best, {sign * v[k], i64(at + k)});
        }
    }
    // Value and place are exchanged together, by hand: a shuffle moves one word.
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
        Candidate other = {__shfl_xor_sync(0xffffffffu, best.value, step),
                           i64(__shfl_xor_sync(0xffffffffu, best.place, step))};
        best = better(best, other);
    }
    if (blockDim.x > 32) {
        __shared__ Candidate partial[ROW_THREADS / 32];
        if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = best;
        __syncthreads();
        for (u32 w = 0; w < blockDim.x / 32; w++) best = better(best, partial[w]);
    }
    if (threadIdx.x == 0) write<T>(a, r, best);
}

template <class T>
__device__ __forceinline__ void extreme_of_columns(const ExtremeArgs& a) {
    u64 to = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (to >= a.outer * a.inner) return;
    f32 sign = a.smaller ? -1.0f : 1.0f;
    const T* x = reinterpret_cast<const T*>(a.x) + to / a.inner * a.size * a.inner + to % a.inner;
    Candidate best = {-math::infinity(), 0x7fffffffffffffffll};
    for (u64 j = 0; j < a.size; j++) best = better(best, {sign * widen(x[j * a.inner]), i64(j)});
    write<T>(a, to, best);
}

#define ENTRIES(T) \
    KERNEL(sum_rows_##T, ROW_THREADS, SumArgs) { sum_rows<T, T>(a); } \
    KERNEL(sum_rows_partial_##T, ROW_THREADS, SumArgs) { sum_rows<T, f32>(a); } \
    KERNEL(sum_rows_total_##T, ROW_THREADS, SumArgs) { sum_rows<f32, T>(a); } \
    KERNEL(extreme_rows_##T, ROW_THREADS, ExtremeArgs) { extreme_of_rows<T>(a); } \
    KERNEL(extreme_columns_##T, ROW_THREADS, ExtremeArgs) { extreme_of_columns<T>(a); }
FLOATS(ENTRIES)
