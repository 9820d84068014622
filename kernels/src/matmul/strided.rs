//! The f32 product on the scalar units.

use super::args::MatmulArgs;
use crate::Launch;
use crate::entry::entries;

static MODULE: crate::Module =
    crate::Module { name: "matmul_f32", ptx: include_str!("../../built/matmul_f32.ptx") };

entries! {
    STRIDED: MatmulArgs = "matmul_strided_f32";
}

pub(super) fn launch(args: &MatmulArgs, blocks: u32) -> Launch {
    /// `THREADS` of the source.
    const THREADS: u32 = 128;
    STRIDED[0].launch([blocks, 1, 1], THREADS, args)
}
