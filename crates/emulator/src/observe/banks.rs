//! One access pictured: the passes over the banks of shared memory, the sectors of global memory.

use super::step::Access;
use crate::exec::registers::{LANES, lanes};
use crate::exec::traffic;

/// Banks of shared memory, each four bytes wide.
const BANKS: usize = 32;

/// One pass: the lane that each bank serves. Lanes that want the same word share it; the lowest is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// Of the quarters or halves of the warp that go one after another: which. 0 for accesses of at most four bytes.
    pub part: usize,
    /// The lane that each of the 32 banks serves.
    pub banks: [Option<u8>; BANKS],
}

/// The passes that an access of shared memory takes. 8-byte accesses go by half a warp, 16-byte ones by a quarter; what is
/// beyond one pass for each of these is a bank conflict.
pub fn passes(access: &Access) -> Vec<Pass> {
    let words = access.bytes.div_ceil(4).max(1);
    let at_once = (LANES / words as usize).max(1);
    let mut passes = Vec::new();
    for part in 0..LANES / at_once {
        let mask = (u32::MAX >> (LANES - at_once)) << (part * at_once) & access.lanes;
        // For each bank: the words wanted of it, each with the first lane that wants it.
        let mut wanted: [Vec<(u64, u8)>; BANKS] = Default::default();
        for lane in lanes(mask) {
            let first = access.addresses[lane] / 4;
            for word in first..first + words {
                let bank = &mut wanted[word as usize % BANKS];
                if !bank.iter().any(|(known, _)| *known == word) {
                    bank.push((word, lane as u8));
                }
            }
        }
        let depth = wanted.iter().map(Vec::len).max().unwrap_or(0);
        passes.extend((0..depth).map(|pass| Pass {
            part,
            banks: std::array::from_fn(|bank| wanted[bank].get(pass).map(|(_, lane)| *lane)),
        }));
    }
    passes
}

/// The 32-byte sectors of global memory that an access touches.
pub fn sectors(access: &Access) -> u64 {
    traffic::sectors(&access.addresses, access.lanes)
}
