// Computes: for each row of V logits l the next token. Greedy: the largest. Else with weights w = e^((l - max l)/t), tokens
//   in the order of falling logits, equal ones by id: the first k; of those the shortest run that holds a share p of their
//   sum; of those the ones with w ≥ m; of those the one in which u·Σw falls, u uniform in [0, 1).
// Reads/Writes: the logits and the weights some 25 times per cut and draw, from the cache; a token and a flag per row.
// Plan: a block per row. No sort: the place of a token in the order is a number of 64 bits, its key (the logit's bits, made
//   to ascend) above its inverted id; the token at a point of the sum is found two bits at a time, by summing what lies at
//   or above each of three pivots.
// Traffic: (V + V·passes)·12 bytes of cache at worst; the roof is latency.
// Shared memory: 512 bytes static of partial sums.
// Ordering: two barriers around each exchange of partial sums; a thread reads the weights that it wrote itself.
// Numerics: weights are integers in units of 2⁻⁴⁰ of the largest, so that sums have no order. e^x is a fixed chain of
//   IEEE operations in f64, none fused: the host's sampler has the same, and picks the same token from the same logits.
// Limits: V ≤ 2²², for sums below 2⁶³. On GPUs with few f64 units the weights are the slow part.
// Source: Holtzman et al., The Curious Case of Neural Text Degeneration, arXiv 1904.09751, §3.1, for the share p.
#include "ptx/philox.cuh"
#include "tile/dtype.cuh"

enum { SAMPLE_THREADS = 512, SAMPLE_WARPS = SAMPLE_THREADS / 32 };

// What is said of a row beside its token.
enum { FINE = 0, HAS_NAN = 1, ALL_EXCLUDED = 2 };

struct SampleArgs {
    u64 tokens;    // u32 per row; the position of the first NaN if there is one
    u64 flags;     // u32 per row
    u64 logits;
    u64 weights;   // room for V u64 per row; not used if greedy
    u64 advance;   // one u64 that is added to draw; 0: none
    u64 seed, stream, draw;  // row r takes number `draw` of stream `stream` + r
    f64 temperature, top_p;
    u64 least;     // weights below it are cut off
    u32 n, top_k;  // top_k = 0: all
    u32 is_greedy, id_bits;  // ids are below 2^id_bits, which is even
};

// Bits of a float that ascend with it, -0 below +0.
__device__ __forceinline__ u32 ascending(f32 x) {
    u32 bits = __float_as_uint(x);
    return bits ^ (bits >> 31 ? 0xffffffffu : 0x80000000u);
}

// The place of a token in the order: the likeliest has the largest, and no two have the same.
__device__ __forceinline__ u64 place(f32 logit, u32 id) { return u64(ascending(logit)) << 32 | ~id; }

struct Triple {
    u64 at[3];
};

// Sums of three numbers over the block, in no order that matters.
__device__ __forceinline__ Triple sum(Triple v) {
    __shared__ u64 partial[3][SAMPLE_WARPS];
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int k = 0; k < 3; k++) {
#pragma unroll
        for (int step = 16; step > 0; step /= 2) v.at[k] += __shfl_xor_sync(0xffffffffu, v.at[k], step);
    }
    // The partial sums of an earlier exchange may still be read.
    __syncthreads();
#pragma unroll
    for (int k = 0; k < 3; k++) {
        if (lane == 0) partial[k][warp] = v.at[k];
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < 3; k++) {
        v.at[k] = lane < SAMPLE_WARPS ? partial[k][lane] : 0;
#pragma unroll
        for (int step = SAMPLE_WARPS / 2; step > 0; step /= 2) v.at[k] += __shfl_xor_sync(0xffffffffu, v.at[k], step);
        v.at[k] = __shfl_sync(0xffffffffu, v.at[k], 0);
    }
    return v;
}

__device__ __forceinline__ u64 largest(u64 v) {
    __shared__ u64 partial[SAMPLE_WARPS];
    u32 lane = threadIdx.x % 32;
#pragma unroll
    for (int step = 16; step > 0; step /= 2) v = max(v, __shfl_xor_sync(0xffffffffu, v, step));
    __syncthreads();
    if (lane == 0) partial[threadIdx.x / 32] = v;
    __syncthreads();
    v = lane < SAMPLE_WARPS ? partial[lane] : 0;
#pragma unroll
    for (int step = SAMPLE_WARPS / 2; step > 0; step /= 2) v = max(v, __shfl_xor_sync(0xffffffffu, v, step));
    return __shfl_sync(0xffffffffu, v, 0);
}

// 2⁴⁰·e^x, rounded to the nearest, for x ≤ 0. Each line is one rounding, the same on any machine.
__device__ __forceinline__ u64 weight(f64 x) {
    if (!(x > -29.0)) return 0;
    // x = n·ln 2 + r: adding 1.5·2⁵² leaves the nearest integer in the low bits. ln 2 in two parts, the first short.
    f64 shifted = __dadd_rn(__dmul_rn(x, 1.4426950408889634), 6755399441055744.0);
    f64 n = __dadd_rn(shifted, -6755399441055744.0);
    f64 r = __dadd_rn(x, -__dmul_rn(n, 0.693147180369123816490));
    r = __dadd_rn(r, -__dmul_rn(n, 1.90821492927058770002e-10));
    // Taylor's series: |r| ≤ 0.35, and the term after the last is below 2⁻⁵³.
    f64 y = 1.0 / 6227020800.0;
    const f64 terms[13] = {1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0, 1.0 / 40320.0,
                           1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0};
#pragma unroll
    for (int k = 0; k < 13; k++) y = __dadd_rn(__dmul_rn(y, r), terms[k]);
    // Times 2^(n + 40): exact, since n > -43.
    f64 scale = __longlong_as_double((i64(n) + 40 + 1023) << 52);
    return u64(__double2ull_rz(__dadd_rn(__dmul_rn(y, scale), 0.5)));
}

