// Computes: index_select y[o, j, i] = x[o, index[j], i]; gather y[o, j, i] = x[o, index[o, j, i], i];
//   scatter_add y[o, index[o, j, i], i] += v[o, j, i], in the order of j; index_copy y[o, index[j], i] = v[o, j, i], where
//   the last of equal indices stays. Embedding is index_select with outer = 1.
//   check: nothing but the report of indices out of range.
// Reads/Writes: each index, each chosen element and each element of y once. Gapless.
// Plan: index_select and index_copy move 16 bytes a thread if rows allow it; gather has a thread per element of y;
//   scatter_add and index_copy have a thread per (o, i), which walks along j: no two threads meet in one element.
// Traffic: 2 elements and an index a place: the roof is memory.
// Shared memory: none.
// Ordering: scatter_add and index_copy change y, which the host has filled; y must not overlap v.
// Numerics: moves are exact; scatter_add sums in f32 and rounds after every term if y is of 16 bits.
// Limits: an index out of range moves nothing (y gets 0), and its position goes to `bad`.
// Source: own.
#include "tile/index.cuh"
#include "tile/vector.cuh"

enum { INDEX_THREADS = 256 };

struct SelectArgs {
    u64 y, x, index;
    u64 bad;
    u64 outer, places, size, inner;  // y (outer, places, inner), x (outer, size, inner)
    u32 kind, unused;
};

// Reports indices that are not below `size`, and does nothing else.
KERNEL(index_check_u64, INDEX_THREADS, SelectArgs) {
    u64 i = u64(blockIdx.x) * INDEX_THREADS + threadIdx.x;
    if (i >= a.places) return;
    i64 place = index_at(a.index, a.kind, i);
    if (place < 0 || u64(place) >= a.size) report(a.bad, i);
}

// T is what moves at once: inner counts those.
template <class T>
__device__ __forceinline__ void index_select(const SelectArgs& a) {
    u64 i = u64(blockIdx.x) * INDEX_THREADS + threadIdx.x;
    if (i >= a.outer * a.places * a.inner) return;
    u64 row = i / a.inner, column = i % a.inner, outer = row / a.places, j = row % a.places;
    i64 place = index_at(a.index, a.kind, j);
    T v = {};
    if (place >= 0 && u64(place) < a.size) {
        v = reinterpret_cast<const T*>(a.x)[(outer * a.size + place) * a.inner + column];
    } else if (column == 0) {
        report(a.bad, j);
    }
    reinterpret_cast<T*>(a.y)[i] = v;
}

template <class T>
__device__ __forceinline__ void gather(const SelectArgs& a) {
    u64 i = u64(blockIdx.x) * INDEX_THREADS + threadIdx.x;
    if (i >= a.outer * a.places * a.inner) return;
    u64 column = i % a.inner, outer = i / a.inner / a.places;
    i64 place = index_at(a.index, a.kind, i);
    T v = {};
    if (place >= 0 && u64(place) < a.size) {
        v = reinterpret_cast<const T*>(a.x)[(outer * a.size + place) * a.inner + column];
    } else {
        report(a.bad, i);
    }
    reinterpret_cast<T*>(a.y)[i] = v;
}

// x is v (outer, places, inner), y is (outer, size, inner).
template <class T>
__device__ __forceinline__ void scatter_add(const SelectArgs& a) {
    u64 i = u64(blockIdx.x) * INDEX_THREADS + threadIdx.x;
    if (i >= a.outer * a.inner) return;
    u64 outer = i / a.inner, column = i % a.inner;
    for (u64 j = 0; j < a.places; j++) {
        u64 from = (outer * a.places + j) * a.inner + column;
        i64 place = index_at(a.index, a.kind, from);
        if (place < 0 || u64(place) >= a.size) {
            report(a.bad, from);
            continue;
        }
        T* to = reinterpret_cast<T*>(a.y) + (outer * a.size + place) * a.inner + column;
        *to = narrow<T>(widen(*to) + widen(reinterpret_cast<const T*>(a.x)[from]));
    }
}

// x is v (outer, places, inner), y is (outer, size, inner). T is what moves at once: inner counts those.
template <class T>
__device__ __forceinline__ void index_copy(const SelectArgs& a) {
    u64 i = u64(blockIdx.x) * INDEX_THREADS + threadIdx.x;
    if (i >= a.outer * a.inner) return;
    u64 outer = i / a.inner, column = i % a.inner;
    for (u64 j = 0; j < a.places; j++) {
        i64 place = index_at(a.index, a.kind, j);
        if (place >= 0 && u64(place) < a.size) {
            T v = reinterpret_cast<const T*>(a.x)[(outer * a.places + j) * a.inner + column];
            reinterpret_cast<T*>(a.y)[(outer * a.size + place) * a.inner + column] = v;
        } else if (i == 0) {
            report(a.bad, j);
        }
    }
}

#define MOVES(NAME, T)                                                                   \
    KERNEL(index_select_fwd_##NAME, INDEX_THREADS, SelectArgs) { index_select<T>(a); }   \
    KERNEL(index_copy_fwd_##NAME, INDEX_THREADS, SelectArgs) { index_copy<T>(a); }
#define GATHER(NAME, T) \
    KERNEL(gather_fwd_##NAME, INDEX_THREADS, SelectArgs) { gather<T>(a); }
MOVES(b8, u8) MOVES(b16, u16) MOVES(b32, u32) MOVES(b64, u64) MOVES(b128, uint4)
GATHER(b8, u8) GATHER(b16, u16) GATHER(b32, u32) GATHER(b64, u64)
#define SCATTER(T) \
    KERNEL(scatter_add_fwd_##T, INDEX_THREADS, SelectArgs) { scatter_add<T>(a); }
FLOATS(SCATTER)
