//! One allocation: bytes that all blocks of a grid share, and which of them were ever written.

use super::ALIGNMENT;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// One allocation. Its bytes can be written through a shared reference, since blocks of a grid share it.
#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) base: u64,
    pub(crate) bytes: u64,
    /// The host reads and writes it by its address, which is its own address there.
    pub(crate) is_managed: bool,
    /// Bytes of the first words that are left out so that the address is a multiple of [`ALIGNMENT`].
    lead: u64,
    words: Box<[AtomicU64]>,
    /// One bit for each byte that the host or a kernel has written.
    written: Box<[AtomicU64]>,
}

impl Allocation {
    pub(super) fn new(base: u64, bytes: u64) -> Allocation {
        let (words, written) = (zeros(bytes.div_ceil(8)), zeros(bytes.div_ceil(64)));
        Allocation { base, bytes, is_managed: false, lead: 0, words, written }
    }

    /// Zeros that the host sees at the same address. What it writes there is not seen to be written, so all of it counts as
    /// such.
    pub(super) fn managed(bytes: u64) -> Allocation {
        let words = zeros(bytes.div_ceil(8) + ALIGNMENT / 8);
        let address = words.as_ptr() as u64;
        let base = address.next_multiple_of(ALIGNMENT);
        let found = Allocation {
            base,
            bytes,
            is_managed: true,
            lead: base - address,
            words,
            written: zeros(bytes.div_ceil(64)),
        };
        found.mark_written(0, bytes);
        found
    }

    /// Notes that the `count` bytes at `offset` have been written.
    pub(crate) fn mark_written(&self, offset: u64, count: u64) {
        for (word, mask) in bit_masks(offset, count) {
            // A plain load first: most bytes are written more than once, and a locked update is slow.
            if self.written[word].load(Ordering::Relaxed) & mask != mask {
                self.written[word].fetch_or(mask, Ordering::Relaxed);
            }
        }
    }

    /// The same for 1, 2, 4, 8 or 16 bytes at a multiple of as many, which lie in one word of the bitmap.
    #[inline]
    pub(crate) fn mark_written_whole(&self, offset: u64, count: u64) {
        let (word, mask) = (&self.written[(offset / 64) as usize], ((1u64 << count) - 1) << (offset % 64));
        if word.load(Ordering::Relaxed) & mask != mask {
            word.fetch_or(mask, Ordering::Relaxed);
        }
    }

    /// True if each of the `count` bytes at `offset` has been written.
    pub(crate) fn is_written(&self, offset: u64, count: u64) -> bool {
        bit_masks(offset, count).all(|(word, mask)| self.written[word].load(Ordering::Relaxed) & mask == mask)
    }

    /// The same for 1, 2, 4, 8 or 16 bytes at a multiple of as many, which lie in one word of the bitmap.
    #[inline]
    pub(crate) fn is_written_whole(&self, offset: u64, count: u64) -> bool {
        let mask = ((1u64 << count) - 1) << (offset % 64);
        self.written[(offset / 64) as usize].load(Ordering::Relaxed) & mask == mask
    }

    /// True if the `count` bytes at `address` lie inside.
    #[inline]
    pub(crate) fn holds(&self, address: u64, count: u64) -> bool {
        address >= self.base && address - self.base <= self.bytes.saturating_sub(count) && count <= self.bytes
    }

    #[inline(always)]
    fn pointer(&self, offset: u64, size: u64) -> *mut u8 {
        assert!(offset.is_multiple_of(size) && offset + size <= self.bytes);
        self.words.as_ptr().cast::<u8>().cast_mut().wrapping_add((self.lead + offset) as usize)
    }

    /// Reads `size` (1, 2, 4 or 8) bytes at a multiple of `size`, zero-extended.
    #[inline(always)]
    pub(crate) fn load(&self, offset: u64, size: u64) -> u64 {
        let at = self.pointer(offset, size);
        // SAFETY: `pointer` has checked bounds and alignment; the words are atomics and thus may be shared.
        unsafe {
            match size {
                1 => AtomicU8::from_ptr(at).load(Ordering::Relaxed).into(),
                2 => AtomicU16::from_ptr(at.cast()).load(Ordering::Relaxed).into(),
                4 => AtomicU32::from_ptr(at.cast()).load(Ordering::Relaxed).into(),
                _ => AtomicU64::from_ptr(at.cast()).load(Ordering::Relaxed),
            }
        }
    }

