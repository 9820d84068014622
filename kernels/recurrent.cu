// Computes: one step of a cell, σ and tanh by element. LSTM, from gates p = (i, f, g, o) (B, 4H) and c (B, H):
//   c' = σ(f)·c + σ(i)·tanh g, h = σ(o)·tanh c'. GRU, from gates u = (r, z, n) of the input and v of the state, both (B, 3H),
//   and h (B, H): r = σ(u_r + v_r), z = σ(u_z + v_z), n = tanh(u_n + r·v_n), h' = (1 - z)·n + z·h.
//   Backward: the gradients of p and c, or of u, v and h, from those of the outputs; the gates are computed again.
// Reads/Writes: every element of every operand once, gapless.
// Plan: one thread per element of the state; neighbours in H are neighbours in a warp, in each gate.
// Traffic: elements a place: LSTM 5 + 2 and, backward, 7 + 5; GRU 7 + 1 and 8 + 7. The roof is memory.
// Shared memory: none.
// Ordering: no two threads touch one element, and each reads before it writes: a gradient may lie over its gates.
// Numerics: f32 inside, the host's formulas.
// Limits: gapless operands.
// Source: Hochreiter and Schmidhuber, Long Short-Term Memory, 1997; Cho et al., arXiv 1406.1078, §2.3. Order of the gates, and
//   the state's bias inside r·v_n, as in PyTorch.
#include "tile/math.cuh"

enum { CELL_THREADS = 256 };

struct CellArgs {
    u64 y[3];
    u64 x[4];
    u64 elements;  // B·H
    u64 width;     // H
};

// Where the gates of an element of the state begin; they are `width` apart.
template <int GATES>
__device__ __forceinline__ u64 first_gate(const CellArgs& a, u64 e) {
    return e + e / a.width * (GATES - 1) * a.width;
}

template <class T>
__device__ __forceinline__ f32 at(u64 operand, u64 i) {
    return widen(reinterpret_cast<const T*>(operand)[i]);
}

template <class T>
__device__ __forceinline__ void put(u64 operand, u64 i, f32 v) {
    reinterpret_cast<T*>(operand)[i] = narrow<T>(v);
}

// x·(1 - x): the slope of σ where it is x.
__device__ __forceinline__ f32 slope(f32 x) { return x * (1.0f - x); }
// 1 - x²: the slope of tanh where it is x.
__device__ __forceinline__ f32 tanh_slope(f32 x) { return fmaf(-x, x, 1.0f); }

struct LstmGates {
    f32 i, f, g, o, next;
};

template <class T>
__device__ __forceinline__ LstmGates lstm_gates(const CellArgs& a, u64 p, u64 at_p, f32 c) {
    f32 i = math::sigmoid(at<T>(p, at_p)), f = math::sigmoid(at<T>(p, at_p + a.width));
    f32 g = math::tanh(at<T>(p, at_p + 2 * a.width)), o = math::sigmoid(at<T>(p, at_p + 3 * a.width));
    return {i, f, g, o, fmaf(f, c, i * g)};
}

template <class T>
__device__ __forceinline__ void lstm_forward(const CellArgs& a) {
    u64 e = u64(blockIdx.x) * CELL_THREADS + threadIdx.x;
    if (e >= a.elements) return;
    LstmGates s = lstm_gates<T>(a, a.x[0], first_gate<4>(a, e), at<T>(a.x[1], e));
    put<T>(a.y[0], e, s.o * math::tanh(s.next));
    put<T>(a.y[1], e, s.next);
}

template <class T>
__device__ __forceinline__ void lstm_backward(const CellArgs& a) {
    u64 e = u64(blockIdx.x) * CELL_THREADS + threadIdx.x;
    if (e >= a.elements) return;
    u64 p = first_gate<4>(a, e);
    f32 gh = at<T>(a.x[0], e), gc = at<T>(a.x[1], e), c = at<T>(a.x[3], e);
    LstmGates s = lstm_gates<T>(a, a.x[2], p, c);
    f32 t = math::tanh(s.next);
    f32 d = fmaf(gh * s.o, tanh_slope(t), gc);
    put<T>(a.y[0], p, d * slope(s.i) * s.g);
    put<T>(a.y[0], p + a.width, d * slope(s.f) * c);
    put<T>(a.y[0], p + 2 * a.width, d * s.i * tanh_slope(s.g));
    put<T>(a.y[0], p + 3 * a.width, gh * slope(s.o) * t);
    put<T>(a.y[1], e, d * s.f);
}

struct GruGates {
    f32 r, z, n, state;
};

template <class T>
__device__ __forceinline__ GruGates gru_gates(const CellArgs& a, u64 u, u64 v, u64 p) {
    f32 r = math::sigmoid(at<T>(u, p) + at<T>(v, p));
    f32 z = math::sigmoid(at<T>(u, p + a.width) + at<T>(v, p + a.width));
    f32 state = at<T>(v, p + 2 * a.width);
    return {r, z, math::tanh(fmaf(r, state, at<T>(u, p + 2 * a.width))), state};
}

template <class T>
__device__ __forceinline__ void gru_forward(const CellArgs& a) {
    u64 e = u64(blockIdx.x) * CELL_THREADS + threadIdx.x;
    if (e >= a.elements) return;
    GruGates s = gru_gates<T>(a, a.x[0], a.x[1], first_gate<3>(a, e));
    put<T>(a.y[0], e, fmaf(s.z, at<T>(a.x[2], e), (1.0f - s.z) * s.n));
}

template <class T>
__device__ __forceinline__ void gru_backward(const CellArgs& a) {
    u64 e = u64(blockIdx.x) * CELL_THREADS + threadIdx.x;
    if (e >= a.elements) return;
    u64 p = first_gate<3>(a, e);
    f32 g = at<T>(a.x[0], e), h = at<T>(a.x[3], e);
    GruGates s = gru_gates<T>(a, a.x[1], a.x[2], p);
    f32 dn = g * (1.0f - s.z) * tanh_slope(s.n);
    f32 dr = dn * slope(s.r) * s.state;
    f32 dz = g * slope(s.z) * (h - s.n);
    put<T>(a.y[0], p, dr);
    put<T>(a.y[0], p + a.width, dz);
    put<T>(a.y[0], p + 2 * a.width, dn);
    put<T>(a.y[1], p, dr);
    put<T>(a.y[1], p + a.width, dz);
    put<T>(a.y[1], p + 2 * a.width, dn * s.r);
    put<T>(a.y[2], e, g * s.z);
}

#define ENTRIES(T) \
    KERNEL(lstm_cell_fwd_##T, CELL_THREADS, CellArgs) { lstm_forward<T>(a); } \
    KERNEL(lstm_cell_bwd_##T, CELL_THREADS, CellArgs) { lstm_backward<T>(a); } \
    KERNEL(gru_cell_fwd_##T, CELL_THREADS, CellArgs) { gru_forward<T>(a); } \
    KERNEL(gru_cell_bwd_##T, CELL_THREADS, CellArgs) { gru_backward<T>(a); }
FLOATS(ENTRIES)
