//! The same bits: from the same call twice, and from a row alone or in its batch.

use warpsmith_autograd::{Array, Differentiability, Meta, Op, Sample, apply};
use warpsmith_tensor::{DType, Device, Result, Tensor};

use crate::check::{Answer, text};
use crate::sweep::{Item, Place};
use crate::tape::{backward, leaves};
use crate::{Class, Repeat, Revealed, Tally, arrays};

/// The bits of all outputs, hidden ones too, and of all gradients, computed on the device.
///
/// # Errors
/// Those of the op and of its vjp.
pub fn bits(sample: &Sample, x: &[Array], kinds: &[DType], device: &Device) -> Result<Vec<Vec<u64>>> {
    let plain = leaves(x, kinds, device, |_| false)?;
    let outputs = apply(Revealed(sample.op.clone()), &plain.iter().collect::<Vec<_>>())?;
    let mut all = outputs.iter().map(words).collect::<Result<Vec<_>>>()?;
    if sample.op.differentiability() == Differentiability::Differentiable {
        let traced = leaves(x, kinds, device, |_| true)?;
        let weights: Vec<Array> =
            outputs.iter().map(|t| Array { shape: *t.shape(), data: ramp(t.numel()) }).collect();
        let found = backward(sample, &traced, &weights)?;
        for gradient in traced.iter().filter_map(|leaf| found.of(leaf)) {
            all.push(words(gradient)?);
        }
    }
    Ok(all)
}

fn ramp(n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 37) % 101) as f64 / 64.0 - 0.7).collect()
}

fn words(tensor: &Tensor) -> Result<Vec<u64>> {
    Ok(tensor.to_f64_vec()?.into_iter().map(f64::to_bits).collect())
}

/// The call on row `row` alone of those inputs that have the batch as their first axis.
fn alone(x: &[Array], batched: &[bool], row: usize) -> Result<Vec<Array>> {
    let part = |a: &Array| {
        let width = a.data.len() / a.dims()[0];
        let shape = a.shape.with_dim(0, 1)?;
        Ok(Array { shape, data: a.data[row * width..][..width].to_vec() })
    };
    x.iter().zip(batched).map(|(a, &batched)| if batched { part(a) } else { Ok(a.clone()) }).collect()
}

fn oracle(op: &dyn Op, x: &[Array], kinds: &[DType]) -> Result<Vec<Array>> {
    let metas: Vec<Meta> = x.iter().zip(kinds).map(|(a, d)| Meta::new(a.shape, *d)).collect();
    let mut y: Vec<Array> = op.shape(&metas)?.iter().map(|m| Array::zeros(m.shape)).collect();
    op.reference(x, &mut y)?;
    Ok(y)
}

fn kernel(sample: &Sample, x: &[Array], kinds: &[DType], device: &Device) -> Result<Vec<Array>> {
    let tensors = leaves(x, kinds, device, |_| false)?;
    let run = apply(Revealed(sample.op.clone()), &tensors.iter().collect::<Vec<_>>())?;
    run.iter().map(|t| Ok(Array { shape: *t.shape(), data: t.to_f64_vec()? })).collect()
}

/// Whether `part` is row `row` of `whole`, bit for bit, output by output.
fn is_row(whole: &[Array], part: &[Array], row: usize, batch: usize) -> bool {
    whole.iter().zip(part).all(|(whole, part)| {
        let fits = whole.dims().first() == Some(&batch) && part.dims().first() == Some(&1);
        fits && {
            let width = whole.data.len() / batch;
            let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            bits(&whole.data[row * width..][..width]) == bits(&part.data)
        }
    })
}

/// Where the oracle says that a row of the result comes from that row of the inputs alone, the kernel must give the
/// same bits with and without the other rows. `None` if the oracle says so of no choice of inputs.
///
/// # Errors
/// Those of the op.
pub fn row_alone(sample: &Sample, kinds: &[DType], device: &Device) -> Result<Option<bool>> {
    let x = arrays(sample, kinds, Class::Uniform, Repeat::Nowhere)?;
    let Some(&batch) = x.first().and_then(|a| a.dims().first()) else { return Ok(None) };
    if batch < 2 || x.iter().any(|a| a.data.is_empty()) {
        return Ok(None);
    }
    let rank = x[0].shape.rank();
    let same_rank = x.iter().map(|a| a.dims().first() == Some(&batch) && a.shape.rank() == rank).collect();
    let same_size = x.iter().map(|a| a.dims().first() == Some(&batch)).collect();
    let first = (0..x.len()).map(|i| i == 0).collect();
    let choices: [Vec<bool>; 3] = [same_size, same_rank, first];
    for batched in choices {
        let by_row = |run: &dyn Fn(&[Array]) -> Result<Vec<Array>>| -> Result<bool> {
            let whole = run(&x)?;
            for row in [0, batch / 2, batch - 1] {
                if !is_row(&whole, &run(&alone(&x, &batched, row)?)?, row, batch) {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        if by_row(&|x| oracle(sample.op.as_ref(), x, kinds)).unwrap_or(false) {
            return by_row(&|x| kernel(sample, x, kinds, device)).map(Some);
        }
    }
    Ok(None)
}

/// Makes the same call twice.
pub(crate) fn ask_twice(item: &Item, place: &Place, kinds: &[DType], tally: &mut Tally) -> Answer {
    let x = arrays(&item.sample, kinds, Class::Uniform, Repeat::Nowhere).map_err(text)?;
    let call = || bits(&item.sample, &x, kinds, place.device).map_err(text);
    let (one, other) = (call()?, call()?);
    tally.cases += 1;
    if one != other {
        let which: Vec<usize> = (0..one.len()).filter(|&i| one.get(i) != other.get(i)).collect();
        let message = format!("the same call gave other bits: outputs, then gradients, number {which:?}");
        tally.failures.push(item.failure(Some(Class::Uniform), Vec::new(), message));
    }
    Ok(())
}

/// Asks for rows alone.
pub(crate) fn ask_rows(item: &Item, place: &Place, kinds: &[DType], tally: &mut Tally) -> Answer {
    let Some(is_same) = row_alone(&item.sample, kinds, place.device).map_err(text)? else { return Ok(()) };
    tally.cases += 1;
    if !is_same {
        let message = "a row alone has other bits than in its batch".into();
        tally.failures.push(item.failure(Some(Class::Uniform), Vec::new(), message));
    }
    Ok(())
}
