//! A cell for every few bytes that were touched, in pages that are made when they are first needed.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::cell::{Cell, Lists};
use super::footprints::Touched;

/// Bytes that a page stands for. No access crosses a page: they are aligned and at most 16 bytes wide.
pub(super) const PAGE: u64 = 1 << 10;

/// log₂ of the bytes that a cell stands for at first.
const GRAIN: u32 = 2;

/// Page numbers are spread well by one multiplication; the default hasher would cost more than the check itself.
#[derive(Debug, Default)]
pub(super) struct PageHasher(u64);

impl Hasher for PageHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(self.0 ^ u64::from(byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}

#[derive(Debug)]
struct Page {
    /// log₂ of the bytes of one cell: [`GRAIN`], until somebody accesses less.
    grain: u32,
    cells: Vec<Cell>,
}

/// The shadow of one memory.
#[derive(Debug)]
pub(super) struct Shadow {
    index: HashMap<u64, usize, BuildHasherDefault<PageHasher>>,
    pages: Vec<Page>,
    /// Pages that were cleared, to be used again.
    spare: Vec<Vec<Cell>>,
    /// The page of the last access, which is most often that of the next.
    last: (u64, usize),
}

impl Shadow {
    pub(super) fn new() -> Self {
        Shadow { index: HashMap::default(), pages: Vec::new(), spare: Vec::new(), last: (u64::MAX, 0) }
    }

    /// Forgets every access.
    pub(super) fn clear(&mut self) {
        self.index.clear();
        self.spare.extend(self.pages.drain(..).filter(|page| page.grain == GRAIN).map(|page| page.cells));
        self.last = (u64::MAX, 0);
    }

    /// The pages by number, and which of their bytes were touched.
    pub(super) fn touched(&self) -> impl Iterator<Item = (u64, Touched)> {
        self.index.iter().map(|(&number, &at)| (number, self.pages[at].touched()))
    }

    /// The cells of `bytes` bytes at `address`, which must be aligned to a power of two that is at least as large.
    #[inline]
    pub(super) fn cells(&mut self, address: u64, bytes: u32, lists: &mut Lists) -> &mut [Cell] {
        let number = address / PAGE;
        if self.last.0 != number {
            self.turn(number);
        }
        let page = &mut self.pages[self.last.1];
        if bytes >> page.grain == 0 {
            page.refine(bytes, lists);
        }
        let first = ((address % PAGE) >> page.grain) as usize;
        let end = page.cells.len().min(first + (bytes >> page.grain) as usize);
        &mut page.cells[first..end]
    }

    #[cold]
    fn turn(&mut self, number: u64) {
        let (pages, spare) = (&mut self.pages, &mut self.spare);
        let at = *self.index.entry(number).or_insert_with(|| {
            let mut cells = spare.pop().unwrap_or_default();
            cells.clear();
            cells.resize(PAGE as usize >> GRAIN, Cell::default());
            pages.push(Page { grain: GRAIN, cells });
            pages.len() - 1
        });
        self.last = (number, at);
    }
}

impl Page {
    fn touched(&self) -> Touched {
        let mut touched = Touched::NOTHING;
        let bytes = 1usize << self.grain;
        for (at, cell) in self.cells.iter().enumerate() {
            let (first, mask) = (at * bytes, (1u64 << bytes) - 1);
            let (word, bits) = (first / 64, mask << (first % 64));
            let (is_read, is_written) = cell.is_touched();
            touched.read[word] |= if is_read { bits } else { 0 };
            touched.written[word] |= if is_written { bits } else { 0 };
        }
        touched
    }

    /// Splits every cell until one covers no more than `bytes` bytes.
    #[cold]
    fn refine(&mut self, bytes: u32, lists: &mut Lists) {
        let grain = bytes.max(1).ilog2();
        let parts = 1usize << (self.grain - grain);
        let mut cells = Vec::with_capacity(self.cells.len() * parts);
        for cell in &self.cells {
            cells.push(*cell);
            for _ in 1..parts {
                cells.push(cell.split(lists));
            }
        }
        *self = Page { grain, cells };
    }
}
