// Computes: in one launch over many tensors: AdamW, m ← m + lerp·(g - m), v ← β₂v + square·g², p ← p·keep -
//   step·m/(√v/root + ε); SGD, g' = g + λp, b ← μb + g', p ← p - η·b (or g' + μb with Nesterov; without b if μ = 0); the
//   partial sums of Σ g², the norm √Σ g² and the factor min(1, c/(norm + 10⁻⁶)), and g ← factor·g.
// Reads/Writes: g once; p and the moments once each way; a bf16 copy of p once if wanted. Gapless.
// Plan: a block per piece of 8192 elements, a thread per eight neighbours (SGD: per one), of all arrays at once; its tensor
//   is found by bisection in the table, which is part of the parameter: a launch takes TENSORS at most, and nothing is
//   copied to the device before, so that a graph can record it.
// Traffic: AdamW 28 bytes an element with f32 g (26 with a 16-bit g, and 2 more for the copy): the roof is memory.
// Shared memory: 128 bytes static in the sums.
// Ordering: pieces are apart. Pieces' sums are added in their order by one block.
// Numerics: p and moments in f32, or, in the `narrow` entries, in the dtype of g and computed in f32; the order of
//   operations is PyTorch's; squares add up in f64. The numbers of a step come with the launch, or from device memory, so
//   that a recorded step can be replayed with others: a NaN rate there means that nothing is written. A NaN gradient makes
//   the norm and the factor NaN, an infinite one the norm infinite and the factor 0.
// Limits: fewer than 2³¹ pieces; the parameter's 3648 bytes are below the 4096 of every GPU.
// Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, arXiv 1711.05101. Pascanu et al., 2013, §3.2.
#include "tile/eight.cuh"
#include "tile/row.cuh"

enum { PIECE = 8192, PIECE_THREADS = 256, TENSORS = 64, NUMBERS = 7 };

// One tensor of the table.
struct Tensor {
    u64 p, g, m, v;   // p, m, v: one dtype; for SGD m is the velocity, 0 without momentum
    u64 copy;         // of p in bf16; 0: none
    u64 elements;
    u64 first_piece;  // pieces of all tensors of the launch before it
};

struct OptimiseArgs {
    Tensor tensors[TENSORS];
    u64 numbers;      // the address of NUMBERS f32, see the entries; 0: they are `own`
    u64 factor;       // f32, gradients are multiplied by it; 0: 1
    u64 partial;      // f64 per piece
    f32 own[NUMBERS];
    u32 count, is_nesterov, unused;
};

struct NormArgs {
    u64 partial;  // f64 per piece
    u64 norm;     // one f32
    u64 factor;   // one f32
    u64 pieces;
    u64 max_norm;  // the bits of an f64
};

// The tensor of this block's piece: the last that starts at or before it.
__device__ __forceinline__ Tensor tensor_of_piece(const OptimiseArgs& a) {
    u32 low = 0, high = a.count;
    while (high - low > 1) {
        u32 middle = (low + high) / 2;
        if (a.tensors[middle].first_piece <= blockIdx.x) low = middle;
        else high = middle;
    }
    return a.tensors[low];
}

__device__ __forceinline__ f32 number(const OptimiseArgs& a, int which) {
    return a.numbers ? reinterpret_cast<const f32*>(a.numbers)[which] : a.own[which];
}

// The elements of this block's piece.
struct Piece {
    u64 first, end;

    __device__ __forceinline__ Piece(const Tensor& t) {
        first = (blockIdx.x - t.first_piece) * PIECE;
        end = min(first + PIECE, (u64)t.elements);
    }
};

// Calls f(i) for this thread's elements; neighbours take neighbours.
template <class F>
__device__ __forceinline__ void for_piece(const Tensor& t, F f) {
    Piece piece(t);
    for (u64 i = piece.first + threadIdx.x; i < piece.end; i += PIECE_THREADS) f(i);
}

