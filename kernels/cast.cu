// Computes: y = x in another dtype.
// Reads/Writes: each element of x and of y once, of any strides.
// Plan: one thread per 16 bytes of the wider dtype if both are gapless, else one per element.
// Traffic: one element of each dtype a place: the roof is memory.
// Shared memory: none.
// Ordering: no two threads touch one element of y; y must not overlap x.
// Numerics: to floats one rounding to nearest even, overflow to ±∞; to integers truncated and saturated, NaN to 0;
//   bool is x ≠ 0, and 0 or 1 as a number.
// Limits: 8 dims. f64 stays on the host.
// Source: own. Rounding to odd: Boldo and Melquiond, Emulation of FMA and correctly rounded sums, 2008.
#include "tile/space.cuh"

struct CastArgs {
    u64 y, x;
    Space<2> space;  // y, x
};

// One byte, 0 or not.
struct truth {
    u8 byte;
};

// An integer to f32, to nearest even if the result is one, and to odd if it is rounded once more to 16 bits: the lowest
// bit then remembers that something was lost, so that rounding twice gives what rounding once would.
template <class D>
__device__ __forceinline__ D from_integer(i64 x) {
    f32 down = __ll2float_rz(x);
    u32 bits = __float_as_uint(down);
    if (i64(down) != x) bits |= 1;
    return narrow<D>(__uint_as_float(bits));
}
template <>
__device__ __forceinline__ f32 from_integer<f32>(i64 x) { return __ll2float_rn(x); }

// A float to an integer.
template <class D>
__device__ __forceinline__ D truncated(f32 x);
template <>
__device__ __forceinline__ i64 truncated<i64>(f32 x) { return x != x ? 0 : __float2ll_rz(x); }
template <>
__device__ __forceinline__ u32 truncated<u32>(f32 x) { return x != x ? 0 : __float2uint_rz(x); }
template <>
__device__ __forceinline__ u8 truncated<u8>(f32 x) {
    return x != x ? 0 : u8(__float2uint_rz(fminf(x, 255.0f)));
}

template <class D>
struct To {
    __device__ __forceinline__ static D of(f32 x) { return narrow<D>(x); }
    __device__ __forceinline__ static D of(i64 x) { return from_integer<D>(x); }
};
template <class D>
struct ToWhole {
    __device__ __forceinline__ static D of(f32 x) { return truncated<D>(x); }
    __device__ __forceinline__ static D of(i64 x) { return D(x); }
};
template <>
struct To<i64> : ToWhole<i64> {};
template <>
struct To<u32> : ToWhole<u32> {};
template <>
struct To<u8> : ToWhole<u8> {};
template <>
struct To<truth> {
    __device__ __forceinline__ static truth of(f32 x) { return {u8(x != 0.0f)}; }
    __device__ __forceinline__ static truth of(i64 x) { return {u8(x != 0)}; }
};

// What a source is turned into first: f32, or i64 for integers.
__device__ __forceinline__ f32 number(f32 x) { return x; }
__device__ __forceinline__ f32 number(f16 x) { return widen(x); }
__device__ __forceinline__ f32 number(bf16 x) { return widen(x); }
__device__ __forceinline__ i64 number(i64 x) { return x; }
__device__ __forceinline__ i64 number(u32 x) { return x; }
__device__ __forceinline__ i64 number(u8 x) { return x; }
__device__ __forceinline__ i64 number(truth x) { return x.byte != 0; }

template <class S, class D>
__device__ __forceinline__ void cast(const CastArgs& a) {
    constexpr int PER = sizeof(S) > sizeof(D) ? WIDTH<S> : WIDTH<D>;
    auto convert = [](S x) { return To<D>::of(number(x)); };
    for_elements<PER>(a.space, reinterpret_cast<D*>(a.y), convert, reinterpret_cast<const S*>(a.x));
}

#define CAST(S, D) \
    KERNEL(cast_##S##_to_##D, MAP_THREADS, CastArgs) { cast<S, D>(a); }
using bool8 = truth;
#define TO_ALL_BUT_FLOATS(S) CAST(S, i64) CAST(S, u32) CAST(S, u8) CAST(S, bool8)
CAST(f32, f16) CAST(f32, bf16) TO_ALL_BUT_FLOATS(f32)
CAST(f16, f32) CAST(f16, bf16) TO_ALL_BUT_FLOATS(f16)
CAST(bf16, f32) CAST(bf16, f16) TO_ALL_BUT_FLOATS(bf16)
CAST(i64, f32) CAST(i64, f16) CAST(i64, bf16) CAST(i64, u32) CAST(i64, u8) CAST(i64, bool8)
CAST(u32, f32) CAST(u32, f16) CAST(u32, bf16) CAST(u32, i64) CAST(u32, u8) CAST(u32, bool8)
CAST(u8, f32) CAST(u8, f16) CAST(u8, bf16) CAST(u8, i64) CAST(u8, u32) CAST(u8, bool8)
CAST(bool8, f32) CAST(bool8, f16) CAST(bool8, bf16) CAST(bool8, i64) CAST(bool8, u32) CAST(bool8, u8)
