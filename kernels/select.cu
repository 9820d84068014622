// Computes: y = mask ? p : q at each place, and in the fill entries y = mask ? one value : q.
// Reads/Writes: each element of y once; a byte of the mask, p and q at each place, of any strides.
// Plan: one thread per 16 bytes of gapless operands, else one per element.
// Traffic: 1 byte and 3 elements a place (2 when filling), no flops: the roof is memory.
// Shared memory: none.
// Ordering: no two threads touch one element of y; y may be p or q if it lies like it.
// Numerics: exact; what is not chosen has no influence. A byte other than 0 is true.
// Limits: 8 dims.
// Source: own.
#include "tile/space.cuh"

struct SelectArgs {
    u64 y, mask, p, q;
    Space<4> space;  // y, mask, p, q
};

struct FillArgs {
    u64 y, mask, q;
    u64 value;       // the bits of one element, in the low bytes
    Space<3> space;  // y, mask, q
};

template <class T>
__device__ __forceinline__ void select(const SelectArgs& a) {
    auto choose = [](u8 mask, T p, T q) { return mask ? p : q; };
    for_elements<WIDTH<T>>(a.space, reinterpret_cast<T*>(a.y), choose, reinterpret_cast<const u8*>(a.mask),
                           reinterpret_cast<const T*>(a.p), reinterpret_cast<const T*>(a.q));
}

template <class T>
__device__ __forceinline__ void fill(const FillArgs& a) {
    T value = T(a.value);
    auto choose = [=](u8 mask, T q) { return mask ? value : q; };
    for_elements<WIDTH<T>>(a.space, reinterpret_cast<T*>(a.y), choose, reinterpret_cast<const u8*>(a.mask),
                           reinterpret_cast<const T*>(a.q));
}

#define SELECT(NAME, T) \
    KERNEL(where_fwd_##NAME, MAP_THREADS, SelectArgs) { select<T>(a); } \
    KERNEL(masked_fill_fwd_##NAME, MAP_THREADS, FillArgs) { fill<T>(a); }
SELECT(b8, u8)
SELECT(b16, u16)
SELECT(b32, u32)
SELECT(b64, u64)
