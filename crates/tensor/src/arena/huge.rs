//! Huge pages for large blocks. A page of 2 MiB in place of 512 small ones is one fault instead of 512 when it is first
//! touched, and one entry of the processor's table of pages: a decoder that reads all weights for each token, or a softmax
//! over a whole vocabulary, waits for both.

use super::Line;

/// Below this there is too little in it: two huge pages.
const LEAST: usize = 4 << 20;

/// Asks the system to back a fresh block, which nobody has touched yet, by huge pages. It may not, and nothing else changes.
#[cfg(target_os = "linux")]
pub fn ask_for_huge_pages(block: &mut [Line]) {
    let bytes = size_of_val(block);
    if bytes < LEAST {
        return;
    }
    let first = block.as_mut_ptr().cast::<u8>();
    // The advice is for whole pages: it begins with the first that lies in the block, and ends with the last.
    let page = page_size();
    let skipped = first.align_offset(page);
    let len = bytes.saturating_sub(skipped) / page * page;
    // SAFETY: the pages lie in the block. The advice changes how they are mapped and not what they hold, and a refusal
    // changes nothing.
    unsafe { libc::madvise(first.add(skipped).cast(), len, libc::MADV_HUGEPAGE) };
}

#[cfg(target_os = "linux")]
fn page_size() -> usize {
    // SAFETY: a question without arguments that are pointers.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(4096)
}

/// Elsewhere the system decides.
#[cfg(not(target_os = "linux"))]
pub fn ask_for_huge_pages(_block: &mut [Line]) {}
