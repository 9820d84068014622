// Computes: C (M, N) = A (M, K) · B (K, N) in bf16, sums in f32.
// Idea: none yet. A thread takes an element of C and goes along a row of A and down a column of B.
// Reads/Writes: for each element of C a row of A and a column of B; C once.
// Plan: blocks of 32 x 8 threads; neighbouring threads have neighbouring rows.
// Traffic: 4·M·N·K bytes in, 2·M·N out: one flop per 2 bytes. The 32 threads of a warp read A from 32 rows, so its load of
//   64 bytes touches 32 sectors of 32 bytes, and so does its store to C.
// Shared memory: none.
// Ordering: no thread meets another.
// Numerics: per element one f32 chain over K.
// Limits: M, N < 2¹⁹.
// Source: the formula. On an A6000 in f32 such a kernel has 1.3 % of cuBLAS's speed (Boehm, 2022,
//   https://siboehm.com/articles/22/CUDA-MMM), whose ladder this one follows up to the register tile.
#include "ladder/matmul/args.cuh"

KERNEL(ladder_matmul_naive_bf16, 256, ProductArgs) {
    u32 row = blockIdx.x * 32 + threadIdx.x, col = blockIdx.y * 8 + threadIdx.y;
    if (row >= a.m || col >= a.n) return;
    const bf16* x = left(a) + u64(row) * a.k;
    const bf16* y = right(a) + col;
    f32 sum = 0.0f;
    for (u32 k = 0; k < a.k; k++) sum = fmaf(widen(x[k]), widen(y[u64(k) * a.n]), sum);
    result(a)[u64(row) * a.n + col] = narrow<bf16>(sum);
}
