//! Updates of many tensors in one launch: AdamW, SGD, clipping by the norm. See `optimise.cu`.
//!
//! Nothing is copied to the device for a launch: the table of tensors is part of its parameter. So there is one launch
//! for each 64 tensors, and a recorded graph holds all that it needs.

use bytemuck::{Pod, Zeroable};

use crate::entry::{float_entries, module};
use crate::{Entry, Float, Launch};

module!("optimise");

/// Elements per block: `PIECE` of the source.
const PIECE: u64 = 8192;
/// `PIECE_THREADS` of the source.
const THREADS: u32 = 256;
/// Tensors per launch: `TENSORS` of the source.
const TENSORS: usize = 64;
/// `NUMBERS` of the source.
const NUMBERS: usize = 7;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct OptimiseArgs {
    tensors: [Parameter; TENSORS],
    numbers: u64,
    factor: u64,
    partial: u64,
    own: [f32; NUMBERS],
    count: u32,
    is_nesterov: u32,
    unused: u32,
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
    ADAMW_NARROW: OptimiseArgs = "adamw_narrow_f16" | "adamw_narrow_bf16";
    SGD_NARROW: OptimiseArgs = "sgd_narrow_f16" | "sgd_narrow_bf16";
}

/// One parameter as the kernels see it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Parameter {
    /// The parameter.
    pub p: u64,
    /// Its gradient.
    pub g: u64,
    /// The running mean of the gradient, or the velocity of SGD; 0 for SGD without momentum.
    pub m: u64,
    /// The running mean of its square.
    pub v: u64,
    /// A copy of the parameter in bf16; 0 for none.
    pub copy: u64,
    /// How many elements.
    pub elements: u64,
    /// Set by the launch; leave it 0.
    pub first_piece: u64,
}

/// What the tensors of an update hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dtypes {
    /// The gradients.
    pub gradient: Float,
    /// Whether parameters and moments are of the gradients' dtype, too; else they are f32.
    pub is_narrow: bool,
}

impl Dtypes {
    /// Parameters and moments in f32, gradients in this dtype.
    pub fn wide(gradient: Float) -> Self {
        Self { gradient, is_narrow: false }
    }

    /// Of the entries for f32 parameters, and those for 16-bit ones, the one for these.
    fn entry(self, wide: &'static [Entry; 3], narrow: &'static [Entry; 2]) -> &'static Entry {
        match self.gradient {
            Float::F16 if self.is_narrow => &narrow[0],
            Float::Bf16 if self.is_narrow => &narrow[1],
            gradient => &wide[gradient as usize],
        }
    }
}

/// The numbers of a step.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<const N: usize> {
    /// They are known now.
    Known([f64; N]),
    /// N f32 lie at this address: a recorded launch reads them anew each time. If the rate (the last number of AdamW, the
    /// first of SGD) is NaN, nothing is written.
    At(u64),
}

impl<const N: usize> Numbers<N> {
    /// The address, and the numbers themselves.
    fn split(&self) -> (u64, [f32; NUMBERS]) {
        let mut own = [0.0; NUMBERS];
        match self {
            Self::Known(numbers) => own.iter_mut().zip(numbers).for_each(|(own, &n)| *own = n as f32),
            Self::At(address) => return (*address, own),
        }
        (0, own)
    }
}

/// How many pieces these parameters have.
pub fn pieces(parameters: &[Parameter]) -> u64 {
    parameters.iter().map(|p| p.elements.div_ceil(PIECE)).sum()
}

/// Launches over the parameters; what they all have is in `common`.
fn launches(entry: &'static Entry, parameters: &[Parameter], common: &OptimiseArgs) -> Vec<Launch> {
    let mut partial = common.partial;
    let launch = |chunk: &[Parameter]| {
        let mut params = OptimiseArgs { partial, count: chunk.len() as u32, ..*common };
        let mut pieces = 0;
        for (to, from) in params.tensors.iter_mut().zip(chunk) {
            *to = Parameter { first_piece: pieces, ..*from };
            pieces += from.elements.div_ceil(PIECE);
        }
        partial += 8 * pieces;
        entry.launch([pieces as u32, 1, 1], THREADS, &params)
    };
    parameters.chunks(TENSORS).map(launch).collect()
}

