//! Whether a kernel writes every element of its outputs and nothing beside them.
//!
//! A device's memory hands out the smallest free range that fits. So before the call the memory is cut into holes of
//! the outputs' sizes between guards; the outputs then lie in the holes, which their addresses show. The call is made
//! twice, with two patterns in the holes and guards: an element that nobody writes differs between the two, and a guard
//! that somebody writes to is no longer what it was. (A debug build paints what it hands out over the patterns, but with
//! `WARPSMITH_ARENA=unpainted`.) Outputs that lie elsewhere (views of inputs) are not counted.

use warpsmith_autograd::{Meta, apply};
use warpsmith_tensor::{DType, Device, Result, Shape, Tensor};

use crate::check::{Answer, text};
use crate::sweep::{Item, Place};
use crate::{Class, Repeat, Revealed, Tally, arrays, tape::leaves};

/// The size of a guard, in bytes.
const GUARD: usize = 4096;
/// Ranges of memory start at multiples of this many bytes.
const ALIGNMENT: usize = 256;
/// How many holes each output gets, since what a call takes for itself may have an output's size.
const HOLES: usize = 3;
/// How often memory is taken until its parts lie side by side: each try uses up a free range that is too small.
const TRIES: usize = 64;

/// Guards, and what keeps the holes between them until all fences stand.
struct Fence {
    guards: Vec<Tensor>,
    holes: Vec<Tensor>,
    pattern: u8,
}

fn filled(bytes: usize, pattern: u8, device: &Device) -> Result<Tensor> {
    Tensor::full(Shape::new(&[bytes])?, f64::from(pattern), DType::U8, device)
}

/// Whether each range begins where the one before ends.
fn are_neighbours(ranges: &[Tensor]) -> Result<bool> {
    for pair in ranges.windows(2) {
        let end = pair[0].device_address()? + pair[0].numel() as u64;
        if end != pair[1].device_address()? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Fence {
    /// Guards around [`HOLES`] holes of `bytes` bytes; `None` if the memory is too cut up.
    fn around(bytes: usize, pattern: u8, device: &Device) -> Result<Option<Self>> {
        let bytes = bytes.next_multiple_of(ALIGNMENT);
        let mut tries = Vec::new();
        for _ in 0..TRIES {
            let sizes = (0..=2 * HOLES).map(|i| if i % 2 == 0 { GUARD } else { bytes });
            let ranges = sizes.map(|size| filled(size, pattern, device)).collect::<Result<Vec<Tensor>>>()?;
            if !are_neighbours(&ranges)? {
                tries.push(ranges);
                continue;
            }
            let mut fence = Self { guards: Vec::new(), holes: Vec::new(), pattern };
            for (i, range) in ranges.into_iter().enumerate() {
                if i % 2 == 0 { fence.guards.push(range) } else { fence.holes.push(range) }
            }
            return Ok(Some(fence));
        }
        Ok(None)
    }

    fn is_whole(&self) -> Result<bool> {
        for guard in &self.guards {
            if guard.to_f64_vec()?.iter().any(|&byte| byte != f64::from(self.pattern)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What one call gave: the outputs' numbers, which of them lay in a hole, and whether the guards are whole.
struct Call {
    outputs: Vec<Vec<f64>>,
    fenced: Vec<bool>,
    is_whole: bool,
}

fn call(
    item: &Item,
    place: &Place,
    inputs: &[Tensor],
    outputs: &[Meta],
    pattern: u8,
) -> Result<Option<Call>> {
    let mut fences = Vec::new();
    for meta in outputs.iter().filter(|m| m.shape.numel() > 0) {
        let bytes = meta.shape.numel() * meta.dtype.size();
        match Fence::around(bytes, pattern, place.device)? {
            Some(fence) => fences.push(fence),
            None => return Ok(None),
        }
    }
    let mut holes = Vec::new();
    for hole in fences.iter_mut().flat_map(|fence| fence.holes.drain(..)) {
        holes.push(hole.device_address()?);
    }
    let made = apply(Revealed(item.sample.op.clone()), &inputs.iter().collect::<Vec<_>>())?;
    let in_fence = |t: &Tensor| -> Result<bool> { Ok(t.numel() > 0 && holes.contains(&t.device_address()?)) };
    Ok(Some(Call {
        fenced: made.iter().map(in_fence).collect::<Result<_>>()?,
        outputs: made.iter().map(Tensor::to_f64_vec).collect::<Result<_>>()?,
        is_whole: fences.iter().map(Fence::is_whole).collect::<Result<Vec<bool>>>()?.into_iter().all(|w| w),
    }))
}

/// Makes the call in memory with two patterns.
pub(crate) fn ask(
    item: &Item,
    place: &Place,
    kinds: &[DType],
    outputs: &[Meta],
    tally: &mut Tally,
) -> Answer {
    let x = arrays(&item.sample, kinds, Class::Uniform, Repeat::Nowhere).map_err(text)?;
    let inputs = leaves(&x, kinds, place.device, |_| false).map_err(text)?;
    let run = |pattern| call(item, place, &inputs, outputs, pattern).map_err(text);
    let (Some(ones), Some(zeros)) = (run(0xFF)?, run(0x00)?) else { return Ok(()) };
    let mut wrong = Vec::new();
    if !(ones.is_whole && zeros.is_whole) {
        wrong.push("memory beside an output was written to".to_owned());
    }
    let fenced: Vec<usize> = (0..outputs.len()).filter(|&i| ones.fenced[i] && zeros.fenced[i]).collect();
    for &i in &fenced {
        let differs = |(a, b): (&f64, &f64)| a.to_bits() != b.to_bits();
        let pairs = ones.outputs[i].iter().zip(&zeros.outputs[i]);
        let count = pairs.filter(|&pair| differs(pair)).count();
        if count > 0 {
            wrong.push(format!("output {i}: {count} elements depend on what the memory held before"));
        }
    }
    tally.cases += usize::from(!fenced.is_empty());
    if !wrong.is_empty() {
        tally.failures.push(item.failure(Some(Class::Uniform), Vec::new(), wrong.join("; ")));
    }
    Ok(())
}
