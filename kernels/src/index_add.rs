//! Adds slices at given places of an axis, in a fixed order. See `index_add.cu`.

use bytemuck::{Pod, Zeroable};

use crate::entry::{blocks, float_entries, module};
use crate::index::Places;
use crate::{Float, Launch};

module!("index_add");

/// `SUM_THREADS` of the source.
const THREADS: u32 = 256;
/// `SORT_THREADS` of the source.
const SORT_THREADS: u32 = 1024;
/// Keys that one block sorts in shared memory: `SORT_TILE` of the source.
const TILE: u64 = 2048;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct KeysArgs {
    keys: u64,
    index: u64,
    bad: u64,
    places: u64,
    padded: u64,
    size: u64,
    kind: u32,
    unused: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct TileArgs {
    keys: u64,
    first: u64,
    last: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct StepArgs {
    keys: u64,
    pairs: u64,
    block: u64,
    step: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SumArgs {
    y: u64,
    v: u64,
    keys: u64,
    outer: u64,
    places: u64,
    size: u64,
    inner: u64,
}

float_entries! {
    INDEX_ADD: SumArgs = "index_add_fwd";
    @also
    KEYS: KeysArgs = "index_add_keys_u64";
    SORT_TILE: TileArgs = "index_add_sort_tile_u64";
    SORT_STEP: StepArgs = "index_add_sort_step_u64";
}

fn padded(places: u64) -> u64 {
    places.next_power_of_two().max(TILE)
}

/// Bytes that the sorted indices take.
pub fn workspace(places: u64) -> u64 {
    padded(places) * 8
}

/// The launches of y (outer, size, inner) at `index` (places) += v (outer, places, inner), in the order of the places, in
/// the order in which they run. `keys` is room for [`workspace`] bytes. For the gradient of an embedding table fill y
/// with zeros first.
pub fn index_add(dtype: Float, y: u64, v: u64, keys: u64, p: &Places) -> Vec<Launch> {
    let padded = padded(p.places);
    let Places { index, kind, bad, outer, places, size, inner } = *p;
    let grid = |threads: u64| [blocks(threads.div_ceil(u64::from(THREADS))), 1, 1];
    let all = KeysArgs { keys, index, bad, places, padded, size, kind: kind as u32, unused: 0 };
    let mut launches = vec![KEYS[0].launch(grid(padded), THREADS, &all)];
    let tiles = [blocks(padded / TILE), 1, 1];
    let tile = |first, last| SORT_TILE[0].launch(tiles, SORT_THREADS, &TileArgs { keys, first, last });
    // What is beyond the places is padding, alike and last: a run that holds all of them is the end.
    launches.push(tile(2, p.places.next_power_of_two().min(TILE)));
    let mut block = 2 * TILE;
    while block <= padded {
        let mut step = block / 2;
        while step >= TILE {
            let step_of = StepArgs { keys, pairs: padded / 2, block, step };
            launches.push(SORT_STEP[0].launch(grid(padded / 2), THREADS, &step_of));
            step /= 2;
        }
        launches.push(tile(block, block));
        block *= 2;
    }
    let sum = SumArgs { y, v, keys, outer, places, size, inner };
    launches.push(INDEX_ADD[dtype as usize].launch(grid(outer * places * inner), THREADS, &sum));
    launches
}