template <class T>
struct Row {
    const T* logits;
    u64* weights;
    u32 n, id_bits;

    __device__ __forceinline__ f32 logit(u32 id) const { return widen(logits[id]); }

    // The last place at or above which more than `point` lies, and what lies there: tokens count 1 each if COUNT, else
    // their weights. There is such a place: all together are more than `point`.
    template <bool COUNT>
    __device__ __forceinline__ u64 find(u64 point, u64& above) const {
        // The bits of an inverted id above id_bits are ones.
        u64 found = u64(0xffffffffu >> id_bits) << id_bits;
        for (int shift = 62; shift >= 0; shift -= 2) {
            if (shift == 30) shift = int(id_bits) - 2;
            if (shift < 0) break;
            Triple sums = {{0, 0, 0}};
            for (u32 id = threadIdx.x; id < n; id += SAMPLE_THREADS) {
                u64 at = place(logit(id), id), w = COUNT ? 1 : weights[id];
#pragma unroll
                for (u64 k = 0; k < 3; k++) {
                    if (at >= (found | (k + 1) << shift)) sums.at[k] += w;
                }
            }
            sums = sum(sums);
            u64 digit = 0;
#pragma unroll
            for (int k = 0; k < 3; k++) {
                if (sums.at[k] > point) {
                    digit = k + 1;
                    above = sums.at[k];
                }
            }
            found |= digit << shift;
        }
        return found;
    }

    // The weight of all tokens at or above a place, and of those among them that are at least `least`.
    __device__ __forceinline__ Triple above(u64 from, u64 least) const {
        Triple sums = {{0, 0, 0}};
        for (u32 id = threadIdx.x; id < n; id += SAMPLE_THREADS) {
            u64 w = weights[id];
            if (place(logit(id), id) < from) continue;
            sums.at[0] += w;
            if (w >= least) sums.at[1] += w;
        }
        return sum(sums);
    }
};

// At least 1, at most `total`: what lies before the end of the share p.
__device__ __forceinline__ u64 share(u64 total, f64 p) {
    u64 part = __double2ull_ru(__dmul_rn(__ull2double_rn(total), p));
    return min(max(part, u64(1)), total);
}

template <class T>
__device__ __forceinline__ u32 draw(const SampleArgs& a, const Row<T>& row, f32 top) {
    for (u32 id = threadIdx.x; id < a.n; id += SAMPLE_THREADS) {
        f32 x = row.logit(id);
        // Equal logits have the full weight, also where ∞ - ∞ is no number.
        row.weights[id] = x == top ? 1ull << 40 : weight(__ddiv_rn(f64(x) - f64(top), a.temperature));
    }
    u64 from = 0, kept = 0;
    if (a.top_k > 0 && a.top_k < a.n) from = row.template find<true>(a.top_k - 1, kept);
    Triple sums = row.above(from, a.least);
    kept = sums.at[1];
    if (a.top_p < 1.0) {
        u64 run = sums.at[0];
        row.template find<false>(share(sums.at[0], a.top_p) - 1, run);
        kept = min(kept, run);
    }
    u64 number = a.draw + (a.advance ? *reinterpret_cast<const u64*>(a.advance) : 0);
    philox::Block random = philox::block(a.seed, a.stream + blockIdx.x, number / 4);
    u32 bits = random.word[0];
#pragma unroll
    for (u32 k = 1; k < 4; k++) {
        if (number % 4 == k) bits = random.word[k];
    }
    u64 unused = 0;
    return ~u32(row.template find<false>(__umul64hi(u64(bits) << 32, kept), unused));
}

template <class T>
__device__ __forceinline__ void sample(const SampleArgs& a) {
    u64 r = blockIdx.x;
    Row<T> row = {reinterpret_cast<const T*>(a.logits) + r * a.n, reinterpret_cast<u64*>(a.weights) + r * a.n, a.n,
                  a.id_bits};
    // The likeliest token, and the first NaN: the one whose inverted id is the largest.
    u64 best = 0, broken = 0;
    for (u32 id = threadIdx.x; id < a.n; id += SAMPLE_THREADS) {
        f32 x = row.logit(id);
        if (x != x) broken = max(broken, u64(~id) | 1ull << 32);
        else best = max(best, place(x, id));
    }
    best = largest(best);
    broken = largest(broken);
    u32 token = ~u32(best), flag = FINE;
    if (broken != 0) {
        token = ~u32(broken);
        flag = HAS_NAN;
    } else if (row.logit(token) == __uint_as_float(0xff800000u)) {
        flag = ALL_EXCLUDED;
    } else if (!a.is_greedy) {
        token = draw(a, row, row.logit(token));
    }
    if (threadIdx.x != 0) return;
    reinterpret_cast<u32*>(a.tokens)[r] = token;
    reinterpret_cast<u32*>(a.flags)[r] = flag;
}

#define ENTRY(T) \
    KERNEL(sample_row_##T, SAMPLE_THREADS, SampleArgs) { sample<T>(a); }
FLOATS(ENTRY)
