// Computes: yᵢ = value, or yᵢ = i.
// Reads/Writes: each element of y once, gapless.
// Plan: one thread per element, neighbours to neighbours.
// Traffic: one element a place, nothing read: the roof is memory.
// Shared memory: none.
// Ordering: no two threads touch one element.
// Numerics: exact as long as the dtype holds i.
// Limits: fewer than 2³⁹ elements. Values of at most 4 bytes need no kernel: the driver fills with those.
// Source: own.
#include "tile/dtype.cuh"

enum { FILL_THREADS = 256 };

struct FillArgs {
    u64 y;
    u64 elements;
    u64 value;  // the bits of one element
};

template <class T, class F>
__device__ __forceinline__ void fill(const FillArgs& a, F element) {
    u64 i = u64(blockIdx.x) * FILL_THREADS + threadIdx.x;
    if (i < a.elements) reinterpret_cast<T*>(a.y)[i] = element(i);
}

KERNEL(fill_value_b64, FILL_THREADS, FillArgs) {
    fill<u64>(a, [&](u64) { return a.value; });
}

#define FLOAT_ENTRY(T) \
    KERNEL(fill_count_##T, FILL_THREADS, FillArgs) { fill<T>(a, [](u64 i) { return narrow<T>(f32(i)); }); }
FLOATS(FLOAT_ENTRY)

#define INTEGER_ENTRY(T) \
    KERNEL(fill_count_##T, FILL_THREADS, FillArgs) { fill<T>(a, [](u64 i) { return T(i); }); }
INTEGER_ENTRY(i64)
INTEGER_ENTRY(u32)
INTEGER_ENTRY(u8)
