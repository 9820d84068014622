//! Parallel text as WMT has it: two files, whose lines with the same number mean the same.

use std::path::Path;

use super::columns::lines;
use crate::{Error, Result};

/// The pairs of lines of two files.
///
/// # Errors
/// As [`lines`]; and if one file has more lines than the other, naming the first that has no partner.
pub fn pairs(source: &Path, target: &Path, max_bytes: usize) -> Result<Vec<(String, String)>> {
    let (a, b) = (lines(source, max_bytes)?, lines(target, max_bytes)?);
    same_count((source, a.len()), (target, b.len()))?;
    Ok(a.into_iter().zip(b).map(|((_, a), (_, b))| (a, b)).collect())
}

/// An error naming the first line of the longer file that has no partner in the other.
///
/// # Errors
/// If the counts differ.
pub fn same_count((a, rows): (&Path, usize), (b, others): (&Path, usize)) -> Result<()> {
    let (longer, shorter, more, fewer) =
        if rows > others { (a, b, rows, others) } else { (b, a, others, rows) };
    match more == fewer {
        true => Ok(()),
        false => {
            let problem = format!(
                "no partner for it: {} has {fewer} lines, this file has {more}; they must be as many",
                shorter.display()
            );
            Err(Error::line(longer, fewer as u64 + 1, problem))
        }
    }
}
