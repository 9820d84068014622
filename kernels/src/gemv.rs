//! Products of few rows, for decoding. See `gemv.cu`.

use crate::entry::{float_entries, module};
use crate::matmul::{Matmul, args::MatmulArgs};
use crate::{Launch, MOST_BLOCKS};

module!("gemv");

float_entries! {
    NT: MatmulArgs = "gemv_nt";
    NT_ROWS: MatmulArgs = "gemv_nt_rows";
    NN: MatmulArgs = "gemv_nn";
    NN_ROWS: MatmulArgs = "gemv_nn_rows";
}

/// Rows that share one read of B: `M` of the `rows` entries.
pub const ROWS: u32 = 8;

/// The launch of a product, or `None` if it has more rows than a grid takes, [`ROWS`] at a time, or several batch indices,
/// or if A's columns or both axes of B have gaps.
///
/// The bits of a row do not depend on the other rows, but they are not those of [`crate::matmul::matmul`].
pub fn gemv(p: &Matmul) -> Option<Launch> {
    let along_k = p.b.row == 1 || p.k <= 1;
    let along_n = p.b.col == 1 || p.n <= 1;
    let groups = p.m.div_ceil(ROWS);
    if groups > MOST_BLOCKS[1]
        || p.batch.iter().any(|&b| b != 1)
        || (p.a.col != 1 && p.k > 1)
        || !(along_k || along_n)
    {
        return None;
    }
    let mut args = MatmulArgs::single(p);
    let per_access = 16 / p.dtype.size() as u64;
    args.align_rows(p, per_access, !along_n);
    let table = match (along_n, p.m > 1) {
        (true, false) => &NN,
        (true, true) => &NN_ROWS,
        (false, false) => &NT,
        (false, true) => &NT_ROWS,
    };
    // Columns of C per block, and its threads: `COLUMNS`, `THREADS` and `NT_THREADS` of the source.
    let (columns, threads) = if along_n { (16, 256) } else { (4, 64) };
    Some(table[p.dtype as usize].launch([p.n.div_ceil(columns), groups, 1], threads, &args))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Float;
    use crate::matmul::Matrix;

    fn product() -> Matmul {
        Matmul::plain(
            Float::Bf16,
            [1, 768, 512],
            Matrix { pointer: 0x1000, row: 512, col: 1, batch: [0; 3] },
            Matrix { pointer: 0x2000, row: 768, col: 1, batch: [0; 3] },
            0x3000,
        )
    }

    #[test]
    fn entries_follow_layout_and_rows() {
        let of = |p: &Matmul| gemv(p).map(|l| (l.entry.name, [l.grid[0], l.grid[1]]));
        assert_eq!(of(&product()), Some(("gemv_nn_bf16", [48, 1])));
        let transposed = Matrix { row: 1, col: 512, ..product().b };
        assert_eq!(of(&Matmul { b: transposed, m: 3, ..product() }), Some(("gemv_nt_rows_bf16", [192, 1])));
        assert_eq!(of(&Matmul { m: 17, ..product() }), Some(("gemv_nn_rows_bf16", [48, 3])));
        assert_eq!(of(&Matmul { m: 0, ..product() }), Some(("gemv_nn_bf16", [48, 0])));
    }

    #[test]
    fn what_it_cannot_do_is_refused() {
        let odd = Matrix { row: 3, col: 2, ..product().b };
        for p in [
            Matmul { m: 8 * 65_535 + 1, ..product() },
            Matmul { batch: [2, 1, 1], ..product() },
            Matmul { b: odd, ..product() },
            Matmul { a: Matrix { row: 1, col: 8, ..product().a }, ..product() },
        ] {
            assert!(gemv(&p).is_none());
        }
    }

    #[test]
    fn alignment_is_that_of_the_access() {
        // `flags` is the last word: 4 for A, 8 for B.
        let flags = |p: &Matmul| gemv(p).map(|l| l.params[l.params.len() - 4] & 12);
        assert_eq!(flags(&product()), Some(12));
        let odd = Matrix { pointer: 0x2008, ..product().b };
        assert_eq!(flags(&Matmul { b: odd, ..product() }), Some(4));
        let transposed = Matrix { row: 1, col: 516, ..product().b };
        assert_eq!(flags(&Matmul { b: transposed, ..product() }), Some(4));
    }
}
