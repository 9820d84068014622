//! Updates of many tensors in one launch: AdamW, SGD, clipping by the norm. See `optimise.cu`.

use bytemuck::{Pod, Zeroable};

use crate::entry::{float_entries, module};
use crate::{Entry, Float, Launch};

module!("optimise");

/// Elements per block: `PIECE` of the source.
const PIECE: u64 = 8192;
/// `PIECE_THREADS` of the source.
const THREADS: u32 = 256;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct OptimiseArgs {
    tensors: u64,
    numbers: u64,
    factor: u64,
    partial: u64,
    count: u32,
    is_nesterov: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct NormArgs {
    partial: u64,
    norm: u64,
    factor: u64,
    pieces: u64,
    max_norm: u64,
}

float_entries! {
    ADAMW: OptimiseArgs = "adamw_step";
    SGD: OptimiseArgs = "sgd_step";
    PARTIAL: OptimiseArgs = "clip_by_norm_partial";
    SCALE: OptimiseArgs = "clip_by_norm_scale";
    @also
    TOTAL: NormArgs = "clip_by_norm_total_f64";
}

/// One parameter as the kernels see it: make one per tensor, [`number_pieces`], and copy them to the device.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Parameter {
    /// The parameter, f32.
    pub p: u64,
    /// Its gradient.
    pub g: u64,
    /// The running mean of the gradient, or the velocity of SGD, f32; 0 for SGD without momentum.
    pub m: u64,
    /// The running mean of its square, f32.
    pub v: u64,
    /// A copy of the parameter in the dtype of the gradient; 0 for none.
    pub copy: u64,
    /// How many elements.
    pub elements: u64,
    /// Set by [`number_pieces`].
    pub first_piece: u64,
}

/// Sets the first piece of every parameter; how many pieces there are. Empty tensors have none.
pub fn number_pieces(parameters: &mut [Parameter]) -> u64 {
    parameters.iter_mut().fold(0, |pieces, parameter| {
        parameter.first_piece = pieces;
        pieces + parameter.elements.div_ceil(PIECE)
    })
}

/// A table of parameters on the device.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// The dtype of all gradients.
    pub dtype: Float,
    /// [`Parameter`]s, with their pieces numbered.
    pub parameters: u64,
    /// How many.
    pub count: u32,
    /// How many pieces they have: see [`number_pieces`].
    pub pieces: u64,
}

impl Table {
    fn launch(
        &self,
        entries: &'static [Entry; 3],
        [numbers, factor, partial]: [u64; 3],
        is_nesterov: bool,
    ) -> Launch {
        let params = OptimiseArgs {
            tensors: self.parameters,
            numbers,
            factor,
            partial,
            count: self.count,
            is_nesterov: u32::from(is_nesterov),
        };
        entries[self.dtype as usize].launch([self.pieces as u32, 1, 1], THREADS, &params)
    }
}

/// The launch of one step of AdamW. `numbers`: the address of 7 f32, see [`adamw_numbers`]; `factor`: of one f32 that
/// multiplies the gradients, or 0.
pub fn adamw(table: &Table, numbers: u64, factor: u64) -> Launch {
    table.launch(&ADAMW, [numbers, factor, 0], false)
}

/// The numbers of step `step`, counted from 1, of AdamW.
pub fn adamw_numbers(lr: f64, betas: [f64; 2], eps: f64, weight_decay: f64, step: u64) -> [f32; 7] {
    let rest = |beta: f64| 1.0 - beta.powf(step as f64);
    let [beta1, beta2] = betas;
    [1.0 - lr * weight_decay, 1.0 - beta1, beta2, 1.0 - beta2, rest(beta2).sqrt(), eps, lr / rest(beta1)]
        .map(|number| number as f32)
}

/// The launch of one step of SGD. `numbers`: the address of 3 f32, rate, momentum and weight decay.
pub fn sgd(table: &Table, numbers: u64, factor: u64, is_nesterov: bool) -> Launch {
    table.launch(&SGD, [numbers, factor, 0], is_nesterov)
}

/// The launches that write √Σ g² over all gradients, one f32, and min(1, max_norm/(norm + 10⁻⁶)), one f32. `partial` is
/// room for 8 bytes per piece.
pub fn norm(table: &Table, partial: u64, norm: u64, factor: u64, max_norm: f64) -> [Launch; 2] {
    let total = NormArgs { partial, norm, factor, pieces: table.pieces, max_norm: max_norm.to_bits() };
    [table.launch(&PARTIAL, [0, 0, partial], false), TOTAL[0].launch([1, 1, 1], THREADS, &total)]
}

/// The launch of g ← factor·g, if the factor is not to be given to the optimiser.
pub fn scale(table: &Table, factor: u64) -> Launch {
    table.launch(&SCALE, [0, factor, 0], false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_each_other() {
        let of = |elements| Parameter { elements, ..Parameter::default() };
        let mut parameters = [of(1), of(0), of(8192), of(8193), of(5)];
        assert_eq!(number_pieces(&mut parameters), 5);
        assert_eq!(parameters.map(|p| p.first_piece), [0, 1, 1, 2, 4]);
    }
}
