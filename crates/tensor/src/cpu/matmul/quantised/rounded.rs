//! Rows of A as whole numbers of 15 bits, for products with whole-number weights: x ≈ q·amax/16319 for each 32 neighbours, and
//! q = 128·coarse + fine, two bytes with a sign.
//!
//! ggml rounds its left operand to 8 bits (its kind Q8_1). That moves the logits of a small model by whole units, and what it
//! answers with them; a second byte costs little where the weights have to come from memory. A value moves by at most half a
//! step, amax/32638.

use super::UNIT;
use crate::cpu::dispatch;

/// Blocks of 32 that are multiplied together: 128 bytes fill two registers of 512 bits.
pub(super) const TOGETHER: usize = 4;
/// Sums in a group: in each block four, of eight products each.
pub(super) const SUMS: usize = 4 * TOGETHER;
/// The largest and the smallest that the largest of 32 neighbours may be, other than zero: beyond, products of scales could
/// leave the range of f32 although those of the values do not.
const RANGE: std::ops::RangeInclusive<f32> = 1e-28..=1e28;

/// Steps of the largest of 32 neighbours: 128·127 + 63.
const STEPS: f32 = 16319.0;

/// 128 values of a row of A, those of absent blocks zero. Sum 4·b + j is of block b and its values 4·j to 4·j + 3 and
/// 16 + 4·j to 19 + 4·j.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(super) struct Group {
    /// The first 16 of each block, and the other 16, in units of 128 steps.
    pub(super) coarse: [[i8; 16 * TOGETHER]; 2],
    /// What is left of them, -64 to 63 steps.
    pub(super) fine: [[i8; 16 * TOGETHER]; 2],
    /// What the sums begin with: minus their values times the offset of the weights. Where halves of a block have one sum,
    /// all of it is in the first.
    pub(super) begin: [[i32; SUMS]; 2],
    /// The step in the block of each sum.
    pub(super) scale: [f32; SUMS],
    /// The values of each sum, added up: what a minimum of the weights is multiplied by.
    pub(super) total: [f32; SUMS],
}

impl Group {
    pub(super) const ZERO: Self = Self {
        coarse: [[0; 16 * TOGETHER]; 2],
        fine: [[0; 16 * TOGETHER]; 2],
        begin: [[0; SUMS]; 2],
        scale: [0.0; SUMS],
        total: [0.0; SUMS],
    };
}

/// What weights ask of the other operand.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    /// By how much they are stored too high.
    pub(super) offset: i32,
    /// Whether each half of a block has a sum of its own.
    pub(super) in_halves: bool,
}

/// A step of the values whose largest is this, and one divided by it; None beyond what can be rounded.
#[inline(always)]
pub(super) fn steps(largest: f32) -> Option<(f32, f32)> {
    match largest == 0.0 {
        true => Some((0.0, 0.0)),
        false => RANGE.contains(&largest).then(|| (largest / STEPS, STEPS / largest)),
    }
}

/// Rounds a row of whole blocks into its groups, all zeros before. False, and the groups are
/// worth nothing, if a block holds NaN or infinity or is outside of the range.
pub(super) fn round(row: &[f32], stored: Stored, groups: &mut [Group]) -> bool {
    dispatch(
        #[inline(always)]
        || {
            let mut within = true;
            for (row, group) in row.chunks(TOGETHER * UNIT).zip(groups) {
                for (b, block) in row.chunks_exact(UNIT).enumerate() {
                    within &= round_block(block, stored, b, group);
                }
            }
            within
        },
    )
}

#[inline(always)]
fn round_block(block: &[f32], stored: Stored, b: usize, group: &mut Group) -> bool {
    // NaN is the larger of two as a whole number, and so is infinity.
    let largest = block.iter().fold(0, |largest: u32, x| largest.max(x.abs().to_bits()));
    let Some((step, inverse)) = steps(f32::from_bits(largest)) else { return false };
    let mut whole = [0i32; UNIT];
    for (q, x) in whole.iter_mut().zip(block) {
        // Below 2²² the sum has no bits left for a fraction: rounded to nearest, ties to even.
        const MAGIC: f32 = 1.5 * (1 << 23) as f32;
        *q = (x * inverse + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32;
    }
    for half in 0..2 {
        for i in 0..16 {
            let coarse = (whole[16 * half + i] + 64) >> 7;
            group.coarse[half][16 * b + i] = coarse as i8;
            group.fine[half][16 * b + i] = (whole[16 * half + i] - (coarse << 7)) as i8;
        }
    }
    for j in 0..4 {
        let sum = |half: usize| whole[16 * half + 4 * j..][..4].iter().sum::<i32>();
        let [first, second] = [sum(0), sum(1)];
        let at = 4 * b + j;
        group.begin[0][at] = -stored.offset * if stored.in_halves { first } else { first + second };
        group.begin[1][at] = if stored.in_halves { -stored.offset * second } else { 0 };
        group.scale[at] = step;
        group.total[at] = step * (first + second) as f32;
    }
    true
}
