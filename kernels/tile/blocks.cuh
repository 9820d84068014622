// Weights in the blocks of a GGUF file, 32 neighbours (a unit) at a time: where their parts lie, and the numbers that they
// stand for, bit for bit those of the host (crates/gguf/src/blocks.rs).
//
// A kind is a struct: a block has BYTES bytes and UNITS units, load(block, i) reads the parts of unit i, and four(i, v) makes
// numbers of its weights 4·i to 4·i + 3. Blocks follow each other without gaps from a multiple of 16 bytes on.
#pragma once
#include "tile/vector.cuh"

enum { UNIT = 32 };

namespace blocks {

// N words from an address that is a multiple of STEP. Words are moved whole also where STEP is 2: an address between two of
// them takes the last half of the word before, which belongs to the weights, too, and shifts.
template <int STEP, int N>
__device__ __forceinline__ void load_words(u32 (&to)[N], const u8* from) {
    if constexpr (STEP == 16) {
#pragma unroll
        for (int i = 0; i < N; i += 4) {
            Vector<u32, 4> words = load_vector<4>(reinterpret_cast<const u32*>(from) + i);
#pragma unroll
            for (int j = 0; j < 4; j++) to[i + j] = words.at[j];
        }
        return;
    }
    u32 past = STEP == 2 ? u32(u64(from)) & 2 : 0;
    const u32* words = reinterpret_cast<const u32*>(from - past);
#pragma unroll
    for (int i = 0; i < N; i++) to[i] = words[i];
    if (past) {
        // A whole word might end behind the weights.
        u32 last = *reinterpret_cast<const u16*>(words + N);
#pragma unroll
        for (int i = 0; i < N; i++) to[i] = __funnelshift_r(to[i], i + 1 < N ? to[i + 1] : last, 16);
    }
}

__device__ __forceinline__ f32 half_at(const u8* from) {
    return ptx::f32_from_f16(*reinterpret_cast<const u16*>(from));
}

// Four bytes less `offset`, times `scale`. A byte in the low bits of 2²³ is a float at the cost of one instruction, and the
// difference is exact; the product rounds as on the host, never fused with what follows.
__device__ __forceinline__ void scaled(f32 (&v)[4], u32 bytes, i32 offset, f32 scale) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
        f32 whole = __uint_as_float(__byte_perm(bytes, 0x4b000000u, 0x7440 + j)) - f32((1 << 23) + offset);
        v[j] = __fmul_rn(whole, scale);
    }
}

__device__ __forceinline__ void raise(f32 (&v)[4], f32 least) {
#pragma unroll
    for (int j = 0; j < 4; j++) v[j] = __fadd_rn(v[j], least);
}

// Q4_0, Q4_1, Q5_0 and Q5_1: scale, minimum (if LEAST), fifth bits (if FIFTH), and 16 bytes: weights 0 to 15 in their low
// halves, 16 to 31 in the high ones.
template <bool LEAST, bool FIFTH>
struct Nibbles {
    enum { HEAD = LEAST ? 4 : 2, BYTES = HEAD + 4 * FIFTH + 16, UNITS = 1, STEP = BYTES % 4 ? 2 : 4 };
    enum { OFFSET = LEAST ? 0 : FIFTH ? 16 : 8 };
    u32 words[FIFTH + 4];
    f32 scale, least;

    __device__ __forceinline__ void load(const u8* block, u32) {
        scale = half_at(block);
        if (LEAST) least = half_at(block + 2);
        load_words<STEP>(words, block + HEAD);
    }

    __device__ __forceinline__ void four(int i, f32 (&v)[4]) const {
        u32 bytes = words[FIFTH + i % 4] >> 4 * (i / 4) & 0x0f0f0f0fu;
        // The product puts bit j of four at bit 8·j, and at others.
        if (FIFTH) bytes |= ((words[0] >> 4 * i & 15) * 0x00204081u & 0x01010101u) << 4;
        scaled(v, bytes, OFFSET, scale);
        if (LEAST) raise(v, least);
    }
};

using Q4_0 = Nibbles<false, false>;
using Q4_1 = Nibbles<true, false>;
using Q5_0 = Nibbles<false, true>;
using Q5_1 = Nibbles<true, true>;

// A scale and 32 bytes with a sign.
struct Q8_0 {
    enum { BYTES = 34, UNITS = 1 };
    u32 words[8];
    f32 scale;

