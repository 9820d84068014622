//! One step of an LSTM or GRU cell, and its gradients. See `recurrent.cu`.

use bytemuck::{Pod, Zeroable};

use crate::entry::{blocks, float_entries, module};
use crate::{Entry, Float, Launch};

module!("recurrent");

/// `CELL_THREADS` of the source.
const THREADS: u32 = 256;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct CellArgs {
    y: [u64; 3],
    x: [u64; 4],
    elements: u64,
    width: u64,
}

float_entries! {
    LSTM: CellArgs = "lstm_cell_fwd";
    LSTM_BACKWARD: CellArgs = "lstm_cell_bwd";
    GRU: CellArgs = "gru_cell_fwd";
    GRU_BACKWARD: CellArgs = "gru_cell_bwd";
}

/// What all four take: the dtype of all operands and the shape of a state.
#[derive(Clone, Copy, Debug)]
pub struct States {
    /// The dtype of all operands.
    pub dtype: Float,
    /// B·H: elements of a state.
    pub elements: u64,
    /// H.
    pub width: u64,
}

impl States {
    fn launch(&self, table: &'static [Entry; 3], y: [u64; 3], x: [u64; 4]) -> Launch {
        let params = CellArgs { y, x, elements: self.elements, width: self.width };
        let grid = [blocks(self.elements.div_ceil(u64::from(THREADS))), 1, 1];
        table[self.dtype as usize].launch(grid, THREADS, &params)
    }
}

/// h and c' (B, H) of an LSTM, from its gates (B, 4H) and c (B, H). All gapless.
pub fn lstm(states: &States, [h, next]: [u64; 2], [gates, c]: [u64; 2]) -> Launch {
    states.launch(&LSTM, [h, next, 0], [gates, c, 0, 0])
}

/// The gradients of the gates and of c, from those of h and c', the gates and c.
pub fn lstm_backward(states: &States, [dgates, dc]: [u64; 2], x: [u64; 4]) -> Launch {
    states.launch(&LSTM_BACKWARD, [dgates, dc, 0], x)
}

/// h' (B, H) of a GRU, from the gates of the input and of the state, each (B, 3H), and h (B, H). All gapless.
pub fn gru(states: &States, next: u64, [input, state, h]: [u64; 3]) -> Launch {
    states.launch(&GRU, [next, 0, 0], [input, state, h, 0])
}

/// The gradients of the input's gates, the state's gates and h, from that of h', both gates and h.
pub fn gru_backward(states: &States, y: [u64; 3], x: [u64; 4]) -> Launch {
    states.launch(&GRU_BACKWARD, y, x)
}
