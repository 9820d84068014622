//! y = x in another dtype. See `cast.cu`.

use bytemuck::{Pod, Zeroable};

use crate::Launch;
use crate::copy::{Copy, copy};
use crate::dtype::Dtype;
use crate::entry::{entries, module};
use crate::space::{Dims, Operand, Space, Space2, THREADS};

module!("cast");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct CastArgs {
    y: u64,
    x: u64,
    space: Space2,
}

entries! {
    FROM_F32: CastArgs = "cast_f32_to_f16"
        | "cast_f32_to_bf16"
        | "cast_f32_to_i64"
        | "cast_f32_to_u32"
        | "cast_f32_to_u8"
        | "cast_f32_to_bool8";
    FROM_F16: CastArgs = "cast_f16_to_f32"
        | "cast_f16_to_bf16"
        | "cast_f16_to_i64"
        | "cast_f16_to_u32"
        | "cast_f16_to_u8"
        | "cast_f16_to_bool8";
    FROM_BF16: CastArgs = "cast_bf16_to_f32"
        | "cast_bf16_to_f16"
        | "cast_bf16_to_i64"
        | "cast_bf16_to_u32"
        | "cast_bf16_to_u8"
        | "cast_bf16_to_bool8";
    FROM_I64: CastArgs = "cast_i64_to_f32"
        | "cast_i64_to_f16"
        | "cast_i64_to_bf16"
        | "cast_i64_to_u32"
        | "cast_i64_to_u8"
        | "cast_i64_to_bool8";
    FROM_U32: CastArgs = "cast_u32_to_f32"
        | "cast_u32_to_f16"
        | "cast_u32_to_bf16"
        | "cast_u32_to_i64"
        | "cast_u32_to_u8"
        | "cast_u32_to_bool8";
    FROM_U8: CastArgs = "cast_u8_to_f32"
        | "cast_u8_to_f16"
        | "cast_u8_to_bf16"
        | "cast_u8_to_i64"
        | "cast_u8_to_u32"
        | "cast_u8_to_bool8";
    FROM_BOOL: CastArgs = "cast_bool8_to_f32"
        | "cast_bool8_to_f16"
        | "cast_bool8_to_bf16"
        | "cast_bool8_to_i64"
        | "cast_bool8_to_u32"
        | "cast_bool8_to_u8";
}

/// A change of dtype; neither operand need be gapless.
#[derive(Clone, Copy, Debug)]
pub struct Cast {
    /// The dtype of x.
    pub from: Dtype,
    /// The dtype of y.
    pub to: Dtype,
    /// The shape of both.
    pub dims: Dims,
    /// To where.
    pub y: Operand,
    /// From where; stride 0 repeats.
    pub x: Operand,
}

/// The launch of a cast, or of a copy if the dtypes are one.
pub fn cast(c: &Cast) -> Launch {
    if c.from == c.to {
        return copy(&Copy { dtype: c.to, dims: c.dims, y: c.y, x: c.x });
    }
    let table = match c.from {
        Dtype::F32 => &FROM_F32,
        Dtype::F16 => &FROM_F16,
        Dtype::Bf16 => &FROM_BF16,
        Dtype::I64 => &FROM_I64,
        Dtype::U32 => &FROM_U32,
        Dtype::U8 => &FROM_U8,
        Dtype::Bool => &FROM_BOOL,
    };
    // Each table leaves out its own dtype.
    let place = c.to as usize - usize::from(c.to as usize > c.from as usize);
    let space = Space::new(c.dims, [&c.y, &c.x]);
    let grid = space.grid(16 / c.from.size().max(c.to.size()));
    table[place].launch(grid, THREADS, &CastArgs { y: c.y.pointer, x: c.x.pointer, space: space.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::dims;

    #[test]
    fn every_pair_of_dtypes_finds_the_entry_of_its_name() {
        let all = [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::I64, Dtype::U32, Dtype::U8, Dtype::Bool];
        let name = |dtype: Dtype| match dtype {
            Dtype::Bool => "bool8".to_owned(),
            dtype => format!("{dtype:?}").to_lowercase(),
        };
        let x = Operand::contiguous(0, dims(&[3]));
        for (from, to) in all.iter().flat_map(|&from| all.map(|to| (from, to))).filter(|(a, b)| a != b) {
            let launch = cast(&Cast { from, to, dims: dims(&[3]), y: x, x });
            assert_eq!(launch.entry.name, format!("cast_{}_to_{}", name(from), name(to)));
        }
    }
}
