//! Reading and writing each space, with the checks of an access.

use super::address::{SHARED_WINDOW, space_of, window};
use super::block::{Block, Trouble};
use super::registers::{LANES, Row, lanes};
use super::rows::array;
use super::warp::Warp;
use crate::code::AccessSpace;
use crate::fault::FaultKind;
use crate::memory::{Allocation, MemoryError};

/// The bytes of one lane's access, at most 16.
pub(crate) type Bytes = [u8; 16];

/// Splits a generic access by the spaces that its lanes name; other accesses are one part.
pub(crate) fn parts(space: AccessSpace, mask: u32, addresses: &mut Row<u64>) -> [(AccessSpace, u32); 4] {
    let mut found = [(space, mask), (space, 0), (space, 0), (space, 0)];
    if space != AccessSpace::Generic {
        return found;
    }
    let spaces = [AccessSpace::Global, AccessSpace::Shared, AccessSpace::Local, AccessSpace::Param];
    found = spaces.map(|space| (space, 0));
    for lane in lanes(mask) {
        let space = space_of(addresses[lane]);
        addresses[lane] -= window(space);
        for part in &mut found {
            part.1 |= u32::from(part.0 == space) << lane;
        }
    }
    found
}

/// Addresses must be multiples of the access's size.
pub(crate) fn check_alignment(addresses: &Row<u64>, mask: u32, bytes: u64) -> Result<(), Trouble> {
    match lanes(mask).find(|&lane| addresses[lane] & (bytes - 1) != 0) {
        None => Ok(()),
        Some(lane) => {
            let sentence =
                format!("{bytes} bytes at {:#x}, which is no multiple of {bytes}", addresses[lane]);
            Err(Trouble { kind: FaultKind::Misaligned, lane, sentence })
        }
    }
}

