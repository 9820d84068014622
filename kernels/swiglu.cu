// Computes: from y = a·σ(a)·b and g: da = g·b·s·(1 + a·(1 - s)) and db = g·a·s, s = σ(a). (The forward is in `binary.cu`.)
// Reads/Writes: each element of g, a, b, da and db once, gapless.
// Plan: one thread per 16 bytes, or per element if a pointer is not aligned.
// Traffic: 5 elements a place: the roof is memory.
// Shared memory: none.
// Ordering: no two threads touch one element; da may be g or a, db may be b.
// Numerics: f32 inside, the host's formula.
// Limits: none.
// Source: Shazeer, GLU Variants Improve Transformer, arXiv 2002.05202, §2.
#include "tile/math.cuh"
#include "tile/vector.cuh"

enum { SWIGLU_THREADS = 256 };

struct SwigluArgs {
    u64 da, db, g, a, b;
    u64 elements;
    u32 is_aligned, unused;
};

template <class T>
__device__ __forceinline__ void backward(const SwigluArgs& args) {
    constexpr int PER = WIDTH<T>;
    T* da = reinterpret_cast<T*>(args.da);
    T* db = reinterpret_cast<T*>(args.db);
    const T* g = reinterpret_cast<const T*>(args.g);
    const T* a = reinterpret_cast<const T*>(args.a);
    const T* b = reinterpret_cast<const T*>(args.b);
    auto turn = [](T g, T a, T b, T& da, T& db) {
        f32 p = widen(a), s = math::sigmoid(p), slope = widen(g);
        da = narrow<T>(slope * widen(b) * fmaf(p * s, 1.0f - s, s));
        db = narrow<T>(slope * (p * s));
    };
    u64 i = u64(blockIdx.x) * SWIGLU_THREADS + threadIdx.x;
    u64 end = i + 1;
    if (args.is_aligned) {
        i *= PER;
        end = i + PER;
        if (end <= args.elements) {
            auto u = load_vector<PER>(g + i), v = load_vector<PER>(a + i), w = load_vector<PER>(b + i);
#pragma unroll
            for (int k = 0; k < PER; k++) turn(u.at[k], v.at[k], w.at[k], v.at[k], w.at[k]);
            store_vector(da + i, v);
            store_vector(db + i, w);
            return;
        }
    }
#pragma unroll 1
    for (; i < end && i < args.elements; i++) {
        T p, q;
        turn(g[i], a[i], b[i], p, q);
        da[i] = p;
        db[i] = q;
    }
}

#define ENTRY(T) \
    KERNEL(swiglu_bwd_##T, SWIGLU_THREADS, SwigluArgs) { backward<T>(a); }
FLOATS(ENTRY)
