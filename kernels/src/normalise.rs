//! Layer norm and RMS norm, with their gradients. See `normalise.cu`.

use bytemuck::{Pod, Zeroable};

use crate::columns::total;
use crate::entry::{float_entries, module};
use crate::rows::{COLUMN_THREADS, Chunks, ColumnsArgs, geometry, tiles};
use crate::{Entry, Float, Launch};

module!("normalise");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct NormArgs {
    y: u64,
    x: u64,
    weight: u64,
    bias: u64,
    mean: u64,
    rstd: u64,
    eps: u64,
    inverse: u64,
    rows: u64,
    n: u32,
    unused: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct NormBackwardArgs {
    dx: u64,
    g: u64,
    x: u64,
    weight: u64,
    mean: u64,
    rstd: u64,
    around: u64,
    copy: u64,
    rows: u64,
    n: u32,
    inverse: f32,
}

float_entries! {
    LAYER_NORM: NormArgs = "layer_norm_fwd";
    RMS_NORM: NormArgs = "rms_norm_fwd";
    LAYER_NORM_BACKWARD: NormBackwardArgs = "layer_norm_bwd";
    RMS_NORM_BACKWARD: NormBackwardArgs = "rms_norm_bwd";
    LAYER_NORM_PARTIAL: ColumnsArgs = "layer_norm_partial";
    RMS_NORM_PARTIAL: ColumnsArgs = "rms_norm_partial";
    @also
    NARROW: NormArgs = "layer_norm_fwd_f32_bf16" | "rms_norm_fwd_f32_bf16";
    NARROW_BACKWARD: NormBackwardArgs = "layer_norm_bwd_f32_bf16" | "rms_norm_bwd_f32_bf16";
    NARROW_PARTIAL: ColumnsArgs = "layer_norm_partial_f32_bf16" | "rms_norm_partial_f32_bf16";
}

/// Which normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Mean 0 and variance 1, then weight and bias.
    Layer = 0,
    /// Root mean square 1, then weight.
    Rms = 1,
}

/// y = w·x̂ (+ b) of gapless rows.
#[derive(Clone, Copy, Debug)]
pub struct Normalise {
    /// Which one.
    pub norm: Norm,
    /// The dtype of x, y, weight and bias.
    pub dtype: Float,
    /// The output (rows, n); may be x.
    pub y: u64,
    /// The input (rows, n).
    pub x: u64,
    /// w (n).
    pub weight: u64,
    /// b (n); 0 for none, and for RMS norm.
    pub bias: u64,
    /// μ of each row, f32 (rows); not used by RMS norm.
    pub mean: u64,
    /// 1/√(σ² + ε) of each row, f32 (rows).
    pub rstd: u64,
    /// How many rows.
    pub rows: u64,
    /// Elements of a row.
    pub n: u32,
    /// ε.
    pub eps: f64,
}

/// The launch of the forward pass.
pub fn forward(f: &Normalise) -> Launch {
    let table = if f.norm == Norm::Layer { &LAYER_NORM } else { &RMS_NORM };
    forward_by(f, &table[f.dtype as usize])
}

/// The same of f32, with y in bf16: as products take it.
pub fn forward_to_bf16(f: &Normalise) -> Launch {
    forward_by(f, &NARROW[f.norm as usize])
}

fn forward_by(f: &Normalise, entry: &'static Entry) -> Launch {
    let params = NormArgs {
        y: f.y,
        x: f.x,
        weight: f.weight,
        bias: f.bias,
        mean: f.mean,
        rstd: f.rstd,
        eps: f.eps.to_bits(),
        inverse: (1.0 / f64::from(f.n)).to_bits(),
        rows: f.rows,
        n: f.n,
        unused: 0,
    };
    // A row of nothing has no first element to shift by.
    let (grid, block) = geometry(if f.n == 0 { 0 } else { f.rows }, f.n.into());
    entry.launch_in(grid, block, &params)
}

