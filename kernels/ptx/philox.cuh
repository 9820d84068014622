// Philox4x32-10, the counter-based generator of crates/tensor/src/rng.rs, bit for bit.
#pragma once
#include "ptx/convert.cuh"

namespace philox {

struct Block {
    u32 word[4];
};

// Four 32-bit words for one 128-bit counter (`counter`, `stream`) under one 64-bit key.
__device__ __forceinline__ Block block(u64 key, u64 stream, u64 counter) {
    u32 c0 = u32(counter), c1 = u32(counter >> 32), c2 = u32(stream), c3 = u32(stream >> 32);
    u32 k0 = u32(key), k1 = u32(key >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        u64 p0 = u64(0xd2511f53u) * c0, p1 = u64(0xcd9e8d57u) * c2;
        c0 = u32(p1 >> 32) ^ c1 ^ k0;
        c2 = u32(p0 >> 32) ^ c3 ^ k1;
        c1 = u32(p1);
        c3 = u32(p0);
        // The golden ratio and √3 - 1 in 32 bits.
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return {{c0, c1, c2, c3}};
}

// What a recorded launch adds to its stream: 2³² for each round that the number at `advance` counts.
__device__ __forceinline__ u64 rounds(u64 advance) {
    return advance ? *reinterpret_cast<const u64*>(advance) << 32 : 0;
}

// 32 random bits as a number in [0, 1), a multiple of 2⁻²⁴.
__device__ __forceinline__ f32 unit(u32 bits) { return f32(bits >> 8) * (1.0f / 16777216.0f); }

}  // namespace philox