impl<'m> Block<'m> {
    /// The allocation of a lane's access to global memory.
    pub(crate) fn locate(
        &mut self,
        address: u64,
        bytes: u64,
        lane: usize,
    ) -> Result<&'m Allocation, Trouble> {
        if let Some(recent) = self.recent.iter().flatten().find(|recent| recent.holds(address, bytes)) {
            return Ok(recent);
        }
        let found = self.memory.find(address, bytes).map_err(|error| {
            let kind = match error {
                MemoryError::Freed { .. } => FaultKind::UseAfterFree,
                _ => FaultKind::OutOfBounds,
            };
            let hint = if address < 1 << 16 { ": a null pointer" } else { "" };
            Trouble { kind, lane, sentence: format!("{bytes} bytes at {address:#x}{hint}: {error}") }
        })?;
        self.remember(found);
        Ok(found)
    }

    fn shared_range(&self, offset: u64, bytes: u64, lane: usize) -> Result<std::ops::Range<usize>, Trouble> {
        range(self.shared.len(), offset, bytes).ok_or_else(|| {
            let size = self.shared.len();
            let sentence = format!("{bytes} bytes at {offset:#x} of {size:#x} bytes of shared memory");
            Trouble { kind: FaultKind::OutOfBounds, lane, sentence }
        })
    }

    /// True if a copy in flight will write any of these bytes, which lie inside shared memory.
    pub(crate) fn is_pending(&self, offset: u64, bytes: u64) -> bool {
        let start = offset as usize;
        match bytes {
            16 => u128::from_le_bytes(array(&self.shared_pending, start)) != 0,
            _ => self.shared_pending[start..start + bytes as usize].iter().any(|&count| count > 0),
        }
    }

    /// Reads 1, 2, 4, 8 or 16 bytes of shared memory at a multiple of as many.
    pub(crate) fn read_shared(&mut self, offset: u64, bytes: u64, lane: usize) -> Result<Bytes, Trouble> {
        let range = self.shared_range(offset, bytes, lane)?;
        if self.copies_in_flight > 0 && self.is_pending(offset, bytes) {
            let sentence =
                format!("{bytes} bytes at {offset:#x} of shared memory that a cp.async is to write");
            return Err(Trouble { kind: FaultKind::PendingCopy, lane, sentence });
        }
        if self.checks.init && !self.shared_written.has(offset, bytes) {
            return Err(unwritten(lane, bytes, offset, "shared memory"));
        }
        Ok(padded(&self.shared[range]))
    }

    /// Writes 1, 2, 4, 8 or 16 bytes to shared memory at a multiple of as many.
    pub(crate) fn write_shared(&mut self, offset: u64, data: &[u8], lane: usize) -> Result<(), Trouble> {
        let range = self.shared_range(offset, data.len() as u64, lane)?;
        self.shared[range].copy_from_slice(data);
        self.shared_written.add(offset, data.len() as u64);
        Ok(())
    }

    /// Marks shared memory that a copy in flight will write, or no longer will.
    pub(crate) fn mark_pending(
        &mut self,
        offset: u64,
        bytes: u64,
        lane: usize,
        more: bool,
    ) -> Result<(), Trouble> {
        let range = self.shared_range(offset, bytes, lane)?;
        for count in &mut self.shared_pending[range] {
            *count = if more { count.saturating_add(1) } else { count.saturating_sub(1) };
        }
        Ok(())
    }

    /// Reads `bytes` (1, 2, 4, 8 or 16) bytes of a space; the address is relative to the space's window.
    pub(crate) fn read(
        &mut self,
        warp: &Warp,
        space: AccessSpace,
        address: u64,
        bytes: u64,
        lane: usize,
    ) -> Result<Bytes, Trouble> {
        match space {
            AccessSpace::Global | AccessSpace::Generic => {
                let found = self.locate(address, bytes, lane)?;
                let offset = address - found.base;
                if self.checks.init && !found.is_written_whole(offset, bytes) {
                    return Err(unwritten(lane, bytes, address, "global memory"));
                }
                let mut data = [0; 16];
                let step = bytes.min(8);
                for at in (0..bytes).step_by(step as usize) {
                    let part = found.load(offset + at, step).to_le_bytes();
                    data[at as usize..(at + step) as usize].copy_from_slice(&part[..step as usize]);
                }
                Ok(data)
            }
            AccessSpace::Shared => self.read_shared(address, bytes, lane),
            AccessSpace::Local => {
                let range = warp.local_range(address, bytes, lane)?;
                if self.checks.init && !warp.local_written[range.clone()].iter().all(|&written| written) {
                    return Err(unwritten(lane, bytes, address, "local memory"));
                }
                Ok(padded(&warp.local[range]))
            }
            AccessSpace::Param => match range(self.params.len(), address, bytes) {
                Some(range) => Ok(padded(&self.params[range])),
                None => {
                    let size = self.params.len();
                    let sentence = format!("{bytes} bytes at {address:#x} of {size:#x} bytes of parameters");
                    Err(Trouble { kind: FaultKind::OutOfBounds, lane, sentence })
                }
            },
        }
    }

    /// Writes 1, 2, 4, 8 or 16 bytes to a space.
    pub(crate) fn write(
        &mut self,
        warp: &mut Warp,
        space: AccessSpace,
        address: u64,
        data: &[u8],
        lane: usize,
    ) -> Result<(), Trouble> {
        let bytes = data.len() as u64;
        match space {
            AccessSpace::Global | AccessSpace::Generic => {
                let found = self.locate(address, bytes, lane)?;
                let offset = address - found.base;
                if let Some(writer) = &mut self.writer {
                    writer.before_write(found, address);
                }
                let step = bytes.min(8);
                for (at, part) in data.chunks(step as usize).enumerate() {
                    found.store(offset + at as u64 * step, step, value_of(part));
                }
                found.mark_written_whole(offset, bytes);
                Ok(())
            }
            AccessSpace::Shared => self.write_shared(address, data, lane),
            AccessSpace::Local => {
                let range = warp.local_range(address, bytes, lane)?;
                warp.local[range.clone()].copy_from_slice(data);
                warp.local_written[range].fill(true);
                Ok(())
            }
            AccessSpace::Param => {
                let sentence = "a write to the parameters of the kernel".to_owned();
                Err(Trouble { kind: FaultKind::OutOfBounds, lane, sentence })
            }
        }
    }

    /// The shared-memory address that a 32-bit or generic address means.
    pub(crate) fn shared_offset(address: u64) -> u64 {
        if space_of(address) == AccessSpace::Shared { address - SHARED_WINDOW } else { address }
    }
}

impl Warp {
    /// The bytes of a lane's local memory.
    pub(crate) fn local_range(
        &self,
        offset: u64,
        bytes: u64,
        lane: usize,
    ) -> Result<std::ops::Range<usize>, Trouble> {
        let size = self.local.len() / LANES;
        let start = lane * size;
        match range(size, offset, bytes) {
            Some(range) => Ok(start + range.start..start + range.end),
            None => {
                let sentence = format!("{bytes} bytes at {offset:#x} of {size:#x} bytes of local memory");
                Err(Trouble { kind: FaultKind::OutOfBounds, lane, sentence })
            }
        }
    }
}

/// The value of at most 8 bytes, lowest first.
pub(crate) fn value_of(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn padded(bytes: &[u8]) -> Bytes {
    let mut data = [0; 16];
    data[..bytes.len()].copy_from_slice(bytes);
    data
}

fn range(size: usize, offset: u64, bytes: u64) -> Option<std::ops::Range<usize>> {
    let end = offset.checked_add(bytes).filter(|&end| end <= size as u64)?;
    Some(offset as usize..end as usize)
}

fn unwritten(lane: usize, bytes: u64, address: u64, space: &str) -> Trouble {
    let sentence = format!("a read of {bytes} bytes at {address:#x} of {space}, not all of them written");
    Trouble { kind: FaultKind::Uninitialised, lane, sentence }
}
