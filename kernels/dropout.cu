// Computes: yᵢ = factor·xᵢ where uᵢ ≥ p, else 0, with uᵢ number i of a Philox stream, uniform in [0, 1).
// Reads/Writes: each element of x and of y once, both gapless.
// Plan: one thread per 4 elements, which is one Philox block.
// Traffic: 2 elements a place: the roof is memory (ten rounds are some 60 integer operations per 4 elements).
// Shared memory: none.
// Ordering: no two threads touch one element; y may be x.
// Numerics: one rounding; a dropped element is 0 even if it was NaN. The mask is a function of seed, stream and i.
// Limits: none.
// Source: Srivastava et al., Dropout, JMLR 15, 2014. Salmon et al., Parallel Random Numbers, SC 2011.
#include "ptx/philox.cuh"
#include "tile/vector.cuh"

enum { DROPOUT_THREADS = 256 };

struct DropoutArgs {
    u64 y, x;
    u64 elements;
    u64 seed, stream;
    u64 advance;  // one u64: so many rounds of 2³² streams later; 0: none
    f32 p, factor;
    u32 is_aligned;  // both pointers to 4 elements
    u32 unused;
};

template <class T>
__device__ __forceinline__ void dropout(const DropoutArgs& a) {
    T* y = reinterpret_cast<T*>(a.y);
    const T* x = reinterpret_cast<const T*>(a.x);
    u64 block = u64(blockIdx.x) * DROPOUT_THREADS + threadIdx.x;
    u64 i = block * 4;
    if (i >= a.elements) return;
    philox::Block random = philox::block(a.seed, a.stream + philox::rounds(a.advance), block);
    f32 factor[4];
#pragma unroll
    for (int k = 0; k < 4; k++) factor[k] = philox::unit(random.word[k]) >= a.p ? a.factor : 0.0f;
    auto drop = [](f32 x, f32 factor) { return narrow<T>(factor == 0.0f ? 0.0f : x * factor); };
    if (a.is_aligned && i + 4 <= a.elements) {
        auto v = load_vector<4>(x + i);
#pragma unroll
        for (int k = 0; k < 4; k++) v.at[k] = drop(widen(v.at[k]), factor[k]);
        store_vector(y + i, v);
        return;
    }
#pragma unroll
    for (int k = 0; k < 4; k++) {
        if (i + k < a.elements) y[i + k] = drop(widen(x[i + k]), factor[k]);
    }
}

#define ENTRY(T) \
    KERNEL(dropout_fwd_##T, DROPOUT_THREADS, DropoutArgs) { dropout<T>(a); }
FLOATS(ENTRY)