    __device__ __forceinline__ void load(const u8* block, u32) {
        scale = half_at(block);
        load_words<2>(words, block + 2);
    }

    // With its highest bit turned round a byte is 128 too high, and has no sign.
    __device__ __forceinline__ void four(int i, f32 (&v)[4]) const {
        scaled(v, words[i] ^ 0x80808080u, 128, scale);
    }
};

// Scale and minimum, 12 bytes that hold a factor of 6 bits to each of them for every unit, 128 bytes: two units share 32,
// one in the low halves and one in the high.
struct Q4K {
    enum { BYTES = 144, UNITS = 8 };
    u32 words[8];
    f32 scale, least;

    __device__ __forceinline__ void load(const u8* block, u32 i) {
        const u8* packed = block + 4 + i % 4;
        u32 first = packed[0], second = packed[4], third = packed[8];
        u32 factor = i < 4 ? first & 63 : (third & 15) | first >> 6 << 4;
        u32 least_factor = i < 4 ? second & 63 : third >> 4 | second >> 6 << 4;
        scale = half_at(block) * f32(factor);
        least = -(half_at(block + 2) * f32(least_factor));
        load_words<16>(words, block + 16 + i / 2 * 32);
#pragma unroll
        for (int k = 0; k < 8; k++) words[k] = words[k] >> i % 2 * 4 & 0x0f0f0f0fu;
    }

    __device__ __forceinline__ void four(int i, f32 (&v)[4]) const {
        scaled(v, words[i], 0, scale);
        raise(v, least);
    }
};

// 128 bytes of low halves, 64 of two more bits each, 16 factors with a sign, and the scale. In each half of the block four
// units take the low halves of 64 bytes, then the high ones; of 32 bytes each takes a pair of bits.
struct Q6K {
    enum { BYTES = 210, UNITS = 8 };
    u32 words[8];
    f32 scales[2];

    __device__ __forceinline__ void load(const u8* block, u32 i) {
        u32 part = i / 4, row = i % 4, high[8];
        load_words<2>(words, block + part * 64 + row % 2 * 32);
        load_words<2>(high, block + 128 + part * 32);
#pragma unroll
        for (int k = 0; k < 8; k++)
            words[k] = (words[k] >> row / 2 * 4 & 0x0f0f0f0fu) | (high[k] >> row * 2 & 0x03030303u) << 4;
        f32 scale = half_at(block + 208);
        const signed char* factors = reinterpret_cast<const signed char*>(block + 192 + 2 * i);
        scales[0] = scale * f32(factors[0]);
        scales[1] = scale * f32(factors[1]);
    }

    __device__ __forceinline__ void four(int i, f32 (&v)[4]) const { scaled(v, words[i], 32, scales[i / 4]); }
};

// Floats: a block is a unit.
template <class T>
struct Floats {
    enum { BYTES = UNIT * sizeof(T), UNITS = 1 };
    u32 words[BYTES / 4];

    __device__ __forceinline__ void load(const u8* block, u32) { load_words<16>(words, block); }

    __device__ __forceinline__ void four(int i, f32 (&v)[4]) const {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            if constexpr (sizeof(T) == 4) {
                v[j] = __uint_as_float(words[4 * i + j]);
            } else {
                v[j] = widen(T{u16(words[2 * i + j / 2] >> j % 2 * 16)});
            }
        }
    }
};

// Unit u of gapless blocks.
template <class B>
__device__ __forceinline__ B unit(const u8* from, u64 u) {
    B loaded;
    loaded.load(from + u / B::UNITS * B::BYTES, u32(u % B::UNITS));
    return loaded;
}

}  // namespace blocks

// The one list of kinds of whole numbers: a kernel file instantiates its entries with WHOLE_KINDS(ENTRY).
#define WHOLE_KINDS(ENTRY)                                                                            \
    ENTRY(q4_0, blocks::Q4_0) ENTRY(q4_1, blocks::Q4_1) ENTRY(q5_0, blocks::Q5_0)                     \
    ENTRY(q5_1, blocks::Q5_1) ENTRY(q8_0, blocks::Q8_0) ENTRY(q4_k, blocks::Q4K) ENTRY(q6_k, blocks::Q6K)
// And with those of floats, which no kernel but the product needs.
#define ALL_KINDS(ENTRY) \
    ENTRY(f32, blocks::Floats<f32>) ENTRY(f16, blocks::Floats<f16>) ENTRY(bf16, blocks::Floats<bf16>) WHOLE_KINDS(ENTRY)
