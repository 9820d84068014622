// Computes: rows x of n to y = w·x̂ + b with x̂ = (x - μ)·r: layer norm with r = 1/√(σ² + ε), or RMS norm with μ = 0, no b,
//   r = 1/√(mean(x²) + ε). Backward, with h = g·w: dx = r·(h - mean(h) - x̂·mean(h·x̂)), without mean(h) for RMS; and
//   dw = Σ g·x̂, db = Σ g over the rows, in the partial entries by chunks of rows (`columns.cu` adds the chunks up). dx may have
//   the gradient of what went around the norm added, and be written in bf16, too; y and g may be bf16 where all else is f32.
// Reads/Writes: of rows of whole 16-byte runs the first 8192 elements once, all others for each pass: 3 of layer norm, 2 of
//   RMS norm and backward; w and b by each row, from cache; y (or dx), μ, r once. The partial entries read g and x again.
// Plan: a group of threads per row (`tile/row.cuh`), the row in registers; sums of columns in tiles (`tile/columns.cuh`).
// Traffic: 2 elements a place forward, 3 + 2 backward where read once (dw, db: a second read of g, x): the roof is memory.
// Shared memory: 128 bytes static; 8 KiB in the partial entries.
// Ordering: two barriers around each exchange of partial results; y may be x, dx may be g if dw is made first.
// Numerics: forward sums in f64, layer norm's over numbers shifted by the row's first; the statistics are f32. Backward
//   sums in f32. A NaN spreads over its row.
// Limits: n < 2³¹, gapless rows.
// Source: Ba, Kiros and Hinton, arXiv 1607.06450, §3. Zhang and Sennrich, arXiv 1910.07467, §3.
#include "tile/columns.cuh"
#include "tile/row.cuh"

struct NormArgs {
    u64 y, x, weight, bias;  // bias 0: none
    u64 mean, rstd;          // f32 per row; mean 0 for RMS norm
    u64 eps, inverse;        // ε and 1/n, the bits of f64
    u64 rows;
    u32 n, unused;
};

struct NormBackwardArgs {
    u64 dx, g, x, weight, mean, rstd;
    u64 around, copy;  // added to dx; where dx goes in bf16, too. 0: none
    u64 rows;
    u32 n;
    f32 inverse;  // 1/n
};

// MEAN: layer norm, else RMS norm. Y: the dtype of y, that of x or bf16.
template <class T, class Y, bool MEAN>
__device__ __forceinline__ void forward(const NormArgs& a) {
    constexpr int PER = WIDTH<T>;
    u64 r = row_number();
    if (r >= a.rows) return;
    u32 n = a.n;
    Rows<T, 1> x({a.x}, a.y | a.weight | a.bias, r, n);
    f64 inverse = __longlong_as_double(i64(a.inverse)), mean = 0.0, squares = 0.0;
    if (MEAN) {
        f64 shift = x.element(0), total = 0.0;
        x.each([&](f32(&v)[1][PER], u32 at, bool whole) {
#pragma unroll
            for (int k = 0; k < PER; k++) {
                if (whole || at + k < n) total += f64(v[0][k]) - shift;
            }
        });
        mean = shift + sum(total) * inverse;
    }
    x.each([&](f32(&v)[1][PER], u32 at, bool whole) {
#pragma unroll
        for (int k = 0; k < PER; k++) {
            f64 d = f64(v[0][k]) - mean;
            if (whole || at + k < n) squares += d * d;
        }
    });
    f64 rstd = 1.0 / sqrt(sum(squares) * inverse + __longlong_as_double(i64(a.eps)));
    RowPointer<Y, PER> y(a.y, r, n);
    RowPointer<T> weight(a.weight, 0, n), bias(a.bias, 0, n);
    x.each([&](f32(&v)[1][PER], u32 at, bool whole) {
        f32 w[PER], b[PER], out[PER];
        weight.load(whole, at, w);
        if (MEAN && a.bias) bias.load(whole, at, b);
#pragma unroll
        for (int k = 0; k < PER; k++) {
            f32 normal = f32((f64(v[0][k]) - mean) * rstd);
            out[k] = MEAN && a.bias ? fmaf(normal, w[k], b[k]) : normal * w[k];
        }
        y.store(whole, at, out);
    });
    if (threadIdx.x == 0) {
        if (MEAN) reinterpret_cast<f32*>(a.mean)[r] = f32(mean);
        reinterpret_cast<f32*>(a.rstd)[r] = f32(rstd);
    }
}

