//! Tensors that come from no other: one value, or the numbers from 0 on. See `fill.cu`.

use bytemuck::{Pod, Zeroable};

use crate::entry::{blocks, entries, module};
use crate::{Dtype, Entry, Launch};

module!("fill");

/// `FILL_THREADS` of the source.
const THREADS: u32 = 256;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct FillArgs {
    y: u64,
    elements: u64,
    value: u64,
}

entries! {
    VALUE: FillArgs = "fill_value_b64";
    COUNT: FillArgs = "fill_count_f32" | "fill_count_f16" | "fill_count_bf16" | "fill_count_i64" | "fill_count_u32"
        | "fill_count_u8";
}

/// The launch that writes one value of 8 bytes to `elements` places from `y` on; the driver itself fills with shorter ones.
pub fn fill(y: u64, value: u64, elements: u64) -> Launch {
    launch(&VALUE[0], FillArgs { y, elements, value })
}

/// The launch that writes 0, 1, … to `elements` places from `y` on; a truth value counts as a byte.
pub fn count(dtype: Dtype, y: u64, elements: u64) -> Launch {
    let entry: &'static Entry = match dtype {
        Dtype::F32 => &COUNT[0],
        Dtype::F16 => &COUNT[1],
        Dtype::Bf16 => &COUNT[2],
        Dtype::I64 => &COUNT[3],
        Dtype::U32 => &COUNT[4],
        Dtype::U8 | Dtype::Bool => &COUNT[5],
    };
    launch(entry, FillArgs { y, elements, value: 0 })
}

fn launch(entry: &'static Entry, args: FillArgs) -> Launch {
    entry.launch([blocks(args.elements.div_ceil(u64::from(THREADS))), 1, 1], THREADS, &args)
}
