//! The f32 product on the scalar units.

use super::args::MatmulArgs;
use crate::Launch;
use crate::entry::{entries, module};

module!("matmul_f32");

entries! {
    STRIDED: MatmulArgs = "matmul_strided_f32";
}

pub(super) fn launch(args: &MatmulArgs, blocks: u32) -> Launch {
    /// `THREADS` of the source.
    const THREADS: u32 = 128;
    STRIDED[0].launch([blocks, 1, 1], THREADS, args)
}
