//! What a case needs of memory, bounded from below, before any of it is allocated: a shape that cannot fit is refused in a line.

use warpsmith_autograd::Meta;
use warpsmith_tensor::{Device, Tensor};
use warpsmith_train::memory::{Host, free, shown};

use crate::contender::Contender;
use crate::tasks::Case;
use crate::{Error, Result};

/// Sets of inputs that a case is proven on; all are there at once.
pub(crate) const SETS: usize = 3;
/// Bytes of an f64, in which the oracle computes.
const F64: f64 = 8.0;

/// Bytes of a case's tensors, at least. As f64: a shape may name any integers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Footprint {
    /// Of one set of inputs.
    pub inputs: f64,
    /// Of what one call gives beside them.
    pub outputs: f64,
    /// Of what comes and goes while a call runs.
    pub between: f64,
    /// On the host: of what is compared, of one window or answer.
    pub oracle: f64,
}

impl Footprint {
    /// Of tensors like these.
    pub fn of(inputs: &[Meta], outputs: &[Meta]) -> Self {
        let bytes = |metas: &[Meta]| metas.iter().map(bytes).sum();
        Self { inputs: bytes(inputs), outputs: bytes(outputs), ..Self::default() }
    }

    /// On the device, for so many contenders that are in memory together, each with inputs of its own.
    pub fn on_device(&self, contenders: usize) -> f64 {
        (SETS + contenders) as f64 * self.inputs + contenders as f64 * self.outputs + self.between
    }
}

/// Bytes of a tensor.
fn bytes(meta: &Meta) -> f64 {
    numbers(meta.shape.dims()) * meta.dtype.size() as f64
}

/// The product of sizes.
pub(crate) fn numbers(dims: &[usize]) -> f64 {
    dims.iter().map(|&size| size as f64).product()
}

/// What a tensor takes at least, be it ever so small: its handle, and a line of memory.
pub(crate) const SMALLEST: f64 = (size_of::<Tensor>() + warpsmith_tensor::arena::LINE) as f64;

/// Bytes of f64 that the oracle takes for the largest of a case's windows: parts of the inputs, and of each output that is
/// compared what is expected, its scale, and what came.
pub(crate) fn of_windows(case: &Case, inputs: &[Meta], outputs: &[Meta]) -> f64 {
    let part = |region: &[std::ops::Range<usize>], meta: &Meta| {
        let sizes = meta.shape.dims().iter().enumerate();
        sizes.map(|(axis, &size)| region.get(axis).map_or(size, std::ops::Range::len) as f64).product::<f64>()
    };
    let sizes = case.work.windows(case.pass).into_iter().map(|window| {
        let terms =
            window.terms.iter().map(|term| term.parts().map(|(at, region)| part(region, &inputs[at])).sum());
        let compared = window.outputs.iter().zip(outputs);
        let compared = compared.filter_map(|(region, meta)| Some(part(region.as_ref()?, meta))).sum::<f64>();
        terms.fold(0.0, f64::max) + 3.0 * compared
    });
    F64 * sizes.fold(0.0, f64::max)
}

/// An error if a case cannot fit the memory of its device or, if the device is `emulated`, of the host that plays it.
///
/// # Errors
/// What is needed, and what there is. A peer is another process with one set of inputs and outputs of its own.
pub(crate) fn check(
    case: &Case,
    contenders: &[Box<dyn Contender>],
    device: &Device,
    emulated: bool,
) -> Result<()> {
    let peers = contenders.iter().filter(|contender| contender.is_peer()).count();
    let together = contenders.len() - peers + usize::from(peers > 0);
    let free_there = free(device)?.map(|bytes| bytes as f64);
    let free_here = if device.is_cpu() { free_there } else { Host::now().map(|host| host.free as f64) };
    let mut need = case.work.footprint(case.pass, case.dtype)?;
    let verdict = |need: &Footprint| {
        let there = need.on_device(together);
        // On its way to a GPU a set of inputs passes through the host.
        let (there, here) = match device.is_cpu() {
            true => (0.0, there + need.oracle),
            false => (there, need.oracle + if emulated { there } else { need.inputs }),
        };
        let too_much = |(needed, free): &(f64, Option<f64>)| free.is_some_and(|free| *needed > free);
        let found = [(there, free_there), (here, free_here)].into_iter().find(too_much);
        let Some((needed, free)) = found else { return Ok(()) };
        let sets = SETS as f64 * need.inputs;
        let oracle =
            if need.oracle > 0.0 { format!(", the oracle {}", shown(need.oracle)) } else { String::new() };
        Err(Error::Failed(format!(
            "needs {} of memory or more, and {} are free: {SETS} sets of inputs take {}, computing {}{oracle}; use smaller --shapes",
            shown(needed),
            shown(free.unwrap_or_default()),
            shown(sets),
            shown(need.on_device(together) - sets),
        )))
    };
    // The windows of what fits no memory may be too many to be named.
    verdict(&need)?;
    if need.oracle == 0.0 {
        let metas = case.work.metas(case.pass, case.dtype)?;
        need.oracle = of_windows(case, &metas, &case.work.outputs(case.pass, &metas)?);
    }
    verdict(&need)
}