// Calls f(i, count) for this thread's runs of eight elements, of which `count` are there.
template <class F>
__device__ __forceinline__ void for_eights(const Tensor& t, F f) {
    Piece piece(t);
#pragma unroll 1
    for (u64 i = piece.first + threadIdx.x * 8; i < piece.end; i += PIECE_THREADS * 8)
        f(i, u32(min(piece.end - i, (u64)8)));
}

// Eight numbers that were loaded whole, or the first `count` of them, one by one.
template <class T>
__device__ __forceinline__ void unpack(f32 (&v)[8], const Eight<T>& all, const T* from, u32 count, bool is_whole) {
#pragma unroll
    for (u32 k = 0; k < 8; k++) v[k] = is_whole ? all.at(k) : k < count ? widen(from[k]) : 0.0f;
}

template <class T>
__device__ __forceinline__ void put(T* to, const f32 (&v)[8], u32 count, bool is_whole) {
    if (is_whole) return store_eight(to, v);
#pragma unroll
    for (u32 k = 0; k < 8; k++)
        if (k < count) to[k] = narrow<T>(v[k]);
}

// T: of the gradient, S: of all that is written.
template <class T, class S>
struct Step {
    const T* g;
    S* p;
    S* m;
    S* v;
    bf16* copy;
    f32 factor;

    __device__ __forceinline__ Step(const OptimiseArgs& a, const Tensor& t)
        : g(reinterpret_cast<const T*>(t.g)), p(reinterpret_cast<S*>(t.p)), m(reinterpret_cast<S*>(t.m)),
          v(reinterpret_cast<S*>(t.v)), copy(reinterpret_cast<bf16*>(t.copy)),
          factor(a.factor ? *reinterpret_cast<const f32*>(a.factor) : 1.0f) {}

    __device__ __forceinline__ f32 times_factor(f32 x) const { return factor == 1.0f ? x : x * factor; }
    __device__ __forceinline__ f32 gradient(u64 i) const { return times_factor(widen(g[i])); }

    __device__ __forceinline__ void write(u64 i, f32 x) const {
        p[i] = narrow<S>(x);
        if (copy) copy[i] = narrow<bf16>(x);
    }
};

// numbers: keep, lerp, β₂, square, root, ε, step.
template <class T, class S>
__device__ __forceinline__ void adamw(const OptimiseArgs& a) {
    Tensor t = tensor_of_piece(a);
    Step<T, S> s(a, t);
    f32 keep = number(a, 0), lerp = number(a, 1), beta2 = number(a, 2), square = number(a, 3), root = number(a, 4);
    f32 eps = number(a, 5), step = number(a, 6);
    if (step != step) return;
    bool is_aligned = (t.g | t.p | t.m | t.v | t.copy) % 16 == 0;
    for_eights(t, [&](u64 i, u32 count) {
        bool is_whole = is_aligned && count == 8;
        Eight<T> gradients;
        Eight<S> parameters, means, squares;
        gradients.load(s.g + i, is_whole);
        parameters.load(s.p + i, is_whole);
        means.load(s.m + i, is_whole);
        squares.load(s.v + i, is_whole);
        f32 g[8], p[8], m[8], v[8];
        unpack(g, gradients, s.g + i, count, is_whole);
        unpack(p, parameters, s.p + i, count, is_whole);
        unpack(m, means, s.m + i, count, is_whole);
        unpack(v, squares, s.v + i, count, is_whole);
#pragma unroll
        for (int k = 0; k < 8; k++) {
            f32 x = s.times_factor(g[k]);
            m[k] = fmaf(lerp, x - m[k], m[k]);
            v[k] = v[k] * beta2 + square * x * x;
            p[k] = p[k] * keep - step * m[k] / (__fsqrt_rn(v[k]) / root + eps);
        }
        put(s.m + i, m, count, is_whole);
        put(s.v + i, v, count, is_whole);
        put(s.p + i, p, count, is_whole);
        if (s.copy) put(s.copy + i, p, count, is_whole);
    });
}