    /// Writes the low `size` (1, 2, 4 or 8) bytes of `value` at a multiple of `size`.
    #[inline(always)]
    pub(crate) fn store(&self, offset: u64, size: u64, value: u64) {
        let at = self.pointer(offset, size);
        // SAFETY: as in `load`.
        unsafe {
            match size {
                1 => AtomicU8::from_ptr(at).store(value as u8, Ordering::Relaxed),
                2 => AtomicU16::from_ptr(at.cast()).store(value as u16, Ordering::Relaxed),
                4 => AtomicU32::from_ptr(at.cast()).store(value as u32, Ordering::Relaxed),
                _ => AtomicU64::from_ptr(at.cast()).store(value, Ordering::Relaxed),
            }
        }
    }

    /// Replaces the value at a multiple of `size` (2, 4 or 8) by what `change` makes of it, in one step; returns
    /// the old value.
    pub(crate) fn update(&self, offset: u64, size: u64, mut change: impl FnMut(u64) -> u64) -> u64 {
        let at = self.pointer(offset, size);
        let (new, old) = (Ordering::AcqRel, Ordering::Acquire);
        // SAFETY: as in `load`. The closures always give a value, so the updates cannot fail.
        let changed = unsafe {
            match size {
                2 => AtomicU16::from_ptr(at.cast())
                    .fetch_update(new, old, |v| Some(change(v.into()) as u16))
                    .map(u64::from)
                    .map_err(u64::from),
                4 => AtomicU32::from_ptr(at.cast())
                    .fetch_update(new, old, |v| Some(change(v.into()) as u32))
                    .map(u64::from)
                    .map_err(u64::from),
                _ => AtomicU64::from_ptr(at.cast()).fetch_update(new, old, |v| Some(change(v))),
            }
        };
        changed.unwrap_or_else(|value| value)
    }

    /// The words from the first byte on.
    fn own_words(&self) -> &[AtomicU64] {
        &self.words[(self.lead / 8) as usize..]
    }

    /// The words and the bits of the written of the bytes from `first`, a multiple of 64, to `end`.
    pub(super) fn take_down(&self, first: u64, end: u64) -> (Vec<u64>, Vec<u64>) {
        let copy = |words: &[AtomicU64], bytes: u64| {
            let part = &words[(first / bytes) as usize..end.div_ceil(bytes) as usize];
            part.iter().map(|word| word.load(Ordering::Relaxed)).collect()
        };
        (copy(self.own_words(), 8), copy(&self.written, 64))
    }

    /// Puts back what [`Allocation::take_down`] gave for the bytes from `first`.
    pub(super) fn put_back(&self, first: u64, words: &[u64], written: &[u64]) {
        let put = |to: &[AtomicU64], from: &[u64], bytes: u64| {
            for (word, &value) in to[(first / bytes) as usize..].iter().zip(from) {
                word.store(value, Ordering::Relaxed);
            }
        };
        put(self.own_words(), words, 8);
        put(&self.written, written, 64);
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        let (length, lead) = (self.bytes as usize, self.lead as usize);
        // SAFETY: the words are ours alone while borrowed mutably (the host may not touch managed memory during a call), and
        // hold at least `lead` and `bytes` initialised bytes.
        unsafe { std::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast::<u8>().add(lead), length) }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: bytes change through a shared reference only inside `run`, which holds the memory exclusively
        // and never calls this; the words hold at least `lead` and `bytes` bytes.
        unsafe { std::slice::from_raw_parts(self.own_words().as_ptr().cast(), self.bytes as usize) }
    }
}

fn zeros(count: u64) -> Box<[AtomicU64]> {
    // Zeroed pages come from the system untouched, so that a large arena costs only what is used of it.
    let words = vec![0u64; count as usize].into_boxed_slice();
    // SAFETY: `AtomicU64` has the layout of `u64`, and the box is given up whole.
    unsafe { Box::from_raw(Box::into_raw(words) as *mut [AtomicU64]) }
}

/// The words of a bitmap, and the bits in them, that belong to the `count` bytes at `offset`.
fn bit_masks(offset: u64, count: u64) -> impl Iterator<Item = (usize, u64)> {
    let end = offset + count;
    let words = if count == 0 { 0..0 } else { offset / 64..(end - 1) / 64 + 1 };
    words.map(move |word| {
        let first = offset.max(word * 64) - word * 64;
        let last = (end - 1).min(word * 64 + 63) - word * 64;
        (word as usize, (u64::MAX >> (63 - (last - first))) << first)
    })
}