// G: the dtype of g, that of x or bf16.
template <class T, class G, bool MEAN>
__device__ __forceinline__ void backward(const NormBackwardArgs& a) {
    constexpr int PER = WIDTH<T>;
    u64 r = row_number();
    if (r >= a.rows) return;
    Rows<T, 2, G> rows({a.g, a.x}, a.dx | a.weight | a.around | a.copy, r, a.n);
    f32 mean = MEAN ? reinterpret_cast<const f32*>(a.mean)[r] : 0.0f;
    f32 rstd = reinterpret_cast<const f32*>(a.rstd)[r];
    RowPointer<T> dx(a.dx, r, a.n), weight(a.weight, 0, a.n), around(a.around, r, a.n);
    RowPointer<bf16, PER> copy(a.copy, r, a.n);
    f32 sum_h = 0.0f, sum_hx = 0.0f;
    // Outside the row g is 0, and so is h.
    rows.each([&](f32(&v)[2][PER], u32 at, bool whole) {
        f32 w[PER];
        weight.load(whole, at, w);
#pragma unroll
        for (int k = 0; k < PER; k++) {
            f32 h = v[0][k] * w[k];
            if (MEAN) sum_h += h;
            sum_hx = fmaf(h, (v[1][k] - mean) * rstd, sum_hx);
        }
    });
    f32 mean_h = MEAN ? sum(sum_h) * a.inverse : 0.0f;
    f32 mean_hx = sum(sum_hx) * a.inverse;
    rows.each([&](f32(&v)[2][PER], u32 at, bool whole) {
        f32 w[PER], other[PER] = {}, out[PER];
        weight.load(whole, at, w);
        if (a.around) around.load(whole, at, other);
#pragma unroll
        for (int k = 0; k < PER; k++) {
            f32 normal = (v[1][k] - mean) * rstd;
            out[k] = rstd * (v[0][k] * w[k] - mean_h - normal * mean_hx);
            if (a.around) out[k] = __fadd_rn(out[k], other[k]);
        }
        dx.store(whole, at, out);
        if (a.copy) copy.store(whole, at, out);
    });
}

// dw, and db if MEAN, of one chunk of rows.
template <class T, class G, bool MEAN>
__device__ __forceinline__ void partial(const ColumnsArgs& a) {
    const G* g = reinterpret_cast<const G*>(a.x[0]);
    const T* x = reinterpret_cast<const T*>(a.x[1]);
    const f32* mean = reinterpret_cast<const f32*>(a.statistics[0]);
    const f32* rstd = reinterpret_cast<const f32*>(a.statistics[1]);
    sum_columns<T, MEAN ? 2 : 1>(a, [&](u64 row, u32 column, u32 count, f32(&total)[MEAN ? 2 : 1][4]) {
        f32 v[4], w[4];
        load_columns(g + row * a.inner, column, count, v);
        load_columns(x + row * a.inner, column, count, w);
        f32 m = MEAN ? mean[row] : 0.0f, s = rstd[row];
#pragma unroll
        for (int k = 0; k < 4; k++) {
            total[0][k] = fmaf(v[k], (w[k] - m) * s, total[0][k]);
            if (MEAN) total[MEAN ? 1 : 0][k] += v[k];
        }
    });
}

// T: the dtype of x, dx and the weights; V: that of y and g.
#define ENTRIES_OF(NORM, MEAN, NAME, T, V) \
    KERNEL(NORM##_fwd_##NAME, ROW_BOUNDS, NormArgs) { forward<T, V, MEAN>(a); } \
    KERNEL(NORM##_bwd_##NAME, ROW_BOUNDS, NormBackwardArgs) { backward<T, V, MEAN>(a); } \
    KERNEL(NORM##_partial_##NAME, COLUMN_THREADS, ColumnsArgs) { partial<T, V, MEAN>(a); }
#define ENTRIES(T) ENTRIES_OF(layer_norm, true, T, T, T) ENTRIES_OF(rms_norm, false, T, T, T)
FLOATS(ENTRIES)
ENTRIES_OF(layer_norm, true, f32_bf16, f32, bf16)
ENTRIES_OF(rms_norm, false, f32_bf16, f32, bf16)
