// Computes: y = e^(x - m)/Σ e^(x - m) along rows of n, m = max x; x and y (R, n) f32, gapless.
// Idea: a warp takes a row, lane l the elements l, l + 32, l + 64, … Neighbouring lanes read neighbouring elements, so the
//   32 numbers of a load lie in one piece. Each lane ends with a maximum and a sum of its own; five exchanges between
//   lanes make them those of the row.
// Gain: an eighth of the sectors for the same bytes, and 32 times as many threads.
// Reads/Writes: x twice, y once.
// Plan: a warp per row, eight to a block.
// Traffic: 2·R·n·4 bytes in, R·n·4 out. A warp's load touches 4 sectors (5 where the row starts off a multiple of 32 bytes).
// Shared memory: none; lanes exchange registers.
// Ordering: shuffles are of whole warps, since all lanes of one have the same row.
// Numerics: a lane's sum is scaled to the row's maximum before it is added to the others, in a fixed order.
// Limits: n < 2³¹.
// Source: NVIDIA, CUDA C++ Programming Guide, §5.3.2 (coalescing) and §10.22 (warp shuffles).
#include "ladder/softmax/args.cuh"
#include "tile/softmax.cuh"

KERNEL(ladder_softmax_warp_per_row_f32, 256, SoftmaxArgs) {
    u32 lane = threadIdx.x % 32;
    u64 r = (u64(blockIdx.x) * blockDim.x + threadIdx.x) / 32;
    if (r >= a.rows) return;
    const f32* x = reinterpret_cast<const f32*>(a.x) + r * a.n;
    f32* y = reinterpret_cast<f32*>(a.y) + r * a.n;

    f32 own = -math::infinity(), sum = 0.0f;
    for (u32 i = lane; i < a.n; i += 32) {
        f32 v = x[i], next = larger(own, v);
        if (next == -math::infinity()) continue;
        sum = sum * expf(own - next) + expf(v - next);
        own = next;
    }
    // After the exchange with lanes 16, 8, 4, 2 and 1 away every lane has seen all 32.
    f32 max = own;
    for (int step = 16; step > 0; step /= 2) max = larger(max, __shfl_xor_sync(~0u, max, step));
    // A lane that had no element has 0·e^(-∞ - max); `rescale` (tile/softmax.cuh) makes that 0 also where max is -∞.
    sum *= rescale(own, max);
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
    for (u32 i = lane; i < a.n; i += 32) y[i] = expf(x[i] - max) / sum;
}
