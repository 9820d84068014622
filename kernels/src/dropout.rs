//! Zeroes a random share of the elements. See `dropout.cu`.

use bytemuck::{Pod, Zeroable};

use crate::entry::{blocks, float_entries, module};
use crate::{Float, Launch};

module!("dropout");

/// `DROPOUT_THREADS` of the source.
const THREADS: u32 = 256;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct DropoutArgs {
    y: u64,
    x: u64,
    elements: u64,
    seed: u64,
    stream: u64,
    advance: u64,
    p: f32,
    factor: f32,
    is_aligned: u32,
    unused: u32,
}

float_entries! {
    DROPOUT: DropoutArgs = "dropout_fwd";
}

/// y = x/(1 - p) where number i of a stream is at least p, else 0; on the gradient it is its own backward pass.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// The dtype of x and y.
    pub dtype: Float,
    /// The output, gapless; may be x.
    pub y: u64,
    /// The input, gapless.
    pub x: u64,
    /// How many.
    pub elements: u64,
    /// The share that is dropped, in [0, 1].
    pub p: f64,
    /// The seed of the random numbers.
    pub seed: u64,
    /// Their stream.
    pub stream: u64,
    /// The address of one u64, for launches that are recorded: the stream is so many times 2³² later. 0: none.
    pub advance: u64,
}

/// The launch of dropout.
pub fn dropout(d: &Dropout) -> Launch {
    let factor = if d.p < 1.0 { (1.0 / (1.0 - d.p)) as f32 } else { 0.0 };
    let is_aligned = (d.x | d.y).is_multiple_of(4 * d.dtype.size() as u64);
    let params = DropoutArgs {
        y: d.y,
        x: d.x,
        elements: d.elements,
        seed: d.seed,
        stream: d.stream,
        advance: d.advance,
        p: d.p as f32,
        factor,
        is_aligned: u32::from(is_aligned),
        unused: 0,
    };
    let grid = [blocks(d.elements.div_ceil(4 * u64::from(THREADS))), 1, 1];
    DROPOUT[d.dtype as usize].launch(grid, THREADS, &params)
}
