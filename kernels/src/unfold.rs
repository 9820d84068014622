//! The windows of a convolution, and their way back. See `unfold.cu`.

use bytemuck::{Pod, Zeroable};

use crate::entry::{blocks, float_entries, module};
use crate::{Entry, Float, Launch};

module!("unfold");

/// `UNFOLD_THREADS` of the source.
const THREADS: u32 = 256;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct UnfoldArgs {
    y: u64,
    x: u64,
    elements: u64,
    channels: u64,
    times: u64,
    positions: u64,
    taps: u64,
    stride: u64,
    dilation: u64,
    padding: u64,
}

float_entries! {
    UNFOLD: UnfoldArgs = "unfold_fwd";
    FOLD: UnfoldArgs = "fold_fwd";
}

/// Windows y (B, P, C, K) of x (B, C, T), both gapless.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// The dtype of both.
    pub dtype: Float,
    /// The windows.
    pub y: u64,
    /// What they look at.
    pub x: u64,
    /// B.
    pub batch: u64,
    /// C.
    pub channels: u64,
    /// T.
    pub times: u64,
    /// P, how many windows.
    pub positions: u64,
    /// K, elements of a window.
    pub taps: u64,
    /// How far a window is from the next.
    pub stride: u64,
    /// How far apart its elements are.
    pub dilation: u64,
    /// How far before the first element the first window begins.
    pub padding: u64,
}

impl Windows {
    fn launch(&self, table: &'static [Entry; 3], elements: u64) -> Launch {
        let params = UnfoldArgs {
            y: self.y,
            x: self.x,
            elements,
            channels: self.channels,
            times: self.times,
            positions: self.positions,
            taps: self.taps,
            stride: self.stride,
            dilation: self.dilation,
            padding: self.padding,
        };
        let grid = [blocks(elements.div_ceil(u64::from(THREADS))), 1, 1];
        table[self.dtype as usize].launch(grid, THREADS, &params)
    }
}

/// y from x.
pub fn unfold(w: &Windows) -> Launch {
    w.launch(&UNFOLD, w.batch * w.positions * w.channels * w.taps)
}

/// x as the sum of the windows y.
pub fn fold(w: &Windows) -> Launch {
    w.launch(&FOLD, w.batch * w.channels * w.times)
}
