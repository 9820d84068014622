//! Every op × sample × dtype × value class × memory layout, against the op's oracle.

use std::panic::{AssertUnwindSafe, catch_unwind};

use warpsmith_autograd::{Array, Meta, Values, apply, apply_owned};
use warpsmith_tensor::{DType, Device, Layout, Result, Shape, Tensor};

use crate::check::{Answer, text};
use crate::sweep::{Item, Place, is_absence};
use crate::tolerance::compare;
use crate::{Class, Expected, Memory, Repeat, Revealed, Tally, Worst, arrays, lay};

/// Asks the sample in the classes and layouts of the plan.
pub(crate) fn ask(
    item: &Item,
    place: &Place,
    kinds: &[DType],
    metas: &[Meta],
    promised: &[Meta],
    tally: &mut Tally,
) -> Answer {
    let Item { sample, number, .. } = item;
    let free = sample.inputs.iter().any(|input| matches!(input.values, Values::Any));
    let group = Group { item, device: place.device, kinds, metas, promised };
    for class in place.plan.classes(*number) {
        if !free && class != Class::Uniform {
            break;
        }
        let is_new = |memory: Memory| {
            let x = arrays(sample, kinds, class, memory.repeat());
            x.and_then(|x| lay(memory, &x, kinds)).is_ok_and(|placed| placed.is_some())
        };
        let memories = place.plan.memories(*number, class, is_new);
        for repeat in Repeat::ALL {
            let memories = memories.iter().copied().filter(|memory| memory.repeat() == repeat).collect();
            let run = || group.run(class, memories, tally);
            let ran = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("panicked".into()));
            match ran {
                Ok(()) => {}
                Err(message) if is_absence(&message) => return Err(message),
                Err(message) => tally.failures.push(item.failure(Some(class), Vec::new(), message)),
            }
        }
    }
    Ok(())
}

/// The cases that share their values, and so the oracle's answer.
struct Group<'a> {
    item: &'a Item,
    device: &'a Device,
    kinds: &'a [DType],
    metas: &'a [Meta],
    promised: &'a [Meta],
}

impl Group<'_> {
    fn run(&self, class: Class, memories: Vec<Memory>, tally: &mut Tally) -> Answer {
        let Some(repeat) = memories.first().map(|memory| memory.repeat()) else { return Ok(()) };
        let op = &self.item.sample.op;
        let x = arrays(&self.item.sample, self.kinds, class, repeat).map_err(text)?;
        let mut expected = Expected::of(op.as_ref(), &x, self.metas).map_err(|e| format!("oracle: {e}"))?;
        if !self.device.is_cpu() {
            expected.roundings = op.device_roundings(self.metas);
        }
        let mut failing: Vec<(Memory, String)> = Vec::new();
        for memory in memories {
            let Some(tensors) = lay(memory, &x, self.kinds).map_err(text)? else { continue };
            // Whose memory an output takes does not depend on the numbers, so a GPU is asked once.
            let gives = self.device.is_cpu() || class == Class::Uniform;
            match self.case(&tensors, &x, &expected, gives) {
                Ok(share) => {
                    let place =
                        || format!("sample {} {} {class:?} {memory:?}", self.item.number, self.item.float);
                    if share > tally.worst.share {
                        tally.worst = Worst { share, place: place() };
                    }
                }
                Err(error) if is_absence(&error) => return Err(error),
                Err(error) => failing.push((memory, error)),
            }
            tally.cases += 1;
        }
        // All layouts together: which of them fail says as much as how.
        if let Some((_, error)) = failing.first() {
            let memories = failing.iter().map(|(memory, _)| *memory).collect();
            tally.failures.push(self.item.failure(Some(class), memories, error.clone()));
        }
        Ok(())
    }

    /// One call with inputs that others hold, which must not change, and one with the inputs given away, if `gives`.
    /// The largest error in units of what is allowed.
    fn case(&self, here: &[Tensor], x: &[Array], expected: &Expected, gives: bool) -> Answer<f64> {
        let op = || Revealed(self.item.sample.op.clone());
        let tensors = here.iter().map(|t| moved(t, self.device)).collect::<Result<Vec<_>>>().map_err(text)?;
        let kept = apply(op(), &tensors.iter().collect::<Vec<_>>()).map_err(text)?;
        let mut worst = 0f64;
        for (i, (output, meta)) in kept.iter().zip(self.promised).enumerate() {
            if output.device() != *self.device {
                return Err(format!("output {i} lies on {}", output.device()));
            }
            worst = worst.max(compare(output, meta, expected, i, x)?);
        }
        for (i, (tensor, array)) in tensors.iter().zip(x).enumerate() {
            if !same_bits(&numbers(tensor)?, &array.data) {
                return Err(format!("input {i} was written over while the caller held it"));
            }
        }
        if !gives {
            return Ok(worst);
        }
        let copies = tensors.iter().map(Tensor::copy).collect::<Result<Vec<_>>>().map_err(text)?;
        let given = apply_owned(op(), copies).map_err(text)?;
        for (i, ((output, other), meta)) in given.iter().zip(&kept).zip(self.promised).enumerate() {
            let share = compare(output, meta, expected, i, x);
            worst = worst.max(share.map_err(|e| format!("inputs given away: {e}"))?);
            if other.is_contiguous()
                && tensors.iter().all(Tensor::is_contiguous)
                && !same_bits(&numbers(output)?, &numbers(other)?)
            {
                return Err(format!("output {i} differs when the inputs are given away"));
            }
        }
        Ok(worst)
    }
}

/// The tensor on the device, in memory laid out as it is here, what lies around it too.
fn moved(t: &Tensor, device: &Device) -> Result<Tensor> {
    if device.is_cpu() {
        return Ok(t.clone());
    }
    let whole = t.view(Layout::contiguous(Shape::new(&[t.storage_len()])?))?;
    whole.to_device(device)?.view(*t.layout())
}

fn numbers(tensor: &Tensor) -> Answer<Vec<f64>> {
    tensor.to_f64_vec().map_err(text)
}

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()))
}
