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

// Where a lane reads 16x16 blocks of a part of a tile that begins at (i, k): as the A operands of an mma, or as two B
// operands each: B 8x16 number h in r[2·h], r[2·h + 1] if FLIP is set. k is the axis that the mma sums over. K_INNER: a row
// of the tile runs along k; otherwise a row is one k and runs along i, and the load transposes.
//
// Sixteen columns on are two chunks on, which under the swizzle is a bit of the offset turned round. So what differs between
// lanes is one number for each block of a line of 128 bytes (or of a row of 64), and all else is known to the compiler: the
// part begins at a multiple of the columns that it has of such a line.
template <int COLS, bool K_INNER, bool FLIP>
struct Fragments {
    enum { LINE = COLS == 32 ? 2 : 4 };
    u32 at[LINE];

    __device__ __forceinline__ Fragments(u32 i, u32 k) {
        u32 lane = threadIdx.x % 32, first = lane / 8 % 2 * 8, second = lane / 16 * 8;
        i += FLIP ? second : first;
        k += FLIP ? first : second;
        u32 from = K_INNER ? swizzled<COLS>(i + lane % 8, k) : swizzled<COLS>(k + lane % 8, i);
#pragma unroll
        for (int block = 0; block < LINE; block++) at[block] = from ^ block * 32;
    }

    // Block (i, k), counted from the part's first.
    __device__ __forceinline__ void load(u32 (&r)[4], u32 tile, int i, int k) const {
        int across = K_INNER ? k : i, down = K_INNER ? i : k;
        u32 from = tile + at[across % LINE] + (across / LINE * LINE * 32 + down * 16 * COLS * 2);
        if (K_INNER) {
            ptx::ldmatrix_x4(r, from);
        } else {
            ptx::ldmatrix_x4_trans(r, from);
        }
    }
};

// The one block whose first element is (i, k).
template <int COLS, bool K_INNER, bool FLIP>
__device__ __forceinline__ void load_fragment(u32 (&r)[4], u32 tile, u32 i, u32 k) {
    Fragments<COLS, K_INNER, FLIP>(i, k).load(r, tile, 0, 0);
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
// are read by element and are in place when this returns. A barrier makes either visible. UNROLL: chunks at a time.
template <int ROWS, int COLS, int THREADS, int UNROLL = ROWS * COLS / 8 / THREADS, class T>
__device__ __forceinline__ void load_tile(u8* tile, const Stored<T>& from, i32 row, i32 col) {
    constexpr int CHUNKS = COLS / 8, COUNT = ROWS * CHUNKS;
    static_assert(COUNT % THREADS == 0, "all threads copy the same number of chunks");
    if (from.aligned) {
        u32 to = ptx::shared_address(tile);
#pragma unroll UNROLL
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

// One thread's part in copying tiles of ROWS x COLS that lie inside of an aligned matrix. It is the same for every tile but
// for where the tile lies: so next to nothing is left to compute when one is copied.
template <int ROWS, int COLS, int THREADS, class T>
struct TileCopy {
    enum { CHUNKS = COLS / 8, COUNT = ROWS * CHUNKS / THREADS, STEP = THREADS / CHUNKS };
    static_assert(ROWS % STEP == 0 && (STEP % 8 == 0 || COLS != 32), "the swizzle of a thread's chunks is known from its first");
    const T* from;
    i64 step;
    u32 to;

    __device__ __forceinline__ TileCopy(const Stored<T>& x, i32 row, i32 col) {
        u32 r = threadIdx.x / CHUNKS, c = threadIdx.x % CHUNKS * 8;
        from = x.base + ((row + i32(r)) * x.stride + (col + i32(c)));
        step = STEP * x.stride;
        to = swizzled<COLS>(r, c);
    }

    // Starts the copy of the tile that lies `offset` elements after the first.
    __device__ __forceinline__ void start(u32 tile, i64 offset) const {
        const T* source = from + offset;
#pragma unroll
        for (int n = 0; n < COUNT; n++)
            ptx::cp_async_16(tile + (to ^ n * STEP % 8 * 16) + n * STEP * COLS * 2, source + n * step);
    }
};
