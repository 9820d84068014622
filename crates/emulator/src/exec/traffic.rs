//! What an access costs: sectors of global memory, passes over the banks of shared memory.

use super::registers::{LANES, Row, lanes};
use crate::code::AccessSpace;
use crate::counts::Counts;

/// Bytes of a sector, the unit in which global memory is moved.
const SECTOR: u64 = 32;
/// Banks of shared memory, each a word of 4 bytes wide.
const BANKS: usize = 32;

/// Counts one warp's access of `bytes` bytes a lane.
pub(crate) fn record(
    counts: &mut Counts,
    space: AccessSpace,
    addresses: &Row<u64>,
    mask: u32,
    bytes: u64,
    is_write: bool,
) {
    let total = bytes * u64::from(mask.count_ones());
    match space {
        AccessSpace::Global | AccessSpace::Generic => {
            let sectors = sectors(addresses, mask);
            if is_write {
                counts.global_write_bytes += total;
                counts.global_write_sectors += sectors;
            } else {
                counts.global_read_bytes += total;
                counts.global_read_sectors += sectors;
            }
        }
        AccessSpace::Shared => {
            if is_write {
                counts.shared_write_bytes += total;
            } else {
                counts.shared_read_bytes += total;
            }
            counts.shared_bank_conflicts += bank_conflicts(addresses, mask, bytes);
        }
        AccessSpace::Local | AccessSpace::Param => {}
    }
}

/// Distinct sectors. An access is aligned and at most 16 bytes, so a lane touches one.
pub(crate) fn sectors(addresses: &Row<u64>, mask: u32) -> u64 {
    let mut touched = [0; LANES];
    let mut count = 0;
    let mut is_sorted = true;
    for lane in lanes(mask) {
        let sector = addresses[lane] / SECTOR;
        if count > 0 && touched[count - 1] == sector {
            continue;
        }
        is_sorted &= count == 0 || touched[count - 1] < sector;
        touched[count] = sector;
        count += 1;
    }
    if is_sorted {
        return count as u64;
    }
    let touched = &mut touched[..count];
    touched.sort_unstable();
    1 + touched.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64
}

/// Passes beyond the fewest. 8-byte accesses go by half a warp, 16-byte accesses by a quarter; lanes that read
/// the same word share it.
fn bank_conflicts(addresses: &Row<u64>, mask: u32, bytes: u64) -> u64 {
    let words = bytes.div_ceil(4).max(1);
    let lanes_at_once = LANES / words as usize;
    let mut conflicts = 0;
    for part in 0..words as usize {
        let part_mask = (u32::MAX >> (LANES - lanes_at_once)) << (part * lanes_at_once);
        conflicts += passes(addresses, mask & part_mask, words).saturating_sub(1);
    }
    conflicts
}

fn passes(addresses: &Row<u64>, mask: u32, words: u64) -> u64 {
    let mut first = [u64::MAX; BANKS];
    let mut more: Vec<u64> = Vec::new();
    for lane in lanes(mask) {
        for word in addresses[lane] / 4..addresses[lane] / 4 + words {
            let bank = word as usize % BANKS;
            if first[bank] == u64::MAX {
                first[bank] = word;
            } else if first[bank] != word && !more.contains(&word) {
                more.push(word);
            }
        }
    }
    let mut depth = [0; BANKS];
    more.iter().for_each(|word| depth[*word as usize % BANKS] += 1);
    u64::from(mask != 0) + depth.iter().max().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(address: impl Fn(u64) -> u64) -> Row<u64> {
        std::array::from_fn(|lane| address(lane as u64))
    }

    #[test]
    fn sectors_of_known_patterns() {
        assert_eq!(sectors(&row(|lane| lane * 4), u32::MAX), 4);
        assert_eq!(sectors(&row(|lane| 1000 * 32 - lane * 4), u32::MAX), 5);
        assert_eq!(sectors(&row(|lane| lane * 32), u32::MAX), 32);
        assert_eq!(sectors(&row(|lane| lane % 2 * 64), u32::MAX), 2);
        assert_eq!(sectors(&row(|lane| lane * 16), 0xff), 4);
    }

    #[test]
    fn bank_conflicts_of_known_patterns() {
        assert_eq!(bank_conflicts(&row(|lane| lane * 4), u32::MAX, 4), 0);
        assert_eq!(bank_conflicts(&row(|_| 64), u32::MAX, 4), 0);
        assert_eq!(bank_conflicts(&row(|lane| lane * 8), u32::MAX, 4), 1);
        assert_eq!(bank_conflicts(&row(|lane| lane * 128), u32::MAX, 4), 31);
        assert_eq!(bank_conflicts(&row(|lane| lane * 132), u32::MAX, 4), 0);
        assert_eq!(bank_conflicts(&row(|lane| lane * 16), u32::MAX, 16), 0);
        assert_eq!(bank_conflicts(&row(|lane| lane * 64), u32::MAX, 16), 4 * 3);
        assert_eq!(bank_conflicts(&row(|lane| lane * 8), u32::MAX, 8), 0);
    }
}
