// Computes: C (M, N) = f(A (M, K) · B (K, N) + bias) + residual + C for bf16 and f16 operands, batched. The name's two
//   letters say how A and B lie: n as written here, t transposed, so that rows run along M (A) or K (B).
// Reads/Writes: A and B once per tile that needs them, bias, pre and residual once; C and pre once, or, where K is split,
//   f32 partial products, which matmul_reduce sums.
// Plan: one block per BM x BN tile of C. A ring of STAGES slices of A and B, 32 along K, is filled by cp.async ahead of
//   the warps, each of which holds its WM x WN part of the tile in registers and multiplies with mma m16n8k16. It reads the
//   operands of the next 16 of K while it multiplies these: each number read is used WM or WN times, 64 where C is large.
//   The sums then go through shared memory, 64 rows at a time, so that neighbouring threads write neighbours of C.
// Traffic: per block K·(BM + BN)·2 bytes against 2·BM·BN·K flops: 85 flops per byte at 128x256, from L2 mostly, as
//   neighbouring blocks share operands. The roof is the tensor cores at K ≥ 256.
// Shared memory: STAGES·(BM + BN)·64 bytes: 96, 48 or 24 KiB, reused for 64 rows of sums.
// Ordering: wait<STAGES - 2> and the barrier after it publish slice i + 1 before its first operands are read; the same
//   barrier says that all warps have read slice i, whose place the next copies take. Barriers around the sums fence their
//   reuse of the ring.
// Numerics: per element one f32 chain over K in steps of 16, whatever M, N and the tile: a row alone has the bits of that
//   row in a batch. Splitting K changes the bits; the number of splits depends on shapes alone.
// Limits: M, N, K < 2³¹. Any alignment: rows that are no multiples of 16 bytes are read by element.
// Source: NVIDIA, PTX ISA 8.4, §9.7.13 (mma, ldmatrix) and §9.7.8.24 (cp.async).
#include "ptx/mma.cuh"
#include "tile/epilogue.cuh"
#include "tile/halves.cuh"
#include "tile/swizzle.cuh"

enum { BK = 32 };

template <int BM_, int BN_, int WARPS_M_, int WARPS_N_, int STAGES_>
struct Shape {
    static constexpr int BM = BM_, BN = BN_, WARPS_M = WARPS_M_, WARPS_N = WARPS_N_, STAGES = STAGES_;
    static constexpr int WM = BM / WARPS_M, WN = BN / WARPS_N, THREADS = 32 * WARPS_M * WARPS_N;
    static constexpr int A_BYTES = BM * BK * 2, STAGE_BYTES = (BM + BN) * BK * 2;
    // The pairs that half a warp stores lie in four rows, which so begin 8 banks apart.
    static constexpr int PITCH = BN + 8;
    static_assert(64 * PITCH * 4 <= STAGES * STAGE_BYTES, "the sums of 64 rows fit into the ring");
};
using Wide = Shape<128, 256, 2, 4, 4>;
using Large = Shape<128, 128, 2, 2, 3>;
using Small = Shape<64, 64, 2, 2, 3>;

// One operand: slices of SIZE x BK elements, stored with rows along K (K_INNER) or along its outer axis.
template <class T, int SIZE, int THREADS, bool K_INNER>
struct Operand {
    static constexpr int ROWS = K_INNER ? SIZE : BK, COLS = K_INNER ? BK : SIZE;

    Stored<T> stored;
    i32 first, begin;  // of the outer axis, of K
    TileCopy<ROWS, COLS, THREADS, T> copy;

    __device__ __forceinline__ Operand(u64 base, i64 offset, i64 stride, u32 outer, u32 k, u32 first, u32 begin, bool aligned)
        : stored{reinterpret_cast<const T*>(base) + offset, stride, i32(K_INNER ? outer : k),
                 i32(K_INNER ? k : outer), aligned},
          first(first), begin(begin), copy(stored, K_INNER ? first : begin, K_INNER ? begin : first) {}

    // Whether all of the outer axis is there, to be read 16 bytes at a time.
    __device__ __forceinline__ bool is_whole() const {
        return stored.aligned && first + SIZE <= (K_INNER ? stored.rows : stored.cols);
    }

    // Slice i of an operand that is whole; it has all of its K.
    __device__ __forceinline__ void load_whole(u32 tile, i32 i) const {
        copy.start(tile, K_INNER ? i64(i * BK) : i * (BK * stored.stride));
    }

    __device__ __forceinline__ void load_any(u8* tile, i32 i) const {
        i32 k = begin + i * BK;
        load_tile<ROWS, COLS, THREADS, 1>(tile, stored, K_INNER ? first : k, K_INNER ? k : first);
    }
};

// A warp's share of 16 of K of both operands.
template <class S>
struct Step {
    u32 a[S::WM / 16][4], b[S::WN / 16][4];
};

