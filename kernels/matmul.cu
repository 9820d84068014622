// Computes: C (M, N) = f(A (M, K) · B (K, N) + bias) + residual + C for bf16 and f16 operands, batched. The name's two
//   letters say how A and B lie: n as written here, t transposed, so that rows run along M (A) or K (B).
// Reads/Writes: A and B once per tile that needs them, bias, pre and residual once; C and pre once, or, where K is split,
//   f32 partial products, which matmul_reduce sums.
// Plan: one block per BM x BN tile of C. A ring of STAGES slices of A and B, 32 along K, is filled by cp.async ahead of
//   the warps, each of which holds its WM x WN part of the tile in registers and multiplies with mma m16n8k16. The sums
//   then go through shared memory, 64 rows at a time, so that neighbouring threads write neighbours of C.
// Traffic: per block K·(BM + BN)·2 bytes against 2·BM·BN·K flops: 64 flops per byte at 128x128, from L2 mostly, as
//   neighbouring blocks share operands. The roof is the tensor cores at K ≥ 256.
// Shared memory: STAGES·(BM + BN)·64 bytes: 48 KiB or 24 KiB, reused for 64 rows of sums.
// Ordering: wait<STAGES - 2> and the barrier after it publish slice i; the same barrier says that all warps are through
//   with slice i - 1, whose place the next copies take. Barriers around the sums fence their reuse of the ring.
// Numerics: per element one f32 chain over K in steps of 16, whatever M, N and the tile: a row alone has the bits of that
//   row in a batch. Splitting K changes the bits; the number of splits depends on shapes alone.
// Limits: M, N, K < 2³¹. Any alignment: rows that are no multiples of 16 bytes are read by element.
// Source: NVIDIA, PTX ISA 8.4, §9.7.13 (mma, ldmatrix) and §9.7.8.24 (cp.async).
#include "ptx/mma.cuh"
#include "tile/epilogue.cuh"
#include "tile/swizzle.cuh"

enum { BK = 32, STAGES = 3 };

template <int BM_, int BN_, int WARPS_M_, int WARPS_N_>
struct Shape {
    static constexpr int BM = BM_, BN = BN_, WARPS_M = WARPS_M_, WARPS_N = WARPS_N_;
    static constexpr int WM = BM / WARPS_M, WN = BN / WARPS_N, THREADS = 32 * WARPS_M * WARPS_N;
    static constexpr int A_BYTES = BM * BK * 2, STAGE_BYTES = (BM + BN) * BK * 2;
    // The pairs that half a warp stores lie in four rows, which so begin 8 banks apart.
    static constexpr int PITCH = BN + 8;
    static_assert(64 * PITCH * 4 <= STAGES * STAGE_BYTES, "the sums of 64 rows fit into the ring");
};
using Large = Shape<128, 128, 2, 4>;
using Small = Shape<64, 64, 2, 2>;

// One operand: slices of SIZE x BK elements, stored with rows along K (K_INNER) or along its outer axis.
template <class T, int SIZE, int THREADS, bool K_INNER>
struct Operand {
    Stored<T> stored;
    i32 first;  // of the outer axis

    static constexpr int COLS = K_INNER ? BK : SIZE;

    __device__ __forceinline__ Operand(u64 base, i64 offset, i64 stride, u32 outer, u32 k, u32 first, bool aligned)
        : stored{reinterpret_cast<const T*>(base) + offset, stride, i32(K_INNER ? outer : k),
                 i32(K_INNER ? k : outer), aligned},
          first(first) {}

    __device__ __forceinline__ void load(u8* tile, i32 k) const {
        load_tile<K_INNER ? SIZE : BK, COLS, THREADS>(tile, stored, K_INNER ? first : k, K_INNER ? k : first);
    }
};

// acc += the product of one slice.
template <class T, class S, class A, class B, bool A_INNER, bool B_INNER>
__device__ __forceinline__ void multiply(f32 (&acc)[S::WM / 16][S::WN / 8][4], u32 a_tile, u32 b_tile, u32 i, u32 j) {
#pragma unroll
    for (int k = 0; k < BK; k += 16) {
        u32 x[S::WM / 16][4], y[S::WN / 16][4];
#pragma unroll
        for (int m = 0; m < S::WM / 16; m++) load_fragment<A::COLS, A_INNER, false>(x[m], a_tile, i + m * 16, k);
#pragma unroll
        for (int n = 0; n < S::WN / 16; n++) load_fragment<B::COLS, B_INNER, true>(y[n], b_tile, j + n * 16, k);
#pragma unroll
        for (int m = 0; m < S::WM / 16; m++)
#pragma unroll
            for (int n = 0; n < S::WN / 8; n++)
                ptx::mma_16816<T>(acc[m][n], x[m], y[n / 2][n % 2 * 2], y[n / 2][n % 2 * 2 + 1]);
    }
}

