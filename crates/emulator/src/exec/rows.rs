//! Accesses of a warp as a whole, where all its lanes hit one allocation, or shared memory, and break no rule. Whatever
//! else happens is left to the lanes one by one ([`super::access`]), who find the words for it.

use super::access::value_of;
use super::block::{Block, Trouble};
use super::registers::{LANES, Row, lanes};
use super::warp::Warp;
use crate::code::AccessSpace;
use crate::memory::Allocation;

/// The elements of an access of at most four a lane, zero-extended.
pub(crate) type Elements = [Row<u64>; 4];

/// What each lane of a warp reads or writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Bytes of an element: 1, 2, 4 or 8.
    pub(crate) width: usize,
    /// Elements: 1, 2 or 4, together at most 16 bytes.
    pub(crate) count: usize,
}

impl Shape {
    pub(crate) fn bytes(self) -> u64 {
        (self.width * self.count) as u64
    }
}

/// Calls `work` with each lane of `mask`; a whole warp has no bits to look for.
#[inline(always)]
fn each(mask: u32, mut work: impl FnMut(usize)) {
    if mask == u32::MAX {
        (0..LANES).for_each(work);
    } else {
        lanes(mask).for_each(&mut work);
    }
}

/// The lowest address of the lanes of `mask`, and the bytes from there to the end of the highest access.
fn span(at: &Row<u64>, mask: u32, bytes: u64) -> (u64, u64) {
    let (mut low, mut high) = (u64::MAX, 0);
    each(mask, |lane| {
        low = low.min(at[lane]);
        high = high.max(at[lane]);
    });
    (low, high.wrapping_sub(low).saturating_add(bytes))
}

impl<'m> Block<'m> {
    /// Reads the elements of the lanes of `mask`, whose addresses are aligned and relative to the space's window.
    pub(crate) fn read_rows(
        &mut self,
        warp: &Warp,
        space: AccessSpace,
        at: &Row<u64>,
        mask: u32,
        shape: Shape,
        rows: &mut Elements,
    ) -> Result<(), Trouble> {
        let found = match space {
            AccessSpace::Global | AccessSpace::Generic => self.read_global_rows(at, mask, shape, rows),
            AccessSpace::Shared => self.read_shared_rows(at, mask, shape, rows),
            AccessSpace::Param => self.read_param_rows(at, mask, shape, rows),
            AccessSpace::Local => false,
        };
        if found {
            return Ok(());
        }
        for lane in lanes(mask) {
            let data = self.read(warp, space, at[lane], shape.bytes(), lane)?;
            for (element, bytes) in data.chunks_exact(shape.width).take(shape.count).enumerate() {
                rows[element][lane] = value_of(bytes);
            }
        }
        Ok(())
    }

    /// Writes the elements of the lanes of `mask`.
    pub(crate) fn write_rows(
        &mut self,
        warp: &mut Warp,
        space: AccessSpace,
        at: &Row<u64>,
        mask: u32,
        shape: Shape,
        rows: &Elements,
    ) -> Result<(), Trouble> {
        let done = match space {
            AccessSpace::Global | AccessSpace::Generic => self.write_global_rows(at, mask, shape, rows),
            AccessSpace::Shared => self.write_shared_rows(at, mask, shape, rows),
            AccessSpace::Local | AccessSpace::Param => false,
        };
        if done {
            return Ok(());
        }
        for lane in lanes(mask) {
            let mut data = [0; 16];
            for (element, bytes) in data.chunks_exact_mut(shape.width).take(shape.count).enumerate() {
                bytes.copy_from_slice(&rows[element][lane].to_le_bytes()[..shape.width]);
            }
            self.write(warp, space, at[lane], &data[..shape.width * shape.count], lane)?;
        }
        Ok(())
    }