// acc += the product of one step. Every other row of blocks goes backwards, so that neighbours share an operand.
template <class T, class S>
__device__ __forceinline__ void multiply(f32 (&acc)[S::WM / 16][S::WN / 8][4], const Step<S>& x) {
#pragma unroll
    for (int m = 0; m < S::WM / 16; m++)
#pragma unroll
        for (int i = 0; i < S::WN / 8; i++) {
            int n = m % 2 ? S::WN / 8 - 1 - i : i;
            ptx::mma_16816<T>(acc[m][n], x.a[m], x.b[n / 2][n % 2 * 2], x.b[n / 2][n % 2 * 2 + 1]);
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
    A left(a.a, batch_offset(a, at.batch, a.a_batch), A_INNER ? a.a_row : a.a_col, a.m, to, row, from, a.flags & A_ALIGNED);
    B right(a.b, batch_offset(a, at.batch, a.b_batch), B_INNER ? a.b_col : a.b_row, a.n, to, col, from,
            a.flags & B_ALIGNED);
    int slices = to > from ? (to - from + BK - 1) / BK : 0;
    int whole = to > from && left.is_whole() && right.is_whole() ? (to - from) / BK : 0;
    u32 warp = threadIdx.x / 32, i = warp / S::WARPS_N * S::WM, j = warp % S::WARPS_N * S::WN;
    f32 acc[S::WM / 16][S::WN / 8][4] = {};

    u32 begin = ptx::shared_address(ring), end = begin + S::STAGES * S::STAGE_BYTES;
    auto after = [&](u32 place) { return place + S::STAGE_BYTES == end ? begin : place + S::STAGE_BYTES; };
    auto fetch = [&](int slice, u32 place) {
        if (slice < whole) {
            left.load_whole(place, slice);
            right.load_whole(place + S::A_BYTES, slice);
        } else if (slice < slices) {
            u8* tile = ring + (place - begin);
            left.load_any(tile, slice);
            right.load_any(tile + S::A_BYTES, slice);
        }
        // Empty groups too: wait counts groups, so there must be one per slice.
        ptx::cp_async_commit();
    };
    Fragments<A::COLS, A_INNER, false> rows_of_a(i, 0);
    Fragments<B::COLS, B_INNER, true> columns_of_b(j, 0);
    Step<S> steps[2];
    auto load = [&](u32 place, int k) {
#pragma unroll
        for (int m = 0; m < S::WM / 16; m++) rows_of_a.load(steps[k].a[m], place, m, k);
#pragma unroll
        for (int n = 0; n < S::WN / 16; n++) columns_of_b.load(steps[k].b[n], place + S::A_BYTES, n, k);
    };
    // Unrolled it gains nothing, and the driver compiles much longer. The way out is unrolled: as a loop it costs registers
    // that the turns below need for addresses.
#pragma unroll 1
    for (int slice = 0; slice < S::STAGES - 1; slice++) fetch(slice, begin + slice * S::STAGE_BYTES);
    u32 place = begin, free = begin + (S::STAGES - 1) * S::STAGE_BYTES;
    ptx::cp_async_wait<S::STAGES - 2>();
    __syncthreads();
    if (slices > 0) load(place, 0);
#pragma unroll 1
    for (int slice = 0; slice < slices; slice++) {
        load(place, 1);
        fetch(slice + S::STAGES - 1, free);
        multiply<T, S>(acc, steps[0]);
        ptx::cp_async_wait<S::STAGES - 2>();
        __syncthreads();
        // The last slice has none after it: what is read again is not used.
        if (slice + 1 < slices) place = after(place);
        free = after(free);
        load(place, 0);
        multiply<T, S>(acc, steps[1]);
    }
    ptx::cp_async_wait<0>();

    bool is_plain = a.splits > 1 || (a.activation == IDENTITY && !a.residual && !(a.flags & ACCUMULATE));
    f32* rows = reinterpret_cast<f32*>(ring);
#pragma unroll
    for (int first = 0; first < S::BM; first += 64) {
        __syncthreads();
        if (i / 64 == first / 64) stage<S>(acc, rows, i, j);
        __syncthreads();
        if (is_plain) {
            finish_plain_rows<64, S::BN, S::PITCH, S::THREADS, T>(a, at, rows, row + first, col);
        } else {
            finish_rows<64, S::BN, S::PITCH, S::THREADS, T>(a, at, rows, row + first, col);
        }
    }
}

#define WIDE(LAYOUT, A_TRANS, B_TRANS, T) \
    KERNEL(matmul_##LAYOUT##_wide_##T, Wide::THREADS, MatmulArgs) { matmul<T, Wide, A_TRANS, B_TRANS>(a); }
#define TILES(LAYOUT, A_TRANS, B_TRANS, T)                                                                \
    KERNEL(matmul_##LAYOUT##_##T, Large::THREADS, MatmulArgs) { matmul<T, Large, A_TRANS, B_TRANS>(a); }  \
    KERNEL(matmul_##LAYOUT##_small_##T, Small::THREADS, MatmulArgs) { matmul<T, Small, A_TRANS, B_TRANS>(a); }
// Both operands transposed is too rare for another tile that everybody would wait for.
#define LAYOUTS(T)                                          \
    TILES(nn, false, false, T) WIDE(nn, false, false, T)    \
    TILES(nt, false, true, T) WIDE(nt, false, true, T)      \
    TILES(tn, true, false, T) WIDE(tn, true, false, T)      \
    TILES(tt, true, true, T)
FOR_HALF(LAYOUTS)
