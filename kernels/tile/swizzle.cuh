// Tiles of 16-bit elements in shared memory, in chunks of 16 bytes, and their fragments.
//
// A row of COLS elements is COLS/8 chunks; chunk c of row r lies at place c ^ (r % 8) of its row, or, where a row has
// only four, at c ^ (r/2 % 4). So the eight rows that one ldmatrix phase reads at one column, and the neighbours that a
// copy writes, lie in different banks: no conflicts without padding.
#pragma once
#include "ptx/cp_async.cuh"
#include "ptx/ldmatrix.cuh"
#include "tile/dtype.cuh"

// Byte offset of element (row, col), col a multiple of 8.
template <int COLS>
__device__ __forceinline__ u32 swizzled(u32 row, u32 col) {
    static_assert(COLS % 64 == 0 || COLS == 32, "a row is 64 bytes or whole 128-byte lines");
    u32 chunk = col / 8 ^ (COLS == 32 ? row / 2 % 4 : row % 8);
    return row * (COLS * 2) + chunk * 16;
}

// A 16x16 block of a tile as the A operand of an mma, or as two B operands: B 8x16 number h in r[2·h], r[2·h + 1] if
// FLIP is set. (i, k) is the block's first element, k the axis that the mma sums over. K_INNER: a row of the tile runs
// along k; otherwise a row is one k and runs along i, and the load transposes.
template <int COLS, bool K_INNER, bool FLIP>
__device__ __forceinline__ void load_fragment(u32 (&r)[4], u32 tile, u32 i, u32 k) {
    u32 lane = threadIdx.x % 32, first = lane / 8 % 2 * 8, second = lane / 16 * 8;
    i += FLIP ? second : first;
    k += FLIP ? first : second;
    if (K_INNER) {
        ptx::ldmatrix_x4(r, tile + swizzled<COLS>(i + lane % 8, k));
    } else {
        ptx::ldmatrix_x4_trans(r, tile + swizzled<COLS>(k + lane % 8, i));
    }
}

// A matrix in global memory: `rows` rows of `cols` neighbours, the rows `stride` elements apart. `aligned`: base and
// stride are multiples of 16 bytes.
template <class T>
struct Stored {
    const T* base;
    i64 stride;
    i32 rows, cols;
    bool aligned;
};

// Starts the copy of elements (row.., col..) into a tile of ROWS x COLS; what lies outside is zero. Unaligned matrices
// are read by element and are in place when this returns. A barrier makes either visible.
template <int ROWS, int COLS, int THREADS, class T>
__device__ __forceinline__ void load_tile(u8* tile, const Stored<T>& from, i32 row, i32 col) {
    constexpr int CHUNKS = COLS / 8, COUNT = ROWS * CHUNKS;
    static_assert(COUNT % THREADS == 0, "all threads copy the same number of chunks");
    if (from.aligned) {
        u32 to = ptx::shared_address(tile);
#pragma unroll
        for (int n = 0; n < COUNT / THREADS; n++) {
            int i = n * THREADS + threadIdx.x, r = i / CHUNKS, c = i % CHUNKS * 8;
            int left = row + r < from.rows ? min(max(from.cols - col - c, 0), 8) : 0;
            const T* source = left > 0 ? from.base + (row + r) * from.stride + (col + c) : from.base;
            ptx::cp_async_16(to + swizzled<COLS>(r, c), source, left * 2);
        }
        return;
    }
#pragma unroll 1
    for (int i = threadIdx.x; i < COUNT; i += THREADS) {
        int r = i / CHUNKS, c = i % CHUNKS * 8;
        int left = row + r < from.rows ? from.cols - col - c : 0;
        const T* source = from.base + (row + r) * from.stride + (col + c);
        u32 word[4];
#pragma unroll
        for (int e = 0; e < 4; e++) {
            u32 low = 2 * e < left ? source[2 * e].bits : 0, high = 2 * e + 1 < left ? source[2 * e + 1].bits : 0;
            word[e] = low | high << 16;
        }
        *reinterpret_cast<uint4*>(tile + swizzled<COLS>(r, c)) = make_uint4(word[0], word[1], word[2], word[3]);
    }
}