    /// The one allocation that holds all of a warp's access.
    fn locate_all(&mut self, at: &Row<u64>, mask: u32, bytes: u64) -> Option<&'m Allocation> {
        let (low, length) = span(at, mask, bytes);
        let recent = self.recent.iter().flatten().find(|recent| recent.holds(low, length));
        recent.copied().or_else(|| self.memory.find(low, length).ok().inspect(|found| self.remember(found)))
    }

    fn read_global_rows(&mut self, at: &Row<u64>, mask: u32, shape: Shape, rows: &mut Elements) -> bool {
        let Some(found) = self.locate_all(at, mask, shape.bytes()) else { return false };
        if self.checks.init && !lanes(mask).all(|l| found.is_written_whole(at[l] - found.base, shape.bytes()))
        {
            return false;
        }
        for (element, row) in rows.iter_mut().take(shape.count).enumerate() {
            let skip = (element * shape.width) as u64;
            let offset = |lane: usize| at[lane] - found.base + skip;
            match shape.width {
                1 => each(mask, |lane| row[lane] = found.load(offset(lane), 1)),
                2 => each(mask, |lane| row[lane] = found.load(offset(lane), 2)),
                4 => each(mask, |lane| row[lane] = found.load(offset(lane), 4)),
                _ => each(mask, |lane| row[lane] = found.load(offset(lane), 8)),
            }
        }
        true
    }

    fn write_global_rows(&mut self, at: &Row<u64>, mask: u32, shape: Shape, rows: &Elements) -> bool {
        let Some(found) = self.locate_all(at, mask, shape.bytes()) else { return false };
        if let Some(writer) = &mut self.writer {
            each(mask, |lane| writer.before_write(found, at[lane]));
        }
        for (element, row) in rows.iter().take(shape.count).enumerate() {
            let skip = (element * shape.width) as u64;
            let offset = |lane: usize| at[lane] - found.base + skip;
            match shape.width {
                1 => each(mask, |lane| found.store(offset(lane), 1, row[lane])),
                2 => each(mask, |lane| found.store(offset(lane), 2, row[lane])),
                4 => each(mask, |lane| found.store(offset(lane), 4, row[lane])),
                _ => each(mask, |lane| found.store(offset(lane), 8, row[lane])),
            }
        }
        each(mask, |lane| found.mark_written_whole(at[lane] - found.base, shape.bytes()));
        true
    }

    /// Lanes read the same parameter as a rule.
    fn read_param_rows(&self, at: &Row<u64>, mask: u32, shape: Shape, rows: &mut Elements) -> bool {
        let first = at[mask.trailing_zeros() as usize % LANES];
        let end = first.saturating_add(shape.bytes());
        if end > self.params.len() as u64 || !lanes(mask).all(|lane| at[lane] == first) {
            return false;
        }
        let bytes = self.params[first as usize..end as usize].chunks_exact(shape.width);
        rows.iter_mut().zip(bytes).for_each(|(row, bytes)| *row = [value_of(bytes); LANES]);
        true
    }

    fn read_shared_rows(&mut self, at: &Row<u64>, mask: u32, shape: Shape, rows: &mut Elements) -> bool {
        let (low, length) = span(at, mask, shape.bytes());
        let is_sound = low.saturating_add(length) <= self.shared.len() as u64
            && (self.copies_in_flight == 0 || lanes(mask).all(|l| !self.is_pending(at[l], shape.bytes())))
            && (!self.checks.init || lanes(mask).all(|l| self.shared_written.has(at[l], shape.bytes())));
        if !is_sound {
            return false;
        }
        for (element, row) in rows.iter_mut().take(shape.count).enumerate() {
            let start = |lane: usize| at[lane] as usize + element * shape.width;
            match shape.width {
                1 => each(mask, |lane| row[lane] = self.shared[start(lane)].into()),
                2 => {
                    each(mask, |lane| row[lane] = u16::from_le_bytes(array(&self.shared, start(lane))).into())
                }
                4 => {
                    each(mask, |lane| row[lane] = u32::from_le_bytes(array(&self.shared, start(lane))).into())
                }
                _ => each(mask, |lane| row[lane] = u64::from_le_bytes(array(&self.shared, start(lane)))),
            }
        }
        true
    }

    fn write_shared_rows(&mut self, at: &Row<u64>, mask: u32, shape: Shape, rows: &Elements) -> bool {
        let (low, length) = span(at, mask, shape.bytes());
        if low.saturating_add(length) > self.shared.len() as u64 {
            return false;
        }
        let shared = &mut self.shared;
        for (element, row) in rows.iter().take(shape.count).enumerate() {
            let start = |lane: usize| at[lane] as usize + element * shape.width;
            match shape.width {
                1 => each(mask, |lane| shared[start(lane)] = row[lane] as u8),
                2 => each(mask, |lane| put(shared, start(lane), (row[lane] as u16).to_le_bytes())),
                4 => each(mask, |lane| put(shared, start(lane), (row[lane] as u32).to_le_bytes())),
                _ => each(mask, |lane| put(shared, start(lane), row[lane].to_le_bytes())),
            }
        }
        each(mask, |lane| self.shared_written.add(at[lane], shape.bytes()));
        true
    }
}

/// The bytes at `start`, which the caller has found inside.
#[inline(always)]
pub(crate) fn array<const N: usize>(bytes: &[u8], start: usize) -> [u8; N] {
    let mut data = [0; N];
    data.copy_from_slice(&bytes[start..start + N]);
    data
}

#[inline(always)]
fn put<const N: usize>(bytes: &mut [u8], start: usize, data: [u8; N]) {
    bytes[start..start + N].copy_from_slice(&data);
}
