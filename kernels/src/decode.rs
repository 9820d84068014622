//! Attention of one new query per batch row over a long cache. See `decode.cu`.

use bytemuck::{Pod, Zeroable};

use crate::attention::{Attention, Shape, THREADS, args::AttentionArgs};
use crate::entry::{blocks, entries, module};
use crate::{Entry, Launch};

module!("decode");

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct DecodeArgs {
    attention: AttentionArgs,
    partial: u64,
    parts: u32,
    unused: u32,
}

entries! {
    SPLIT_D64: DecodeArgs = "decode_split_d64_f32" | "decode_split_d64_f16" | "decode_split_d64_bf16";
    SPLIT_D128: DecodeArgs = "decode_split_d128_f32" | "decode_split_d128_f16" | "decode_split_d128_bf16";
    SPLIT_D256: DecodeArgs = "decode_split_d256_f32" | "decode_split_d256_f16" | "decode_split_d256_bf16";
    GROUP_D64: DecodeArgs =
        "decode_split_group_d64_f32" | "decode_split_group_d64_f16" | "decode_split_group_d64_bf16";
    GROUP_D128: DecodeArgs =
        "decode_split_group_d128_f32" | "decode_split_group_d128_f16" | "decode_split_group_d128_bf16";
    GROUP_D256: DecodeArgs =
        "decode_split_group_d256_f32" | "decode_split_group_d256_f16" | "decode_split_group_d256_bf16";
    MERGE: DecodeArgs = "decode_merge_f32" | "decode_merge_f16" | "decode_merge_bf16";
}

/// `PART` of the source: keys per block, fixed, so that a row's bits depend on its own keys alone.
const PART: u32 = 64;

/// Whether these kernels can compute it: one query per batch row, no dropout, a width that has a kernel.
pub fn fits(a: &Attention) -> bool {
    a.queries == 1 && a.dropout.is_none() && Shape::of(a).is_some()
}

/// Bytes of workspace for partial outputs.
pub fn workspace_bytes(a: &Attention) -> u64 {
    let rows = u64::from(a.batch) * u64::from(a.heads);
    rows * u64::from(a.keys.div_ceil(PART)) * u64::from(a.width + 2) * 4
}

/// The launches, in order; lse is written if its pointer is not 0.
///
/// `None` if the call does not [`fits`].
pub fn forward(a: &Attention, workspace: u64) -> Option<[Launch; 2]> {
    let shape = Shape::of(a).filter(|_| fits(a))?;
    let parts = a.keys.div_ceil(PART);
    let args = DecodeArgs { attention: AttentionArgs::new(a, None), partial: workspace, parts, unused: 0 };
    let group = a.heads / a.kv_heads.max(1);
    // `G` of the source: heads that share the read of a key.
    let shared = if group > 1 { 4 } else { 1 };
    let table: &'static [Entry] = match (shape, shared) {
        (Shape::D64, 1) => &SPLIT_D64,
        (Shape::D128, 1) => &SPLIT_D128,
        (Shape::D256, 1) => &SPLIT_D256,
        (Shape::D64, _) => &GROUP_D64,
        (Shape::D128, _) => &GROUP_D128,
        (Shape::D256, _) => &GROUP_D256,
    };
    let dtype = a.dtype as usize;
    let batch = u64::from(a.batch);
    let groups = batch * u64::from(a.kv_heads) * u64::from(group.div_ceil(shared));
    // A warp for each row.
    let merging = (batch * u64::from(a.heads)).div_ceil(u64::from(THREADS / 32));
    Some([
        table[dtype].launch([blocks(groups.saturating_mul(parts.into())), 1, 1], THREADS, &args),
        MERGE[dtype].launch([blocks(merging), 1, 1], THREADS, &args),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Float;
    use crate::attention::{Dropout, Heads, Mask};

    fn attention() -> Attention {
        let array = Heads { pointer: 0x1000, batch: 512, time: 512, head: 64 };
        Attention {
            dtype: Float::Bf16,
            batch: 3,
            queries: 1,
            keys: 600,
            heads: 8,
            kv_heads: 8,
            width: 64,
            q: array,
            k: array,
            v: array,
            out: array,
            lse: 0,
            lengths: 0,
            scale: 0.125,
            mask: Mask::Causal,
            dropout: None,
        }
    }

    #[test]
    fn blocks_cover_parts_of_the_cache_and_groups_of_heads() {
        let [split, merge] = forward(&attention(), 0x9000).unwrap();
        assert_eq!((split.entry.name, split.grid[0]), ("decode_split_d64_bf16", 3 * 8 * 10));
        assert_eq!((merge.entry.name, merge.grid[0]), ("decode_merge_bf16", 6));
        let grouped = Attention { heads: 10, kv_heads: 2, width: 80, ..attention() };
        let [split, _] = forward(&grouped, 0x9000).unwrap();
        assert_eq!((split.entry.name, split.grid[0]), ("decode_split_group_d128_bf16", 3 * 2 * 2 * 10));
        assert_eq!(workspace_bytes(&grouped), 3 * 10 * 10 * 82 * 4);
    }

    #[test]
    fn what_it_cannot_do_is_refused() {
        let dropout = Some(Dropout { p: 0.5, seed: 1, stream: 2, advance: 0 });
        for a in [
            Attention { queries: 2, ..attention() },
            Attention { dropout, ..attention() },
            Attention { width: 257, ..attention() },
        ] {
            assert!(forward(&a, 0).is_none());
        }
    }
}
