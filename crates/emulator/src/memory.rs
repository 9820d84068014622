//! The device's memory: allocations with addresses of their own, far apart, never given out twice.

mod allocation;
mod journal;

use std::collections::BTreeMap;

pub(crate) use allocation::Allocation;
pub(crate) use journal::{Journal, Writer};

/// Where the first allocation lies: far from any address of the host, so that the two are never mixed up.
const FIRST_ADDRESS: u64 = 0x7000_0000_0000;
/// Addresses from the start of one memory's range to the next, and how many ranges there are.
const RANGE: u64 = 1 << 36;
const RANGES: u64 = 192;
/// Every allocation begins at a multiple of this, as the driver promises.
const ALIGNMENT: u64 = 256;
/// Addresses behind an allocation that belong to nobody, so that an overrun hits nothing.
const RED_ZONE: u64 = 1 << 20;
/// Freed allocations that are remembered, to tell a use after free from a wild address.
const FREED_KEPT: usize = 4096;

/// Why the memory refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// The capacity does not hold that much more.
    #[error("out of memory: {asked} bytes asked, {free} bytes free")]
    OutOfMemory {
        /// Bytes asked for.
        asked: u64,
        /// Bytes left of the capacity.
        free: u64,
    },
    /// No bytes were asked for.
    #[error("an allocation of 0 bytes")]
    Empty,
    /// The address belongs to no allocation.
    #[error("{address:#x} belongs to no allocation")]
    NotAllocated {
        /// The address.
        address: u64,
    },
    /// The address belongs to no allocation, and lies soon after the end of one.
    #[error("{address:#x} lies {over} bytes past the end of an allocation of {bytes} bytes at {base:#x}")]
    Behind {
        /// The address.
        address: u64,
        /// Bytes from the end to the address.
        over: u64,
        /// Where the allocation begins.
        base: u64,
        /// Its size.
        bytes: u64,
    },
    /// The address belonged to an allocation that was freed.
    #[error("{address:#x} lies in {bytes} bytes at {base:#x} that were freed")]
    Freed {
        /// The address.
        address: u64,
        /// Where the freed allocation began.
        base: u64,
        /// Its size.
        bytes: u64,
    },
    /// The range begins inside an allocation and ends behind it.
    #[error(
        "{count} bytes at {address:#x} end {over} bytes past an allocation of {bytes} bytes at {base:#x}"
    )]
    PastEnd {
        /// The first address.
        address: u64,
        /// Length of the range.
        count: u64,
        /// Bytes past the end.
        over: u64,
        /// Where the allocation begins.
        base: u64,
        /// Its size.
        bytes: u64,
    },
    /// An address inside an allocation was freed.
    #[error("{address:#x} lies inside the allocation at {base:#x}: only its first address can be freed")]
    NotTheStart {
        /// The address.
        address: u64,
        /// Where the allocation begins.
        base: u64,
    },
}

/// The memory of one emulated device.
///
/// Addresses are multiples of 256 in a range of their own. No two allocations touch, and no address is given out
/// twice, so that an overrun and a use after free are always seen.
#[derive(Debug)]
pub struct Memory {
    capacity: u64,
    live: u64,
    next: u64,
    allocations: BTreeMap<u64, Allocation>,
    freed: BTreeMap<u64, u64>,
}

impl Memory {
    /// An empty memory that holds at most `capacity` bytes.
    pub fn new(capacity: u64) -> Memory {
        Memory::in_range(capacity, 0)
    }

    /// The same with another range of addresses, so that the pointers of several memories are told apart. The numbers of
    /// ranges begin again after 192.
    pub fn in_range(capacity: u64, number: u64) -> Memory {
        Memory {
            capacity,
            live: 0,
            next: FIRST_ADDRESS + number % RANGES * RANGE,
            allocations: BTreeMap::new(),
            freed: BTreeMap::new(),
        }
    }

    /// Allocates `bytes` bytes, not written yet, and returns their address.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Empty`] and [`MemoryError::OutOfMemory`].
    pub fn alloc(&mut self, bytes: u64) -> Result<u64, MemoryError> {
        self.make_room(bytes)?;
        let base = self.next;
        self.next += bytes.next_multiple_of(ALIGNMENT) + RED_ZONE;
        self.allocations.insert(base, Allocation::new(base, bytes));
        Ok(base)
    }

    /// Leaves out addresses, so that the next allocation begins at `address`, a multiple of 256, unless that has been given out: as
    /// if memory that nobody touches lay before it.
    pub fn leave_out_until(&mut self, address: u64) {
        self.next = self.next.max(address.next_multiple_of(ALIGNMENT));
    }

