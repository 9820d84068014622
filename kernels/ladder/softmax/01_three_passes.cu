// Computes: y = e^(x - m)/Σ e^(x - m) along rows of n, m = max x; x and y (R, n) f32, gapless.
// Idea: none yet. A thread takes a row and does what the formula says: the largest number, then the sum, then the
//   quotients. Taking m away first changes nothing but that no exponential overflows.
// Reads/Writes: x three times, y once.
// Plan: a thread per row, 256 to a block.
// Traffic: 3·R·n·4 bytes in, R·n·4 out. Neighbouring threads read n elements apart, so a warp's load, of 128 bytes, touches
//   32 sectors of 32 bytes: seven eighths of what the memory brings are thrown away, or wait in the cache for the next turn.
// Shared memory: none.
// Ordering: no thread meets another.
// Numerics: sums in f32, one after another. A row of -∞ alone is NaN; NaN spreads over its row.
// Limits: n < 2³¹. Few rows leave most of the GPU idle.
// Source: the formula; every later rung is measured against this one.
#include "ladder/softmax/args.cuh"
#include "tile/row.cuh"

KERNEL(ladder_softmax_three_passes_f32, 256, SoftmaxArgs) {
    u64 r = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (r >= a.rows) return;
    const f32* x = reinterpret_cast<const f32*>(a.x) + r * a.n;
    f32* y = reinterpret_cast<f32*>(a.y) + r * a.n;

    f32 max = -math::infinity();
    for (u32 i = 0; i < a.n; i++) max = larger(max, x[i]);
    f32 sum = 0.0f;
    for (u32 i = 0; i < a.n; i++) sum += expf(x[i] - max);
    for (u32 i = 0; i < a.n; i++) y[i] = expf(x[i] - max) / sum;
}