// numbers: η, μ, λ.
template <class T, class S>
__device__ __forceinline__ void sgd(const OptimiseArgs& a) {
    Tensor t = tensor_of_piece(a);
    Step<T, S> s(a, t);
    f32 rate = number(a, 0), momentum = number(a, 1), decay = number(a, 2);
    if (rate != rate) return;
    for_piece(t, [&](u64 i) {
        f32 p = widen(s.p[i]), g = s.gradient(i) + decay * p, d = g;
        if (s.m) {
            f32 b = widen(s.m[i]) * momentum + g;
            s.m[i] = narrow<S>(b);
            d = a.is_nesterov ? g + momentum * b : b;
        }
        s.write(i, p - rate * d);
    });
}

template <class T>
__device__ __forceinline__ void norm_partial(const OptimiseArgs& a) {
    Tensor t = tensor_of_piece(a);
    const T* g = reinterpret_cast<const T*>(t.g);
    f64 total = 0.0;
    for_eights(t, [&](u64 i, u32 count) {
        bool is_whole = t.g % 16 == 0 && count == 8;
        Eight<T> all;
        all.load(g + i, is_whole);
        f32 v[8];
        unpack(v, all, g + i, count, is_whole);
#pragma unroll
        for (int k = 0; k < 8; k++) total += f64(v[k]) * f64(v[k]);
    });
    total = sum(total);
    if (threadIdx.x == 0) reinterpret_cast<f64*>(a.partial)[blockIdx.x] = total;
}

template <class T>
__device__ __forceinline__ void scale(const OptimiseArgs& a) {
    Tensor t = tensor_of_piece(a);
    T* g = reinterpret_cast<T*>(t.g);
    f32 factor = *reinterpret_cast<const f32*>(a.factor);
    if (factor == 1.0f) return;
    for_eights(t, [&](u64 i, u32 count) {
        bool is_whole = t.g % 16 == 0 && count == 8;
        Eight<T> all;
        all.load(g + i, is_whole);
        f32 v[8];
        unpack(v, all, g + i, count, is_whole);
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] *= factor;
        put(g + i, v, count, is_whole);
    });
}

KERNEL(clip_by_norm_total_f64, PIECE_THREADS, NormArgs) {
    const f64* partial = reinterpret_cast<const f64*>(a.partial);
    f64 total = 0.0;
    for (u64 i = threadIdx.x; i < a.pieces; i += PIECE_THREADS) total += partial[i];
    f64 norm = __dsqrt_rn(sum(total));
    f64 factor = __longlong_as_double(i64(a.max_norm)) / (norm + 1e-6);
    if (threadIdx.x != 0) return;
    *reinterpret_cast<f32*>(a.norm) = f32(norm);
    // Not a minimum, which would drop a NaN.
    *reinterpret_cast<f32*>(a.factor) = factor >= 1.0 ? 1.0f : f32(factor);
}

#define ENTRIES(T) \
    KERNEL(adamw_step_##T, PIECE_THREADS, OptimiseArgs) { adamw<T, f32>(a); } \
    KERNEL(sgd_step_##T, PIECE_THREADS, OptimiseArgs) { sgd<T, f32>(a); } \
    KERNEL(clip_by_norm_partial_##T, PIECE_THREADS, OptimiseArgs) { norm_partial<T>(a); } \
    KERNEL(clip_by_norm_scale_##T, PIECE_THREADS, OptimiseArgs) { scale<T>(a); }
FLOATS(ENTRIES)

#define NARROW(T) \
    KERNEL(adamw_narrow_##T, PIECE_THREADS, OptimiseArgs) { adamw<T, T>(a); } \
    KERNEL(sgd_narrow_##T, PIECE_THREADS, OptimiseArgs) { sgd<T, T>(a); }
NARROW(f16)
NARROW(bf16)