/// The launches of one step of AdamW; `factor`: the address of one f32 that multiplies the gradients, or 0.
pub fn adamw(dtypes: Dtypes, parameters: &[Parameter], numbers: Numbers<7>, factor: u64) -> Vec<Launch> {
    let (numbers, own) = numbers.split();
    let entry = dtypes.entry(&ADAMW, &ADAMW_NARROW);
    launches(entry, parameters, &OptimiseArgs { numbers, own, factor, ..Zeroable::zeroed() })
}

/// The numbers of step `step`, counted from 1, of AdamW: 1 - ηλ, 1 - β₁, β₂, 1 - β₂, √(1 - β₂ᵗ), ε, η/(1 - β₁ᵗ).
pub fn adamw_numbers(lr: f64, [beta1, beta2]: [f64; 2], eps: f64, weight_decay: f64, step: u64) -> [f64; 7] {
    let rest = |beta: f64| 1.0 - beta.powf(step as f64);
    [1.0 - lr * weight_decay, 1.0 - beta1, beta2, 1.0 - beta2, rest(beta2).sqrt(), eps, lr / rest(beta1)]
}

/// The launches of one step of SGD. The numbers are rate, momentum and weight decay; `factor` as for [`adamw`].
pub fn sgd(
    dtypes: Dtypes,
    parameters: &[Parameter],
    numbers: Numbers<3>,
    factor: u64,
    is_nesterov: bool,
) -> Vec<Launch> {
    let (numbers, own) = numbers.split();
    let is_nesterov = u32::from(is_nesterov);
    launches(
        dtypes.entry(&SGD, &SGD_NARROW),
        parameters,
        &OptimiseArgs { numbers, own, factor, is_nesterov, ..Zeroable::zeroed() },
    )
}

/// The launches that write Σ g² of each piece of the gradients: one f64 for each of their [`pieces`], at `partial`.
pub fn squares(dtype: Float, parameters: &[Parameter], partial: u64) -> Vec<Launch> {
    launches(&PARTIAL[dtype as usize], parameters, &OptimiseArgs { partial, ..Zeroable::zeroed() })
}

/// The launch that writes √Σ of so many pieces' sums, one f32, and min(1, max_norm/(norm + 10⁻⁶)), one f32.
pub fn norm(partial: u64, pieces: u64, norm: u64, factor: u64, max_norm: f64) -> Launch {
    let params = NormArgs { partial, norm, factor, pieces, max_norm: max_norm.to_bits() };
    TOTAL[0].launch([1, 1, 1], THREADS, &params)
}

/// The launches of g ← factor·g, if the factor is not to be given to the optimiser.
pub fn scale(dtype: Float, parameters: &[Parameter], factor: u64) -> Vec<Launch> {
    launches(&SCALE[dtype as usize], parameters, &OptimiseArgs { factor, ..Zeroable::zeroed() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_each_other_within_a_launch_and_their_sums_across() {
        let of = |elements| Parameter { elements, ..Parameter::default() };
        let mut parameters = vec![of(1), of(0), of(8192), of(8193)];
        parameters.resize(70, of(5));
        assert_eq!(pieces(&parameters), 4 + 66);
        let launches = squares(Float::F32, &parameters, 1000);
        let args: Vec<OptimiseArgs> =
            launches.iter().map(|l| bytemuck::pod_read_unaligned(&l.params)).collect();
        assert_eq!(launches.iter().map(|l| l.grid[0]).collect::<Vec<_>>(), [64, 6]);
        assert_eq!(args[0].tensors.map(|p| p.first_piece)[..5], [0, 1, 1, 2, 4]);
        assert_eq!((args[0].partial, args[1].partial, args[1].count), (1000, 1000 + 8 * 64, 6));
        assert!(launches[0].params.len() <= 4096, "what the driver takes on every GPU");
    }
}
