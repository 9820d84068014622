// Computes: y[i] = x[i] at each place i of an index space, converted from the dtype of x to that of y.
// Reads/Writes: each element of x and of y once; x and y of any strides, no place of y twice.
// Plan: one thread per 16 bytes of the wider dtype if both are gapless, else one element per access.
// Traffic: elements·(size of x + size of y) bytes, no flops: the roof is memory.
// Shared memory: none.
// Ordering: no two threads touch one element.
// Numerics: one rounding to nearest even; float to integer truncates and saturates, NaN gives 0; bool is x ≠ 0.
// Limits: 8 dims; y may be x only if the dtypes have one size and the strides agree.
// Source: own.
#include "tile/space.cuh"

struct CopyArgs {
    u64 y, x;
    Space<2> space;  // y, x
};

// Copies without conversion: only the size of an element matters.
template <class T>
__device__ __forceinline__ void copy(const CopyArgs& a) {
    T* y = reinterpret_cast<T*>(a.y);
    const T* x = reinterpret_cast<const T*>(a.x);
    constexpr int PER = WIDTH<T>;
    for_places<PER>(
        a.space, [&](u64 i) { store_vector<PER>(y + i, load_vector<PER>(x + i)); },
        [&](u64, const i64(&at)[2]) { y[at[0]] = x[at[1]]; });
}

#define COPY(NAME, T) \
    KERNEL(NAME, MAP_THREADS, CopyArgs) { copy<T>(a); }
COPY(copy_fwd_b8, u8)
COPY(copy_fwd_b16, u16)
COPY(copy_fwd_b32, u32)
COPY(copy_fwd_b64, u64)
