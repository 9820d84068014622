// Computes: of each pair (a, b) of a head at token t: (a·cos φ - b·sin φ, b·cos φ + a·sin φ), with φ of the pair at
//   position t from a table, or at the position that an index names for t; with `sign` -1 it turns back, which is the
//   gradient.
// Reads/Writes: each element of x (B, T, H, D) and of y once, gapless; 2 numbers a pair from the table, from cache.
// Plan: one thread per pair. Pairs are (i, i + D/2), or (2i, 2i + 1).
// Traffic: 2 elements a place: the roof is memory.
// Shared memory: none.
// Ordering: a pair belongs to one thread, so y may be x.
// Numerics: the table is made in f64 on the host and rounded once; two roundings here.
// Limits: D even. Without an index the table has T rows; a position that is not below `limit` gives 0, and its place goes
//   to `bad`.
// Source: Su et al., RoFormer, arXiv 2104.09864, §3.2.
#include "tile/dtype.cuh"
#include "tile/index.cuh"

enum { ROPE_THREADS = 256 };

struct RopeArgs {
    u64 y, x;
    u64 table;      // f32 (positions, 2, D/2): cosines, then sines
    u64 positions;  // of each token, (T,); 0: 0, 1, 2, ...
    u64 bad;
    u64 limit;      // positions that the table has
    u64 pairs;      // B·T·H·D/2
    u32 kind;       // of the index
    u32 tokens, heads, half;
    u32 is_adjacent;
    f32 sign;
};

template <class T>
__device__ __forceinline__ void rope(const RopeArgs& a) {
    u64 p = u64(blockIdx.x) * ROPE_THREADS + threadIdx.x;
    if (p >= a.pairs) return;
    u64 head = p / a.half;
    u32 i = u32(p - head * a.half);
    u64 token = head / a.heads % a.tokens, position = token;
    if (a.positions) position = u64(index_at(a.positions, a.kind, token));
    f32 cos = 0.f, sin = 0.f;
    if (position < a.limit) {  // a negative one is far above it
        const f32* turn = reinterpret_cast<const f32*>(a.table) + position * a.half * 2 + i;
        cos = turn[0], sin = a.sign * turn[a.half];
    } else if (i == 0) {
        report(a.bad, token);
    }
    u64 first = head * a.half * 2 + (a.is_adjacent ? 2 * i : i);
    u64 second = first + (a.is_adjacent ? 1 : a.half);
    const T* x = reinterpret_cast<const T*>(a.x);
    T* y = reinterpret_cast<T*>(a.y);
    f32 v = widen(x[first]), w = widen(x[second]);
    y[first] = narrow<T>(v * cos - w * sin);
    y[second] = narrow<T>(w * cos + v * sin);
}

#define ENTRY(T) \
    KERNEL(rope_fwd_##T, ROPE_THREADS, RopeArgs) { rope<T>(a); }
FLOATS(ENTRY)
