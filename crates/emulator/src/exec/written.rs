//! A bit for each byte of shared memory: was it written?

/// The bits, 64 to a word.
#[derive(Debug)]
pub(crate) struct Written(Vec<u64>);

/// The bits of 1, 2, 4, 8 or 16 bytes at a multiple of as many: they lie in one word.
#[inline(always)]
fn bits(offset: u64, count: u64) -> (usize, u64) {
    ((offset / 64) as usize, ((1u64 << count) - 1) << (offset % 64))
}

impl Written {
    /// For `bytes` bytes that nobody has written.
    pub(crate) fn new(bytes: usize) -> Written {
        Written(vec![0; bytes.div_ceil(64)])
    }

    pub(crate) fn clear(&mut self) {
        self.0.fill(0);
    }

    /// Notes 1, 2, 4, 8 or 16 bytes at a multiple of as many.
    #[inline(always)]
    pub(crate) fn add(&mut self, offset: u64, count: u64) {
        let (word, mask) = bits(offset, count);
        self.0[word] |= mask;
    }

    /// True if all of as many bytes were written.
    #[inline(always)]
    pub(crate) fn has(&self, offset: u64, count: u64) -> bool {
        let (word, mask) = bits(offset, count);
        self.0[word] & mask == mask
    }
}
