//! The same bits: from the same call twice, from any number of threads, and from a row alone or in its batch.

use rayon::ThreadPoolBuilder;
use warpsmith_autograd::{Array, Differentiability, Op, Sample, Values, apply};
use warpsmith_tensor::{DType, Result, Shape, Tensor};

use crate::call::{Revealed, arrays, dtypes, metas, specs};
use crate::tape::{backward, leaves};
use crate::values::{Class, Repeat};

/// Elements of the largest input of an enlarged sample: several tasks, whatever an element costs.
const LARGE: usize = 150_000;

/// The sample with its first axes stretched so that its work is split among threads, in the ways that may fit the op.
fn enlarged(sample: &Sample) -> Vec<Sample> {
    let fixed =
        |s: &Sample| s.inputs.iter().any(|i| matches!(i.values, Values::Integers(_) | Values::Exactly(_)));
    let largest = sample.inputs.iter().map(|i| i.dims.iter().product::<usize>()).max().unwrap_or(0);
    if fixed(sample) || largest == 0 {
        return Vec::new();
    }
    let factor = LARGE.div_ceil(largest);
    let batch = sample.inputs[0].dims.first().copied();
    let rank = sample.inputs[0].dims.len();
    let stretched = |which: &dyn Fn(usize, &[usize]) -> bool| {
        let mut sample = sample.clone();
        for (i, input) in sample.inputs.iter_mut().enumerate() {
            if !input.dims.is_empty() && which(i, &input.dims) {
                input.dims[0] *= factor;
            }
        }
        sample
    };
    vec![
        stretched(&|_, dims| dims.first().copied() == batch && dims.len() == rank),
        stretched(&|_, dims| dims.first().copied() == batch),
        stretched(&|i, _| i == 0),
        stretched(&|_, _| true),
    ]
}

/// The bits of all outputs, hidden ones too, and of all gradients.
fn bits(sample: &Sample, x: &[Array], kinds: &[DType]) -> Result<Vec<Vec<u64>>> {
    let plain = leaves(x, kinds, |_| false)?;
    let outputs = apply(Revealed(sample.op.clone()), &plain.iter().collect::<Vec<_>>())?;
    let mut all = outputs.iter().map(words).collect::<Result<Vec<_>>>()?;
    if sample.op.differentiability() == Differentiability::Differentiable {
        let traced = leaves(x, kinds, |_| true)?;
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

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let pools = [1, 2, 4].map(|n| ThreadPoolBuilder::new().num_threads(n).build().unwrap());
    let mut failures = Vec::new();
    let mut large = 0;
    for spec in specs() {
        let samples = (spec.samples)();
        let candidates = samples.iter().flat_map(enlarged).map(|s| (s, true));
        let candidates = candidates.chain(samples.iter().map(|s| (s.clone(), false)));
        let chosen = candidates.filter_map(|(sample, is_large)| {
            let kinds = dtypes(&sample, DType::F32).ok()??;
            let x = arrays(&sample, &kinds, Class::Uniform, Repeat::Nowhere);
            let first = pools[0].install(|| bits(&sample, &x, &kinds)).ok()?;
            Some((sample, kinds, x, first, is_large))
        });
        let Some((sample, kinds, x, first, is_large)) = chosen.take(1).next() else {
            failures.push(format!("{}: no sample runs", spec.name));
            continue;
        };
        large += usize::from(is_large);
        for (pool, threads) in pools.iter().zip([1, 2, 4]) {
            let again = pool.install(|| bits(&sample, &x, &kinds)).unwrap();
            if again != first {
                let dims: Vec<&[usize]> = sample.inputs.iter().map(|i| &i.dims[..]).collect();
                failures.push(format!("{}: {threads} threads give other bits on {dims:?}", spec.name));
            }
        }
    }
    println!("{} ops, {large} of them on inputs of {LARGE} elements", specs().len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The call on row `row` alone of those inputs that have the batch as their first axis.
fn alone(x: &[Array], batched: &[bool], row: usize) -> Vec<Array> {
    let part = |a: &Array| {
        let width = a.data.len() / a.dims()[0];
        let shape = a.shape.with_dim(0, 1).expect("a smaller shape");
        Array { shape, data: a.data[row * width..][..width].to_vec() }
    };
    x.iter().zip(batched).map(|(a, &batched)| if batched { part(a) } else { a.clone() }).collect()
}

/// The oracle's or the kernel's outputs.
fn outputs(op: &Sample, x: &[Array], kinds: &[DType], oracle: bool) -> Result<Vec<Array>> {
    let shapes: Vec<Shape> = x.iter().map(|a| a.shape).collect();
    let metas: Vec<_> =
        shapes.iter().zip(kinds).map(|(s, d)| warpsmith_autograd::Meta::new(*s, *d)).collect();
    let mut y: Vec<Array> = op.op.shape(&metas)?.iter().map(|m| Array::zeros(m.shape)).collect();
    if oracle {
        op.op.reference(x, &mut y)?;
        return Ok(y);
    }
    let tensors = leaves(x, kinds, |_| false)?;
    let run = apply(Revealed(op.op.clone()), &tensors.iter().collect::<Vec<_>>())?;
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
/// same bits with and without the other rows: what a model answers does not depend on who else is in the batch.
#[test]
fn a_row_alone_is_the_row_in_its_batch() {
    let (mut compared, mut failures) = (Vec::new(), Vec::new());
    for spec in specs() {
        for sample in (spec.samples)() {
            let Ok(Some(kinds)) = dtypes(&sample, DType::F32) else { continue };
            let x = arrays(&sample, &kinds, Class::Uniform, Repeat::Nowhere);
            let Some(&batch) = x.first().and_then(|a| a.dims().first()) else { continue };
            if batch < 2 || metas(&sample, &kinds).iter().any(|m| m.shape.numel() == 0) {
                continue;
            }
            let rank = x[0].shape.rank();
            let same_rank: Vec<bool> =
                x.iter().map(|a| a.dims().first() == Some(&batch) && a.shape.rank() == rank).collect();
            let same_size: Vec<bool> = x.iter().map(|a| a.dims().first() == Some(&batch)).collect();
            let first: Vec<bool> = (0..x.len()).map(|i| i == 0).collect();
            for batched in [same_size, same_rank, first] {
                let rows = [0, batch / 2, batch - 1];
                let by_row = |oracle: bool| -> Result<bool> {
                    let whole = outputs(&sample, &x, &kinds, oracle)?;
                    rows.iter().try_fold(true, |all, &row| {
                        Ok(all
                            && is_row(
                                &whole,
                                &outputs(&sample, &alone(&x, &batched, row), &kinds, oracle)?,
                                row,
                                batch,
                            ))
                    })
                };
                if !by_row(true).unwrap_or(false) {
                    continue;
                }
                compared.push(spec.name);
                if !by_row(false).unwrap() {
                    failures.push(format!("{} {:?} {:?}", spec.name, sample.op, sample.inputs[0].dims));
                }
                break;
            }
        }
    }
    compared.dedup();
    println!("row by row: {}", compared.join(", "));
    assert!(failures.is_empty(), "a row differs with and without its batch:\n{}", failures.join("\n"));
}
