// Computes: for rows x of n logits and a target t each: m = max x, s = ln Σ e^(x - m), the loss
//   s - Σⱼ qⱼ·(xⱼ - m), with q = peak + rest at t and rest elsewhere; and the gradient (e^(x - m - s) - q)·weight·g. The
//   fused entries do both. `weight` entries: 1 over the number of targets, or 1; `total` entries: Σ loss·weight.
// Reads/Writes: logits once, fused twice where not kept (past 8192, or no 16-byte runs); their gradient once; 12 bytes a row.
// Plan: a group of threads per row (`tile/row.cuh`); one block for the weight and for the total.
// Traffic: 1 element a place forward (2 if smoothing, where not kept), 2 backward, 2 fused (3 where not kept): memory.
// Shared memory: 128 bytes static.
// Ordering: two barriers around each exchange of partial results; the fused entries read the row before they write it.
// Numerics: f32 in rows; the total in f64, in an order that depends on the number of rows alone. Rows whose target is
//   ignore_index have loss and gradient 0. If all are ignored, the weight is 1. A NaN spreads over its row and the total.
// Limits: n < 2³¹, rows of no gaps, all as far apart. A target that is out of range counts as ignored, and its position
//   goes to `bad`.
// Source: as `softmax.cu`; the fusion is that of llm.c and Liger.
#include "tile/index.cuh"
#include "tile/softmax.cuh"

struct CrossEntropyArgs {
    u64 logits, gradient;    // gradient: may be logits
    u64 targets;
    u64 loss, max, log_sum;  // f32 per row
    u64 weight;              // one f32
    u64 g;                   // the gradient of the total, one T, f32 for the fused entries; 0: 1
    u64 bad;                 // see `tile/index.cuh`
    i64 ignore_index;
    u64 rows, stride;        // elements from one row to the next
    u32 n, kind;             // kind: of the targets
    f32 peak, rest;
};

struct TotalArgs {
    u64 y;       // one T
    u64 loss;    // f32 per row
    u64 weight;  // one f32
    u64 rows;
};

struct WeightArgs {
    u64 weight;  // one f32
    u64 targets;
    i64 ignore_index;
    u64 rows;
    u32 kind, is_mean;
};

// The column of a target, or -1 if it does not count.
__device__ __forceinline__ i64 column_of(const CrossEntropyArgs& a, u64 row) {
    i64 target = index_at(a.targets, a.kind, row);
    if (target == a.ignore_index) return -1;
    if (target >= 0 && target < a.n) return target;
    if (threadIdx.x == 0) report(a.bad, row);
    return -1;
}

template <class T>
__device__ __forceinline__ f32 loss_of(const CrossEntropyArgs& a, LongRows<T, 1>& x, Partition p, f32 log_sum, i64 column) {
    constexpr int PER = WIDTH<T>;
    f32 below = 0.0f;
    if (a.rest > 0.0f) {
        // Weighted term by term: the sum of many large differences could pass the range of f32.
        x.each([&](f32(&v)[1][PER], u32 at, bool whole) {
#pragma unroll
            for (int k = 0; k < PER; k++) {
                if (whole || at + k < a.n) below += a.rest * (v[0][k] - p.max);
            }
        });
        below = sum(below);
    }
    return column < 0 ? 0.0f : log_sum - a.peak * (x.element(column) - p.max) - below;
}

template <class T, class G>
__device__ __forceinline__ void gradient_of(const CrossEntropyArgs& a, LongRows<T, 1>& x, u64 row, f32 max, f32 log_sum, i64 column) {
    constexpr int PER = WIDTH<T>;
    f32 g = a.g ? widen(*reinterpret_cast<const G*>(a.g)) : 1.0f;
    f32 weight = *reinterpret_cast<const f32*>(a.weight) * g;
    RowPointer<T> dx(a.gradient, row, a.n, a.stride);
    x.each([&](f32(&v)[1][PER], u32 at, bool whole) {
        f32 out[PER];
#pragma unroll
        for (int k = 0; k < PER; k++) {
            f32 q = i64(at + k) == column ? a.peak + a.rest : a.rest;
            out[k] = column < 0 ? 0.0f : (expf((v[0][k] - max) - log_sum) - q) * weight;
        }
        dx.store(whole, at, out);
    });
}

template <class T, bool GRADIENT>
__device__ __forceinline__ void forward(const CrossEntropyArgs& a) {
    u64 r = row_number();
    if (r >= a.rows) return;
    LongRows<T, 1> x({a.logits}, GRADIENT ? a.gradient : 0, r, a.n, -math::infinity(), a.stride);
    i64 column = column_of(a, r);
    Partition p = partition(x);
    // Logits of -∞ alone: softmax is 0/0.
    f32 log_sum = a.n > 0 && p.max == -math::infinity() ? math::nan() : math::ln(p.sum);
    f32 loss = loss_of(a, x, p, log_sum, column);
    // The target's logit has been read by every thread before one of them overwrites it.
    if (GRADIENT) {
        if (blockDim.x > 32) __syncthreads();
        else __syncwarp();
    }
    if (threadIdx.x == 0) {
        reinterpret_cast<f32*>(a.loss)[r] = loss;
        reinterpret_cast<f32*>(a.max)[r] = p.max;
        reinterpret_cast<f32*>(a.log_sum)[r] = log_sum;
    }
    if (GRADIENT) gradient_of<T, f32>(a, x, r, p.max, log_sum, column);
}

template <class T>
__device__ __forceinline__ void backward(const CrossEntropyArgs& a) {
    u64 r = row_number();
    if (r >= a.rows) return;
    LongRows<T, 1> x({a.logits}, a.gradient, r, a.n, 0.0f, a.stride);
    f32 max = reinterpret_cast<const f32*>(a.max)[r], log_sum = reinterpret_cast<const f32*>(a.log_sum)[r];
    gradient_of<T, T>(a, x, r, max, log_sum, column_of(a, r));
}

template <class T>
__device__ __forceinline__ void total(const TotalArgs& a) {
    const f32* loss = reinterpret_cast<const f32*>(a.loss);
    f64 v = 0.0;
    for (u64 i = threadIdx.x; i < a.rows; i += blockDim.x) v += loss[i];
    v = sum(v);
    if (threadIdx.x == 0)
        *reinterpret_cast<T*>(a.y) = narrow<T>(f32(v * f64(*reinterpret_cast<const f32*>(a.weight))));
}

KERNEL(cross_entropy_weight_f32, ROW_THREADS, WeightArgs) {
    i64 count = 0;
    for (u64 i = threadIdx.x; i < a.rows; i += blockDim.x) count += index_at(a.targets, a.kind, i) != a.ignore_index;
    // Exact: counts are below 2⁵³.
    f64 targets = sum(f64(count));
    if (threadIdx.x == 0)
        *reinterpret_cast<f32*>(a.weight) = a.is_mean && targets > 0.0 ? f32(1.0 / targets) : 1.0f;
}

#define ENTRIES(T) \
    KERNEL(cross_entropy_fwd_##T, TWO_BLOCKS, CrossEntropyArgs) { forward<T, false>(a); } \
    KERNEL(cross_entropy_fused_##T, TWO_BLOCKS, CrossEntropyArgs) { forward<T, true>(a); } \
    KERNEL(cross_entropy_bwd_##T, TWO_BLOCKS, CrossEntropyArgs) { backward<T>(a); } \
    KERNEL(cross_entropy_total_##T, ROW_THREADS, TotalArgs) { total<T>(a); }
FLOATS(ENTRIES)
