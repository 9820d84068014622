// Computes: y[o, index[j], i] += v[o, j, i], in the order of j for each element. The gradient of an embedding table is
//   this with outer = 1 and y = 0 before.
// Reads/Writes: each index some log² times while sorting, each element of v once, each element of y that has a sum.
// Plan: sort the keys index·2³² + j (bitonic, so that every step is fixed), then a thread per element of a run of equal
//   indices: the one at the head of a run adds up the whole run.
// Traffic: 1 element of v a place and 16 bytes a key and pass; a run of equal indices is walked by one thread a column.
// Shared memory: 16 KiB static while sorting.
// Ordering: keys are unique, so their order is one; a barrier closes every step of a sort within a block.
// Numerics: f32 sums in the order of j, rounded once at the end.
// Limits: fewer than 2³¹ indices, each below 2³¹. One out of range adds nothing, and its position goes to `bad`.
// Source: Batcher, Sorting networks and their applications, 1968.
#include "tile/index.cuh"
#include "tile/vector.cuh"

enum { SORT_THREADS = 1024, SORT_TILE = 2048, SUM_THREADS = 256 };

struct KeysArgs {
    u64 keys;  // u64, padded with the largest to a power of two
    u64 index;
    u64 bad;
    u64 places, padded, size;
    u32 kind, unused;
};

struct TileArgs {
    u64 keys;
    u64 first, last;  // of the bitonic network: runs of `first` keys, then of twice as many, up to `last`
};

struct StepArgs {
    u64 keys;
    u64 pairs;
    u64 block, step;  // runs of `block` keys, compared `step` apart
};

struct SumArgs {
    u64 y, v, keys;
    u64 outer, places, size, inner;
};

// Keys of indices out of range go last, beyond all others but the padding.
KERNEL(index_add_keys_u64, SUM_THREADS, KeysArgs) {
    u64 j = u64(blockIdx.x) * SUM_THREADS + threadIdx.x;
    if (j >= a.padded) return;
    u64 key = ~0ull;
    if (j < a.places) {
        i64 place = index_at(a.index, a.kind, j);
        bool fits = place >= 0 && u64(place) < a.size;
        if (!fits) report(a.bad, j);
        key = (fits ? u64(place) : 0xffffffffull) << 32 | j;
    }
    reinterpret_cast<u64*>(a.keys)[j] = key;
}

// Exchanges the two keys if they are not in the order of their run: runs of even number ascend.
__device__ __forceinline__ void exchange(u64& low, u64& high, bool ascending) {
    if ((low > high) == ascending) {
        u64 t = low;
        low = high;
        high = t;
    }
}

// Where the lower key of pair p stands if keys are compared `step` apart, a power of two.
__device__ __forceinline__ u64 lower_of(u64 p, u64 step) { return (p & ~(step - 1)) * 2 + (p & (step - 1)); }

// All steps below SORT_TILE, in shared memory.
KERNEL(index_add_sort_tile_u64, SORT_THREADS, TileArgs) {
    __shared__ u64 tile[SORT_TILE];
    u64* keys = reinterpret_cast<u64*>(a.keys) + u64(blockIdx.x) * SORT_TILE;
    u64 first = u64(blockIdx.x) * SORT_TILE;
    tile[threadIdx.x] = keys[threadIdx.x];
    tile[threadIdx.x + SORT_THREADS] = keys[threadIdx.x + SORT_THREADS];
    for (u64 block = a.first; block <= a.last; block *= 2) {
        for (u64 step = min(block, (u64)SORT_TILE) / 2; step > 0; step /= 2) {
            __syncthreads();
            u64 low = lower_of(threadIdx.x, step);
            exchange(tile[low], tile[low + step], ((first + low) & block) == 0);
        }
    }
    __syncthreads();
    keys[threadIdx.x] = tile[threadIdx.x];
    keys[threadIdx.x + SORT_THREADS] = tile[threadIdx.x + SORT_THREADS];
}

// One step of SORT_TILE or more.
KERNEL(index_add_sort_step_u64, SUM_THREADS, StepArgs) {
    u64 p = u64(blockIdx.x) * SUM_THREADS + threadIdx.x;
    if (p >= a.pairs) return;
    u64* keys = reinterpret_cast<u64*>(a.keys);
    u64 low = lower_of(p, a.step);
    exchange(keys[low], keys[low + a.step], (low & a.block) == 0);
}

template <class T>
__device__ __forceinline__ void index_add(const SumArgs& a) {
    u64 i = u64(blockIdx.x) * SUM_THREADS + threadIdx.x;
    if (i >= a.outer * a.places * a.inner) return;
    u64 column = i % a.inner, k = i / a.inner % a.places, outer = i / a.inner / a.places;
    const u64* keys = reinterpret_cast<const u64*>(a.keys);
    u64 place = keys[k] >> 32;
    bool is_head = k == 0 || keys[k - 1] >> 32 != place;
    if (!is_head || place >= a.size) return;
    T* to = reinterpret_cast<T*>(a.y) + (outer * a.size + place) * a.inner + column;
    const T* v = reinterpret_cast<const T*>(a.v) + outer * a.places * a.inner + column;
    f32 total = widen(*to);
    for (; k < a.places && keys[k] >> 32 == place; k++) total += widen(v[(keys[k] & 0xffffffffull) * a.inner]);
    *to = narrow<T>(total);
}

#define ENTRY(T) \
    KERNEL(index_add_fwd_##T, SUM_THREADS, SumArgs) { index_add<T>(a); }
FLOATS(ENTRY)
