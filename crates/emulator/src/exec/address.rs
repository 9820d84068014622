//! Addresses: where the windows of shared, local and parameter space lie among generic addresses.

use super::registers::{File, LANES, Registers, Row};
use crate::code::{Access, AccessSpace};

/// Generic addresses of shared memory begin here.
pub(crate) const SHARED_WINDOW: u64 = 0x10 << 40;
/// Generic addresses of local memory begin here.
pub(crate) const LOCAL_WINDOW: u64 = 0x20 << 40;
/// Generic addresses of parameters begin here.
pub(crate) const PARAM_WINDOW: u64 = 0x30 << 40;

/// The window of a space; global addresses are generic as they are.
pub(crate) fn window(space: AccessSpace) -> u64 {
    match space {
        AccessSpace::Shared => SHARED_WINDOW,
        AccessSpace::Local => LOCAL_WINDOW,
        AccessSpace::Param => PARAM_WINDOW,
        AccessSpace::Generic | AccessSpace::Global => 0,
    }
}

/// The space that a generic address falls in.
pub(crate) fn space_of(address: u64) -> AccessSpace {
    match address >> 40 {
        0x10 => AccessSpace::Shared,
        0x20 => AccessSpace::Local,
        0x30 => AccessSpace::Param,
        _ => AccessSpace::Global,
    }
}

/// The address that each lane names.
pub(crate) fn addresses(registers: &Registers, index: u32, access: &Access) -> Row<u64> {
    let file = if access.has_wide_address { File::B64 } else { File::B32 };
    let mut row = registers.wide(file, index);
    for lane in 0..LANES {
        row[lane] = row[lane].wrapping_add(access.offset as u64);
    }
    if !access.has_wide_address {
        // Sums of 32-bit addresses wrap at 32 bits.
        row.iter_mut().for_each(|address| *address &= u64::from(u32::MAX));
    }
    row
}
