//! Batch norm by the statistics of the batch, and its gradients. See `batch_norm.cu`.

use bytemuck::{Pod, Zeroable};

use crate::entry::{float_entries, module};
use crate::{Float, Launch};

module!("batch_norm");

/// `BATCH_NORM_THREADS` of the source.
const THREADS: u32 = 256;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct BatchNormArgs {
    y: u64,
    x: u64,
    weight: u64,
    bias: u64,
    mean: u64,
    variance: u64,
    eps: u64,
    inverse: u64,
    count: u64,
    channels: u64,
    inner: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct BatchNormBackwardArgs {
    dx: u64,
    dweight: u64,
    dbias: u64,
    g: u64,
    g_mean: u64,
    g_variance: u64,
    x: u64,
    weight: u64,
    mean: u64,
    variance: u64,
    eps: u64,
    count: u64,
    channels: u64,
    inner: u64,
    inverse: f32,
    unused: u32,
}

float_entries! {
    FORWARD: BatchNormArgs = "batch_norm_fwd";
    BACKWARD: BatchNormBackwardArgs = "batch_norm_bwd";
}

/// The shape (B, C, I) of the input, its dtype, which is that of the parameters too, and ε.
#[derive(Clone, Copy, Debug)]
pub struct Channels {
    /// The dtype of all but the statistics and their gradients, which are f32.
    pub dtype: Float,
    /// B.
    pub batch: u64,
    /// C.
    pub channels: u32,
    /// I, elements inside a channel.
    pub inner: u64,
    /// ε, added to the variance.
    pub eps: f64,
}

/// y, μ and σ² from x, w and b, all gapless. Nothing is launched if a channel is empty.
pub fn forward(s: &Channels, [y, mean, variance]: [u64; 3], [x, weight, bias]: [u64; 3]) -> Launch {
    let count = s.batch * s.inner;
    let params = BatchNormArgs {
        y,
        x,
        weight,
        bias,
        mean,
        variance,
        eps: s.eps.to_bits(),
        inverse: (1.0 / count as f64).to_bits(),
        count,
        channels: s.channels.into(),
        inner: s.inner,
    };
    FORWARD[s.dtype as usize].launch([if count == 0 { 0 } else { s.channels }, 1, 1], THREADS, &params)
}

/// The gradients of x, w and b, from (g, gμ, gσ², x, w, μ, σ²). Nothing is launched if a channel is empty.
pub fn backward(s: &Channels, [dx, dweight, dbias]: [u64; 3], from: [u64; 7]) -> Launch {
    let count = s.batch * s.inner;
    let [g, g_mean, g_variance, x, weight, mean, variance] = from;
    let params = BatchNormBackwardArgs {
        dx,
        dweight,
        dbias,
        g,
        g_mean,
        g_variance,
        x,
        weight,
        mean,
        variance,
        eps: s.eps.to_bits(),
        count,
        channels: s.channels.into(),
        inner: s.inner,
        inverse: 1.0 / count as f32,
        unused: 0,
    };
    BACKWARD[s.dtype as usize].launch([if count == 0 { 0 } else { s.channels }, 1, 1], THREADS, &params)
}