    /// Allocates `bytes` zeros that the host sees at the same address.
    ///
    /// # Errors
    ///
    /// As for [`Memory::alloc`].
    pub fn alloc_managed(&mut self, bytes: u64) -> Result<u64, MemoryError> {
        self.make_room(bytes)?;
        let made = Allocation::managed(bytes);
        let base = made.base;
        self.allocations.insert(base, made);
        Ok(base)
    }

    /// Whether an address lies in memory that the host sees, too.
    pub fn is_managed(&self, address: u64) -> bool {
        self.find(address, 1).is_ok_and(|found| found.is_managed)
    }

    /// Counts bytes that are about to be allocated.
    fn make_room(&mut self, bytes: u64) -> Result<(), MemoryError> {
        if bytes == 0 {
            return Err(MemoryError::Empty);
        }
        let free = self.capacity - self.live;
        if bytes > free {
            return Err(MemoryError::OutOfMemory { asked: bytes, free });
        }
        self.live += bytes;
        Ok(())
    }

    /// Frees the allocation that begins at `address`.
    ///
    /// # Errors
    ///
    /// [`MemoryError::NotTheStart`], [`MemoryError::Freed`] (a double free) and [`MemoryError::NotAllocated`].
    pub fn free(&mut self, address: u64) -> Result<(), MemoryError> {
        let Some(allocation) = self.allocations.remove(&address) else {
            return Err(match self.find(address, 1) {
                Ok(inside) => MemoryError::NotTheStart { address, base: inside.base },
                Err(error) => error,
            });
        };
        self.live -= allocation.bytes;
        if allocation.is_managed {
            // The host's allocator may give the address out again.
            return Ok(());
        }
        self.freed.insert(address, allocation.bytes);
        if self.freed.len() > FREED_KEPT {
            self.freed.pop_first();
        }
        Ok(())
    }

    /// Writes `data` at `address`, of any alignment.
    ///
    /// # Errors
    ///
    /// An address outside every allocation, or a range that ends past one.
    pub fn write(&mut self, address: u64, data: &[u8]) -> Result<(), MemoryError> {
        let (allocation, offset) = self.find_mut(address, data.len() as u64)?;
        allocation.bytes_mut()[offset..offset + data.len()].copy_from_slice(data);
        allocation.mark_written(offset as u64, data.len() as u64);
        Ok(())
    }

    /// Reads `data.len()` bytes at `address`, of any alignment.
    ///
    /// # Errors
    ///
    /// As for [`Memory::write`].
    pub fn read(&self, address: u64, data: &mut [u8]) -> Result<(), MemoryError> {
        let allocation = self.find(address, data.len() as u64)?;
        let offset = (address - allocation.base) as usize;
        data.copy_from_slice(&allocation.bytes()[offset..offset + data.len()]);
        Ok(())
    }

    /// Fills `bytes` bytes at `address` with `pattern`, over and over; the last may be cut short.
    ///
    /// # Errors
    ///
    /// As for [`Memory::write`].
    pub fn fill(&mut self, address: u64, bytes: u64, pattern: &[u8]) -> Result<(), MemoryError> {
        let (allocation, offset) = self.find_mut(address, bytes)?;
        if !pattern.is_empty() {
            for part in allocation.bytes_mut()[offset..offset + bytes as usize].chunks_mut(pattern.len()) {
                part.copy_from_slice(&pattern[..part.len()]);
            }
            allocation.mark_written(offset as u64, bytes);
        }
        Ok(())
    }

    /// Copies `bytes` bytes from `source` to `target`. The ranges may overlap. Bytes that nobody wrote stay so.
    ///
    /// # Errors
    ///
    /// As for [`Memory::write`], for either range.
    pub fn copy(&mut self, target: u64, source: u64, bytes: u64) -> Result<(), MemoryError> {
        self.find(target, bytes)?;
        let from = self.find(source, bytes)?;
        let offset = source - from.base;
        let data = from.bytes()[offset as usize..(offset + bytes) as usize].to_vec();
        let written: Vec<bool> = (offset..offset + bytes).map(|at| from.is_written(at, 1)).collect();
        let (to, offset) = self.find_mut(target, bytes)?;
        to.bytes_mut()[offset..offset + data.len()].copy_from_slice(&data);
        for (at, _) in written.iter().enumerate().filter(|(_, written)| **written) {
            to.mark_written((offset + at) as u64, 1);
        }
        Ok(())
    }

    /// Bytes allocated and not freed.
    pub fn live_bytes(&self) -> u64 {
        self.live
    }

    /// Bytes that can be allocated in all.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Every live allocation as (address, bytes), lowest address first.
    pub fn allocations(&self) -> impl Iterator<Item = (u64, u64)> {
        self.allocations.values().map(|allocation| (allocation.base, allocation.bytes))
    }

    /// The allocation that holds `address`, as (address, bytes).
    pub fn allocation_of(&self, address: u64) -> Option<(u64, u64)> {
        self.find(address, 1).ok().map(|allocation| (allocation.base, allocation.bytes))
    }

