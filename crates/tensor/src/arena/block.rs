//! One block of host memory, asked of the system.
//!
//! Large ones are mappings of their own, in huge pages where the system has them. A page of 2 MiB in place of 512 small ones
//! is one fault instead of 512 when it is first touched, and one entry of the processor's table of pages: a decoder that
//! reads all weights for each token, or a softmax over a whole vocabulary, waits for both. An allocator would not do: it
//! hands out memory that was touched before, whose small pages stay.

use std::ops::{Deref, DerefMut};

use memmap2::{MmapMut, MmapOptions};

use super::{LINE, Line};

/// From this size on a block is a mapping: one huge page.
const LARGE: usize = 2 << 20;

/// A whole number of lines, zero when fresh.
#[derive(Debug)]
pub(crate) enum Block {
    /// From the allocator.
    Small(Vec<Line>),
    /// From the system.
    Large(MmapMut),
}

impl Block {
    /// `lines` lines of zeros, or nothing if they cannot be had.
    pub(super) fn fresh(lines: usize) -> Option<Self> {
        let bytes = lines.checked_mul(LINE)?;
        if bytes >= LARGE {
            let block = MmapOptions::new().len(bytes).map_anon().ok()?;
            // Before the first touch: pages that are there already stay as they are. The system may refuse; nothing else
            // changes then.
            #[cfg(target_os = "linux")]
            let _ = block.advise(memmap2::Advice::HugePage);
            return Some(Self::Large(block));
        }
        let mut block = Vec::new();
        block.try_reserve_exact(lines).ok()?;
        block.resize(lines, Line([0; LINE]));
        Some(Self::Small(block))
    }
}

impl Default for Block {
    fn default() -> Self {
        Self::Small(Vec::new())
    }
}

impl Deref for Block {
    type Target = [Line];

    fn deref(&self) -> &[Line] {
        match self {
            Self::Small(lines) => lines,
            Self::Large(bytes) => bytemuck::cast_slice(bytes),
        }
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [Line] {
        match self {
            Self::Small(lines) => lines,
            Self::Large(bytes) => bytemuck::cast_slice_mut(bytes),
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// What Linux says of the mapping that `address` lies in, such as `("Rss:", "12 kB")` and `("VmFlags:", "rd wr hg")`.
    fn mapping(address: usize) -> Vec<(String, String)> {
        let all = std::fs::read_to_string("/proc/self/smaps").expect("this process's mappings");
        let mut inside = false;
        let mut facts = Vec::new();
        for line in all.lines() {
            let (head, rest) = line.split_once(' ').expect("a fact");
            if let Some((from, to)) = head.split_once('-') {
                let bound = |text| usize::from_str_radix(text, 16).expect("an address");
                inside = (bound(from)..bound(to)).contains(&address);
            } else if inside {
                facts.push((head.to_owned(), rest.trim().to_owned()));
            }
        }
        facts
    }

    #[test]
    fn large_blocks_are_asked_to_be_in_huge_pages_before_they_are_touched() {
        if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
            println!("skipped: this kernel has no transparent huge pages");
            return;
        }
        // Larger than all that other tests hold in mappings beside it, which may count as one with it.
        let lines = (512 << 20) / LINE;
        let block = Block::fresh(lines).expect("512 MiB of address space");
        let facts = mapping(block.as_ptr() as usize);
        let fact = |name: &str| &facts.iter().find(|(fact, _)| fact == name).expect(name).1;
        let resident: usize = fact("Rss:").trim_end_matches(" kB").parse().expect("a number");
        assert!(resident < 256 << 10, "touched: {resident} kB are there");
        assert!(fact("VmFlags:").split(' ').any(|flag| flag == "hg"), "{}", fact("VmFlags:"));
        assert!(block[lines - 1].0 == [0; LINE] && block[0].0 == [0; LINE]);
    }

    #[test]
    fn small_blocks_are_zeros_too_and_what_cannot_be_had_is_nothing() {
        assert!(
            Block::fresh(3)
                .is_some_and(|block| block.len() == 3 && block.iter().all(|line| line.0 == [0; LINE]))
        );
        assert!(Block::fresh(usize::MAX / LINE).is_none() && Block::fresh(usize::MAX).is_none());
    }
}