/// The gradients of input, weight and bias.
#[derive(Clone, Copy, Debug)]
pub struct NormaliseBackward {
    /// Which one.
    pub norm: Norm,
    /// The dtype of g, x, dx, and of the weight and its gradient.
    pub dtype: Float,
    /// The gradient of x (rows, n); may be g.
    pub dx: u64,
    /// The gradient of w (n).
    pub dweight: u64,
    /// The gradient of b (n); not used by RMS norm.
    pub dbias: u64,
    /// The gradient of y (rows, n).
    pub g: u64,
    /// The input of the forward pass (rows, n).
    pub x: u64,
    /// w (n).
    pub weight: u64,
    /// μ of each row, f32; not used by RMS norm.
    pub mean: u64,
    /// 1/√(σ² + ε) of each row, f32.
    pub rstd: u64,
    /// Room for [`workspace`] bytes.
    pub workspace: u64,
    /// How many rows.
    pub rows: u64,
    /// Elements of a row.
    pub n: u32,
}

/// Bytes that the backward pass needs for the sums of chunks of rows.
pub fn workspace(norm: Norm, rows: u64, n: u32) -> u64 {
    let sums = if norm == Norm::Layer { 2 } else { 1 };
    u64::from(Chunks::of(rows).count) * sums * u64::from(n) * 4
}

/// What else the kernel of dx does, of f32.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around {
    /// Whether g is bf16, as [`forward_to_bf16`] gives y.
    pub is_narrow: bool,
    /// What is added to dx (rows, n): the gradient of what went around the norm; may be dx. 0: none.
    pub gradient: u64,
    /// Where dx goes in bf16, too (rows, n). 0: nowhere.
    pub copy: u64,
}

/// The launches of the backward pass, in order: first the parameters' gradients, since dx may be written over g.
pub fn backward(b: &NormaliseBackward) -> Vec<Launch> {
    backward_around(b, &Around::default())
}

/// The same, and what [`Around`] says.
pub fn backward_around(b: &NormaliseBackward, around: &Around) -> Vec<Launch> {
    let (dtype, n) = (b.dtype as usize, u64::from(b.n));
    let is_layer = b.norm == Norm::Layer;
    let chunks = Chunks::of(b.rows);
    let columns = ColumnsArgs {
        y: b.workspace,
        x: [b.g, b.x],
        statistics: [b.mean, b.rstd],
        size: b.rows,
        inner: n,
        chunk: chunks.rows,
        tiles: tiles(n),
        scale: 1.0,
    };
    let entry = |own: [&'static [Entry; 3]; 2], narrow: &'static [Entry; 2]| match around.is_narrow {
        true => &narrow[b.norm as usize],
        false => &own[b.norm as usize][dtype],
    };
    let partial = entry([&LAYER_NORM_PARTIAL, &RMS_NORM_PARTIAL], &NARROW_PARTIAL);
    let partial = partial.launch([tiles(n), chunks.count, 1], COLUMN_THREADS, &columns);
    let outputs = [b.dweight, b.dbias];
    let outputs = if is_layer { &outputs[..] } else { &outputs[..1] };
    let total = total(b.dtype, outputs, b.workspace, [1, chunks.count.into(), n], 1.0);
    let params = NormBackwardArgs {
        dx: b.dx,
        g: b.g,
        x: b.x,
        weight: b.weight,
        mean: b.mean,
        rstd: b.rstd,
        around: around.gradient,
        copy: around.copy,
        rows: b.rows,
        n: b.n,
        inverse: 1.0 / b.n as f32,
    };
    let (grid, block) = geometry(if b.n == 0 { 0 } else { b.rows }, n);
    let dx = entry([&LAYER_NORM_BACKWARD, &RMS_NORM_BACKWARD], &NARROW_BACKWARD);
    vec![partial, total, dx.launch_in(grid, block, &params)]
}