    /// The allocation that holds the `count` bytes at `address`.
    pub(crate) fn find(&self, address: u64, count: u64) -> Result<&Allocation, MemoryError> {
        let below = self.allocations.range(..=address).next_back().map(|(_, allocation)| allocation);
        let Some(found) = below.filter(|found| address - found.base < found.bytes) else {
            return Err(self.missing(address));
        };
        let left = found.bytes - (address - found.base);
        if count > left {
            let (base, bytes) = (found.base, found.bytes);
            return Err(MemoryError::PastEnd { address, count, over: count - left, base, bytes });
        }
        Ok(found)
    }

    /// Why no allocation holds an address.
    fn missing(&self, address: u64) -> MemoryError {
        let freed = self.freed.range(..=address).next_back();
        if let Some((&base, &bytes)) = freed.filter(|(base, bytes)| address - **base < **bytes) {
            return MemoryError::Freed { address, base, bytes };
        }
        let below = self.allocations.range(..=address).next_back().map(|(_, allocation)| allocation);
        match below.filter(|below| !below.is_managed && address - below.base - below.bytes < RED_ZONE) {
            Some(&Allocation { base, bytes, .. }) => {
                MemoryError::Behind { address, over: address - base - bytes, base, bytes }
            }
            None => MemoryError::NotAllocated { address },
        }
    }

    /// The allocation that has bytes among the `count` bytes at `address`; red zones keep a second one far away.
    fn first_in(&self, address: u64, count: u64) -> Option<&Allocation> {
        let below = self.allocations.range(..address + count).next_back().map(|(_, allocation)| allocation);
        below.filter(|found| found.base + found.bytes > address)
    }

    fn find_mut(&mut self, address: u64, count: u64) -> Result<(&mut Allocation, usize), MemoryError> {
        let base = self.find(address, count)?.base;
        let found = self.allocations.get_mut(&base).ok_or(MemoryError::NotAllocated { address })?;
        Ok((found, (address - base) as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_where_they_were_written() {
        let mut memory = Memory::new(1 << 20);
        let (a, b) = (memory.alloc(100).unwrap(), memory.alloc(8).unwrap());
        assert_eq!((a % 256, b % 256, memory.live_bytes()), (0, 0, 108));
        memory.write(a + 3, b"warp").unwrap();
        memory.fill(b, 8, &[1, 2, 3]).unwrap();
        memory.copy(a + 5, a + 3, 4).unwrap();
        let (mut near, mut far) = ([0; 6], [0; 8]);
        memory.read(a + 3, &mut near).unwrap();
        memory.read(b, &mut far).unwrap();
        assert_eq!((&near, &far), (b"wawarp", &[1, 2, 3, 1, 2, 3, 1, 2]));
    }

    #[test]
    fn only_written_bytes_count_as_written_and_copies_keep_that() {
        let mut memory = Memory::new(1 << 20);
        let (a, b) = (memory.alloc(200).unwrap(), memory.alloc(200).unwrap());
        memory.write(a + 60, &[0; 70]).unwrap();
        memory.copy(b, a, 200).unwrap();
        for base in [a, b] {
            let allocation = memory.find(base, 1).unwrap();
            let written: Vec<u64> = (0..200).filter(|&at| allocation.is_written(at, 1)).collect();
            assert_eq!(written, (60..130).collect::<Vec<_>>());
            assert!(allocation.is_written(64, 8) && !allocation.is_written(56, 8));
        }
    }

    #[test]
    fn every_misuse_has_its_own_error() {
        let mut memory = Memory::new(1000);
        let a = memory.alloc(100).unwrap();
        assert_eq!(memory.alloc(0), Err(MemoryError::Empty));
        assert_eq!(memory.alloc(901), Err(MemoryError::OutOfMemory { asked: 901, free: 900 }));
        let past = MemoryError::PastEnd { address: a + 99, count: 2, over: 1, base: a, bytes: 100 };
        assert_eq!(memory.write(a + 99, &[0; 2]), Err(past));
        assert_eq!(memory.free(a + 4), Err(MemoryError::NotTheStart { address: a + 4, base: a }));
        let behind = MemoryError::Behind { address: a + 107, over: 7, base: a, bytes: 100 };
        assert_eq!(memory.read(a + 107, &mut [0]), Err(behind));
        assert_eq!(memory.read(a - 1, &mut [0]), Err(MemoryError::NotAllocated { address: a - 1 }));
        memory.free(a).unwrap();
        let freed = MemoryError::Freed { address: a, base: a, bytes: 100 };
        assert_eq!((memory.free(a), memory.live_bytes()), (Err(freed), 0));
        assert_ne!(memory.alloc(100).unwrap(), a);
    }
}
