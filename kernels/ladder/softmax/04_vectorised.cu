// Computes: y = e^(x - m)/Σ e^(x - m) along rows of n, m = max x; x and y (R, n) f32, gapless.
// Idea: a lane moves four neighbours, 16 bytes, by one instruction. A warp's load is then 512 bytes in one piece, a quarter
//   as many loads and stores have to be issued, and the maximum is compared, and the sum scaled, once for four numbers.
// Gain: a quarter of the loads and stores, a third fewer instructions, since exponentials stay. Bytes and sectors are what they
//   were: where memory is the limit it helps that more bytes are in flight.
// Reads/Writes: x twice, y once.
// Plan: a warp per row, eight to a block: (32, 8) threads. Exchanges between lanes are those of tile/row.cuh from here on.
// Traffic: 2·R·n·4 bytes in, R·n·4 out. Rows that are no runs of 16 bytes are moved by element.
// Shared memory: none is used.
// Ordering: shuffles are of whole warps.
// Numerics: as before, but a quotient is now a product with 1/Σ, which rounds once more.
// Limits: n < 2³¹.
// Source: NVIDIA, CUDA C++ Best Practices Guide, §9.2 (device memory spaces).
#include "ladder/softmax/args.cuh"
#include "tile/softmax.cuh"

KERNEL(ladder_softmax_vectorised_f32, 256, SoftmaxArgs) {
    u64 r = row_number();
    if (r >= a.rows) return;
    RowPointer<f32> x(a.x, r, a.n), y(a.y, r, a.n);
    bool whole = rows_are_aligned<f32>(a.n, a.x | a.y);

    f32 own = -math::infinity(), sum = 0.0f, v[4];
    for (u32 i = threadIdx.x * 4; i < a.n; i += 32 * 4) {
        x.load(whole, i, v, -math::infinity());
        f32 next = own;
        for (int k = 0; k < 4; k++) next = larger(next, v[k]);
        if (next == -math::infinity()) continue;
        sum *= rescale(own, next);
        for (int k = 0; k < 4; k++) sum += expf(v[k] - next);
        own = next;
    }
    f32 max = largest(own);
    f32 scale = 1.0f / ::sum(sum * rescale(own, max));
    for (u32 i = threadIdx.x * 4; i < a.n; i += 32 * 4) {
        x.load(whole, i, v);
        for (int k = 0; k < 4; k++) v[k] = expf(v[k] - max) * scale;
        y.store(whole, i, v);
    }
}
