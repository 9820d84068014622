//! Inputs at the edges of their formats.

/// Numbers in single precision: zeros, ones, subnormals, the largest, infinities, NaN, and some in between.
pub(super) const SINGLES: [u32; 16] = [
    0x0000_0000,
    0x8000_0000,
    0x3f80_0000,
    0xbf80_0001,
    0x3fc0_0000,
    0x0080_0000,
    0x0040_0001,
    0x7f7f_ffff,
    0x7f80_0000,
    0xff80_0000,
    0x7fc0_0000,
    0x4049_0fdb,
    0xc120_0000,
    0x3eaa_aaab,
    0x4b00_0001,
    0xce00_0000,
];

/// Numbers in double precision.
pub(super) const DOUBLES: [u64; 16] = [
    0x0000_0000_0000_0000,
    0x8000_0000_0000_0000,
    0x3ff0_0000_0000_0000,
    0xbff0_0000_0000_0001,
    0x3ff8_0000_0000_0000,
    0x0010_0000_0000_0000,
    0x0008_0000_0000_0001,
    0x7fef_ffff_ffff_ffff,
    0x7ff0_0000_0000_0000,
    0xfff0_0000_0000_0000,
    0x7ff8_0000_0000_0000,
    0x4009_21fb_5444_2d18,
    0xc024_0000_0000_0000,
    0x3fd5_5555_5555_5555,
    0x4340_0000_0000_0001,
    0xc1e0_0000_0020_0000,
];

/// Numbers in half precision.
pub(super) const HALVES: [u16; 16] = [
    0x0000, 0x8000, 0x3c00, 0xbc01, 0x3e00, 0x0400, 0x0201, 0x7bff, 0x7c00, 0xfc00, 0x7e00, 0x4248, 0xc900,
    0x3555, 0x6401, 0xe800,
];

/// Numbers in bfloat16: the upper halves of singles.
pub(super) const BRAINS: [u16; 16] = [
    0x0000, 0x8000, 0x3f80, 0xbf81, 0x3fc0, 0x0080, 0x0041, 0x7f7f, 0x7f80, 0xff80, 0x7fc0, 0x4049, 0xc120,
    0x3eab, 0x4b01, 0xce00,
];

/// Integers of 32 bits.
pub(super) const WORDS: [u32; 16] = [
    0,
    1,
    0xffff_ffff,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    2,
    31,
    32,
    0x0012_3456,
    0xfedc_ba98,
    0x0000_ffff,
    0x0080_0000,
    0x5555_5555,
    0xdead_beef,
    7,
];

/// Integers of 64 bits.
pub(super) const LONGS: [u64; 16] = [
    0,
    1,
    u64::MAX,
    i64::MAX as u64,
    1 << 63,
    (1 << 63) + 1,
    3,
    63,
    64,
    0x0123_4567_89ab_cdef,
    0xfedc_ba98_7654_3210,
    0xffff_ffff,
    0x1_0000_0000,
    0x5555_5555_5555_5555,
    0xdead_beef_0bad_cafe,
    1000,
];

/// Integers of 16 bits.
pub(super) const SHORTS: [u16; 16] =
    [0, 1, 0xffff, 0x7fff, 0x8000, 0x8001, 2, 15, 16, 0x1234, 0xfedc, 0x00ff, 0x0080, 0x5555, 0xbeef, 7];

/// A table as 64-bit slots.
pub(super) fn wide<T: Copy + Into<u64>>(values: &[T]) -> Vec<u64> {
    values.iter().map(|&value| value.into()).collect()
}

/// 64 lanes whose operand `n` walks through `tables[n]` at a pace of its own, so that many pairs occur.
pub(super) fn walk(tables: &[Vec<u64>]) -> Vec<Vec<u64>> {
    const PACES: [usize; 4] = [1, 5, 11, 3];
    let operand = |lane: usize, at: usize| {
        let table = &tables[at];
        // The second half of the lanes meets other pairs.
        table[(lane * PACES[at % 4] + (lane / 16) * (2 * at + 1) + 3 * at) % table.len()]
    };
    (0..64).map(|lane| (0..tables.len()).map(|at| operand(lane, at)).collect()).collect()
}
