//! The ladder of softmax along rows, in f32. See `ladder/softmax/`.

use super::{Count, Rung, claim, no_room, rung};
use crate::entry::blocks;
use crate::softmax::{Softmax, SoftmaxArgs, forward};
use crate::{Entry, Launch};

rung!(FIRST: SoftmaxArgs = "ladder/softmax/01_three_passes" { THREE_PASSES = "ladder_softmax_three_passes_f32" });
rung!(SECOND: SoftmaxArgs = "ladder/softmax/02_online" { ONLINE = "ladder_softmax_online_f32" });
rung!(THIRD: SoftmaxArgs = "ladder/softmax/03_warp_per_row" { WARP_PER_ROW = "ladder_softmax_warp_per_row_f32" });
rung!(FOURTH: SoftmaxArgs = "ladder/softmax/04_vectorised" { VECTORISED = "ladder_softmax_vectorised_f32" });
rung!(FIFTH: SoftmaxArgs = "ladder/softmax/05_shared_memory" { SHARED_MEMORY = "ladder_softmax_shared_memory_f32" });

pub(super) const ENTRIES: &[&Entry] = &[&THREE_PASSES, &ONLINE, &WARP_PER_ROW, &VECTORISED, &SHARED_MEMORY];

/// From naive to shipping. Of [`Softmax`] the form is the plain one and the dtype f32. The claims are for 32 rows of 1024.
pub static RUNGS: [Rung<Softmax>; 6] = [
    Rung { name: "three passes", claims: &[], room: no_room, launches: |s| thread_per_row(&THREE_PASSES, s) },
    Rung {
        name: "online",
        claims: &[claim(Count::BytesRead, 1.5)],
        room: no_room,
        launches: |s| thread_per_row(&ONLINE, s),
    },
    Rung {
        name: "warp per row",
        claims: &[claim(Count::SectorsRead, 8.0)],
        room: no_room,
        launches: |s| Ok(vec![launch(&WARP_PER_ROW, s, s.rows.div_ceil(8), [256, 1, 1])]),
    },
    Rung {
        name: "vectorised",
        claims: &[claim(Count::MemoryInstructions, 2.5), claim(Count::Instructions, 1.5)],
        room: no_room,
        launches: |s| Ok(vec![launch(&VECTORISED, s, s.rows.div_ceil(8), [32, 8, 1])]),
    },
    Rung {
        name: "shared memory",
        claims: &[claim(Count::BytesRead, 2.0)],
        room: no_room,
        launches: |s| {
            let mut launch = launch(&SHARED_MEMORY, s, s.rows, [512, 1, 1]);
            launch.shared_bytes = 4 * s.n.min(KEPT).next_multiple_of(4);
            Ok(vec![launch])
        },
    },
    Rung {
        name: "shipping: registers",
        claims: &[claim(Count::SharedBytes, 20.0)],
        room: no_room,
        launches: |s| Ok(vec![forward(s)]),
    },
];

/// `KEPT` of `05_shared_memory.cu`.
const KEPT: u32 = 16_384;

fn thread_per_row(entry: &'static Entry, s: &Softmax) -> Result<Vec<Launch>, &'static str> {
    Ok(vec![launch(entry, s, s.rows.div_ceil(256), [256, 1, 1])])
}

fn launch(entry: &'static Entry, s: &Softmax, groups: u64, block: [u32; 3]) -> Launch {
    entry.launch_in([blocks(groups), 1, 1], block, &SoftmaxArgs::new(s))
}
