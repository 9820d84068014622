//! The formulas of what an op costs: they can be computed, and they do not contradict the tensors.

use std::collections::HashSet;

use warpsmith_autograd::{Array, Cost, Meta, Op, Sample, apply, apply_owned};
use warpsmith_conformance::{Class, Repeat, arrays, dtypes, metas, tape::leaves};
use warpsmith_tensor::{DType, Device, Result, Tensor, with_dtype};

use crate::specs;

fn bytes(metas: &[Meta]) -> u64 {
    metas.iter().map(|m| (m.shape.numel() * m.dtype.size()) as u64).sum()
}

/// Where a tensor without gaps lies, and its numbers bit for bit.
fn contents(tensor: &Tensor) -> Result<(usize, Vec<u64>)> {
    let address = with_dtype!(tensor.dtype(), T => tensor.data::<T>()?.as_ptr() as usize);
    Ok((address, tensor.to_f64_vec()?.into_iter().map(f64::to_bits).collect()))
}

/// The bytes that a call cannot help writing when it may take its inputs' memory: all of an output that lies in memory
/// of its own, and of one that lies where an input lay, the elements that changed.
fn least_written(sample: &Sample, kinds: &[DType]) -> Result<u64> {
    let x = arrays(sample, kinds, Class::Uniform, Repeat::Nowhere)?;
    let inputs = leaves(&x, kinds, &Device::Cpu, |_| false)?;
    let before = inputs.iter().map(contents).collect::<Result<Vec<_>>>()?;
    let mut least = 0;
    for output in apply_owned(sample.op.clone(), inputs)? {
        let (address, now) = contents(&output)?;
        let taken = before.iter().find(|(at, old)| *at == address && old.len() == now.len());
        let changed =
            taken.map_or(now.len(), |(_, old)| old.iter().zip(&now).filter(|(a, b)| a != b).count());
        least += (changed * output.dtype().size()) as u64;
    }
    Ok(least)
}

/// Larger inputs are not looked at: each of their elements costs two calls of the oracle.
const SMALL: usize = 300;

/// The bytes that no way of computing the op can leave unread: of the inputs' floats those on which an output depends.
fn least_read(sample: &Sample, kinds: &[DType]) -> Result<u64> {
    let mut x = arrays(sample, kinds, Class::Uniform, Repeat::Nowhere)?;
    let outputs = sample.op.shape(&metas(sample, kinds)?)?;
    let bits = |x: &[Array]| -> Result<Vec<u64>> {
        let mut y: Vec<Array> = outputs.iter().map(|m| Array::zeros(m.shape)).collect();
        sample.op.reference(x, &mut y)?;
        Ok(y.iter().flat_map(|y| &y.data).map(|v| v.to_bits()).collect())
    };
    let truth = bits(&x)?;
    let mut least = 0;
    for (i, kind) in kinds.iter().enumerate().filter(|(_, kind)| kind.is_float()) {
        let small = x[i].data.len() <= SMALL;
        for at in 0..if small { x[i].data.len() } else { 0 } {
            let kept = x[i].data[at];
            // A maximum looks at what it does not take: upwards and downwards.
            for step in [3.0, -3.0] {
                x[i].data[at] = kept + step;
                if bits(&x)? != truth {
                    least += kind.size() as u64;
                    break;
                }
            }
            x[i].data[at] = kept;
        }
    }
    Ok(least)
}

#[test]
fn cost_formulas_fit_the_tensors() {
    let mut failures = Vec::new();
    for spec in specs() {
        for float in [DType::F32, DType::BF16] {
            let (mut sizes, mut costs, mut views) = (HashSet::new(), HashSet::new(), 0);
            for sample in (spec.samples)() {
                let Ok(Some(kinds)) = dtypes(&sample, float) else { continue };
                let inputs = metas(&sample, &kinds).unwrap();
                let (op, cost) = (&sample.op, sample.op.cost());
                let (read, written, flops) = match cost.values(op.as_ref(), &inputs) {
                    Ok(values) => values,
                    Err(error) => {
                        failures.push(format!("{op:?}: {error}"));
                        continue;
                    }
                };
                if cost == Cost::VIEW {
                    views += 1;
                    continue;
                }
                let outputs = op.shape(&inputs).unwrap();
                let least = least_written(&sample, &kinds).unwrap();
                let shapes: Vec<_> = inputs.iter().map(|m| m.shape).collect();
                if written < least || written > bytes(&outputs) {
                    failures.push(format!(
                        "{op:?} on {shapes:?} {float}: `{}` = {written} bytes written, outputs need {least} to {}",
                        cost.written,
                        bytes(&outputs)
                    ));
                }
                // Each tensor is counted once; a gather reads an element as often as it writes it.
                let most = bytes(&inputs) + bytes(&outputs);
                if read > most {
                    failures.push(format!(
                        "{op:?} on {shapes:?} {float}: `{}` = {read} bytes read, inputs and outputs have {most}",
                        cost.read
                    ));
                }
                // What is not written stays where an input lay, and is not read either.
                let stays = bytes(&outputs).saturating_sub(written);
                let needed = least_read(&sample, &kinds).unwrap().saturating_sub(stays);
                if read < needed {
                    failures.push(format!(
                        "{op:?} on {shapes:?} {float}: `{}` = {read} bytes read, outputs depend on {needed}",
                        cost.read
                    ));
                }
                sizes.insert(bytes(&inputs) + bytes(&outputs));
                costs.insert((read, written, flops));
            }
            if views == 0 && sizes.len() > 1 && costs.len() < 2 {
                failures.push(format!("{}: one cost for samples of {} sizes", spec.name, sizes.len()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn an_op_that_says_it_moves_nothing_makes_views() {
    for spec in specs() {
        for sample in (spec.samples)() {
            let Ok(Some(kinds)) = dtypes(&sample, DType::F32) else { continue };
            let x = arrays(&sample, &kinds, Class::Uniform, Repeat::Nowhere).unwrap();
            if sample.op.cost() != Cost::VIEW || x.iter().any(|a| a.data.is_empty()) {
                continue;
            }
            let inputs = leaves(&x, &kinds, &Device::Cpu, |_| false).unwrap();
            let outputs = apply(sample.op.clone(), &inputs.iter().collect::<Vec<_>>()).unwrap();
            for output in outputs {
                let is_view = inputs.iter().any(|input| input.shares_storage(&output));
                assert!(is_view, "{:?} costs nothing but copies", sample.op);
            }
        }
    }
}
