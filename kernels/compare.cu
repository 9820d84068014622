// Computes: y = 1 where a relation of p and q holds, else 0; and ∧, ∨, ¬ of truth values.
// Reads/Writes: a byte of y once; p and q of any strides, 0 along a broadcast.
// Plan: one thread per 16 bytes of gapless operands, else one per element.
// Traffic: 2 elements and 1 byte a place: the roof is memory.
// Shared memory: none.
// Ordering: no two threads touch one byte of y.
// Numerics: exact; any comparison with NaN but ≠ is false. A byte other than 0 is true.
// Limits: 8 dims.
// Source: own.
#include "tile/space.cuh"

struct CompareArgs {
    u64 y, p, q;
    Space<3> space;  // y, p, q
};

__device__ __forceinline__ f32 number(f32 x) { return x; }
__device__ __forceinline__ f32 number(f16 x) { return widen(x); }
__device__ __forceinline__ f32 number(bf16 x) { return widen(x); }
__device__ __forceinline__ i64 number(i64 x) { return x; }
__device__ __forceinline__ u32 number(u32 x) { return x; }
__device__ __forceinline__ u8 number(u8 x) { return x; }

template <class T, class F>
__device__ __forceinline__ void compare(const CompareArgs& a, F holds) {
    auto relation = [=](T p, T q) { return holds(number(p), number(q)); };
    for_elements<WIDTH<T>>(a.space, reinterpret_cast<u8*>(a.y), relation, reinterpret_cast<const T*>(a.p),
                           reinterpret_cast<const T*>(a.q));
}

#define FORMULA(NAME, F) \
    struct NAME { \
        template <class N> \
        __device__ __forceinline__ u8 operator()(N p, N q) const { return F; } \
    };
FORMULA(equal, p == q)
FORMULA(not_equal, p != q)
FORMULA(less, p < q)
FORMULA(less_equal, p <= q)
FORMULA(logical_not, p == 0)
FORMULA(logical_and, p != 0 && q != 0)
FORMULA(logical_or, (p | q) != 0)

#define ENTRY(NAME, T) \
    KERNEL(NAME##_fwd_##T, MAP_THREADS, CompareArgs) { compare<T>(a, NAME{}); }
// Greater is less with the operands exchanged.
#define RELATIONS(T) ENTRY(equal, T) ENTRY(not_equal, T) ENTRY(less, T) ENTRY(less_equal, T)
FLOATS(RELATIONS)
RELATIONS(i64)
RELATIONS(u32)
RELATIONS(u8)
ENTRY(logical_not, u8)
ENTRY(logical_and, u8)
ENTRY(logical_or, u8)
