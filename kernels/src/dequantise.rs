//! The numbers that quantised blocks stand for. See `dequantise.cu`.

use bytemuck::{Pod, Zeroable};
use warpsmith_gguf::Kind;

use crate::Launch;
use crate::cast::{Cast, cast};
use crate::dtype::Dtype;
use crate::entry::{blocks, entries, module};
use crate::space::{Operand, dims};

module!("dequantise");

/// `DEQUANTISE_THREADS` of the source.
const THREADS: u32 = 256;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct DequantiseArgs {
    y: u64,
    x: u64,
    units: u64,
}

entries! {
    DEQUANTISE: DequantiseArgs = "dequantise_fwd_q4_0"
        | "dequantise_fwd_q4_1"
        | "dequantise_fwd_q5_0"
        | "dequantise_fwd_q5_1"
        | "dequantise_fwd_q8_0"
        | "dequantise_fwd_q4_k"
        | "dequantise_fwd_q6_k";
}

/// Blocks to f32; both operands are gapless and start at multiples of 16 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Dequantise {
    /// What the blocks are.
    pub kind: Kind,
    /// To where.
    pub y: u64,
    /// From where.
    pub x: u64,
    /// How many numbers: whole blocks.
    pub count: u64,
}

/// The launch of `dequantise`; of floats it is a cast, or a copy.
pub fn dequantise(d: &Dequantise) -> Launch {
    let cast_from = |from: Dtype| {
        let at = |pointer| Operand::contiguous(pointer, dims(&[d.count as usize]));
        cast(&Cast { from, to: Dtype::F32, dims: dims(&[d.count as usize]), y: at(d.y), x: at(d.x) })
    };
    let entry = match d.kind {
        Kind::F32 => return cast_from(Dtype::F32),
        Kind::F16 => return cast_from(Dtype::F16),
        Kind::Bf16 => return cast_from(Dtype::Bf16),
        Kind::Q4_0 => 0,
        Kind::Q4_1 => 1,
        Kind::Q5_0 => 2,
        Kind::Q5_1 => 3,
        Kind::Q8_0 => 4,
        Kind::Q4K => 5,
        Kind::Q6K => 6,
    };
    let units = d.count / 32;
    let grid = [blocks(units.div_ceil(u64::from(THREADS))), 1, 1];
    DEQUANTISE[entry].launch(grid, THREADS, &DequantiseArgs { y: d.y, x: d.x, units })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_finds_the_entry_of_its_name() {
        for kind in Kind::ALL {
            let launch = dequantise(&Dequantise { kind, y: 0, x: 0, count: 256 * 33 });
            let name = kind.name().to_lowercase();
            let expected = match kind {
                Kind::F32 => "copy_fwd_b32".to_owned(),
                Kind::F16 | Kind::Bf16 => format!("cast_{name}_to_f32"),
                _ => format!("dequantise_fwd_{name}"),
            };
            assert_eq!(launch.entry.name, expected);
        }
        let blocks = |count| dequantise(&Dequantise { kind: Kind::Q8_0, y: 0, x: 0, count }).grid[0];
        assert_eq!([0, 32, 256 * 32, 256 * 32 + 32].map(blocks), [0, 1, 1, 2]);
    }
}