// Puts a warp's sums, rows i % 64 and on, columns j and on, into shared memory.
template <class S>
__device__ __forceinline__ void stage(const f32 (&acc)[S::WM / 16][S::WN / 8][4], f32* rows, u32 i, u32 j) {
    u32 lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < S::WM / 16; m++)
#pragma unroll
        for (int n = 0; n < S::WN / 8; n++) {
            f32* at = rows + (i % 64 + m * 16 + lane / 4) * S::PITCH + j + n * 8 + lane % 4 * 2;
            *reinterpret_cast<Vector<f32, 2>*>(at) = {acc[m][n][0], acc[m][n][1]};
            *reinterpret_cast<Vector<f32, 2>*>(at + 8 * S::PITCH) = {acc[m][n][2], acc[m][n][3]};
        }
}

template <class T, class S, bool A_TRANS, bool B_TRANS>
__device__ __forceinline__ void matmul(const MatmulArgs& a) {
    constexpr bool A_INNER = !A_TRANS, B_INNER = B_TRANS;
    using A = Operand<T, S::BM, S::THREADS, A_INNER>;
    using B = Operand<T, S::BN, S::THREADS, B_INNER>;
    u8* ring = ptx::dynamic_shared();
    TileAt at = locate_tile(a, blockIdx.x, S::BM, S::BN);
    u32 row = at.row * S::BM, col = at.col * S::BN;
    u32 from = at.split * a.k_per_split, to = min(from + a.k_per_split, a.k);
    A left(a.a, batch_offset(a, at.batch, a.a_batch), A_INNER ? a.a_row : a.a_col, a.m, to, row, a.flags & A_ALIGNED);
    B right(a.b, batch_offset(a, at.batch, a.b_batch), B_INNER ? a.b_col : a.b_row, a.n, to, col,
            a.flags & B_ALIGNED);
    int slices = to > from ? (to - from + BK - 1) / BK : 0;
    u32 warp = threadIdx.x / 32, i = warp / S::WARPS_N * S::WM, j = warp % S::WARPS_N * S::WN;
    f32 acc[S::WM / 16][S::WN / 8][4] = {};

    auto fetch = [&](int slice) {
        if (slice < slices) {
            u8* tile = ring + slice % STAGES * S::STAGE_BYTES;
            left.load(tile, from + slice * BK);
            right.load(tile + S::A_BYTES, from + slice * BK);
        }
        // Empty groups too: wait counts groups, so there must be one per slice.
        ptx::cp_async_commit();
    };
#pragma unroll
    for (int slice = 0; slice < STAGES - 1; slice++) fetch(slice);
#pragma unroll 1
    for (int slice = 0; slice < slices; slice++) {
        ptx::cp_async_wait<STAGES - 2>();
        __syncthreads();
        fetch(slice + STAGES - 1);
        u32 tile = ptx::shared_address(ring) + slice % STAGES * S::STAGE_BYTES;
        multiply<T, S, A, B, A_INNER, B_INNER>(acc, tile, tile + S::A_BYTES, i, j);
    }
    ptx::cp_async_wait<0>();

    f32* rows = reinterpret_cast<f32*>(ring);
#pragma unroll
    for (int first = 0; first < S::BM; first += 64) {
        __syncthreads();
        if (i / 64 == first / 64) stage<S>(acc, rows, i, j);
        __syncthreads();
        finish_rows<64, S::BN, S::PITCH, S::THREADS, T>(a, at, rows, row + first, col);
    }
}

#define TILES(LAYOUT, A_TRANS, B_TRANS, T)                                                                   \
    KERNEL(matmul_##LAYOUT##_##T, Large::THREADS, MatmulArgs) { matmul<T, Large, A_TRANS, B_TRANS>(a); }     \
    KERNEL(matmul_##LAYOUT##_small_##T, Small::THREADS, MatmulArgs) { matmul<T, Small, A_TRANS, B_TRANS>(a); }
#define LAYOUTS(T)                   \
    TILES(nn, false, false, T)       \
    TILES(nt, false, true, T)        \
    TILES(tn, true, false, T)        \
    TILES(tt, true, true, T)
LAYOUTS(f16)
LAYOUTS(bf16)
