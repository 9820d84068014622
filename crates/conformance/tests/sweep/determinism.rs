//! The same bits: from the same call twice, from any number of threads, and from a row alone or in its batch.

use rayon::{ThreadPool, ThreadPoolBuilder};
use warpsmith_autograd::{Array, Sample, Values};
use warpsmith_conformance::determinism::{bits, row_alone};
use warpsmith_conformance::{Class, Repeat, arrays, dtypes};
use warpsmith_tensor::{DType, Device};

use crate::specs;

/// Elements of the largest input of an enlarged sample: several tasks, whatever an element costs.
const LARGE: usize = 150_000;

/// The sample with its first axes stretched so that its work is split among threads, in the ways that may fit the op.
fn enlarged(sample: &Sample) -> Vec<Sample> {
    let is_fixed = |v: &Values| matches!(v, Values::Integers(_) | Values::Bytes(_) | Values::Exactly(_));
    let fixed = |s: &Sample| s.inputs.iter().any(|i| is_fixed(&i.values));
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

/// A call and what it gives.
struct Call {
    sample: Sample,
    kinds: Vec<DType>,
    x: Vec<Array>,
    first: Vec<Vec<u64>>,
    is_large: bool,
}

/// The sample enlarged in the first of the ways that fit the op, or as it is.
fn largest(sample: &Sample, pool: &ThreadPool) -> Option<Call> {
    let ways = enlarged(sample).into_iter().map(|sample| (sample, true));
    let mut ways = ways.chain(std::iter::once((sample.clone(), false)));
    ways.find_map(|(sample, is_large)| {
        let kinds = dtypes(&sample, DType::F32).ok()??;
        let x = arrays(&sample, &kinds, Class::Uniform, Repeat::Nowhere).ok()?;
        let first = pool.install(|| bits(&sample, &x, &kinds, &Device::Cpu)).ok()?;
        Some(Call { sample, kinds, x, first, is_large })
    })
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let pools = [1, 2, 4].map(|n| ThreadPoolBuilder::new().num_threads(n).build().unwrap());
    let mut failures = Vec::new();
    let mut large = 0;
    for spec in specs() {
        // Each sample may take another way: an axis that is summed over, a kind of mask.
        let chosen: Vec<_> =
            (spec.samples)().iter().filter_map(|sample| largest(sample, &pools[0])).collect();
        if chosen.is_empty() {
            failures.push(format!("{}: no sample runs", spec.name));
        }
        large += usize::from(chosen.iter().any(|call| call.is_large));
        for Call { sample, kinds, x, first, .. } in chosen {
            for (pool, threads) in pools.iter().zip([1, 2, 4]) {
                let again = pool.install(|| bits(&sample, &x, &kinds, &Device::Cpu)).unwrap();
                if again != first {
                    let dims: Vec<&[usize]> = sample.inputs.iter().map(|i| &i.dims[..]).collect();
                    failures.push(format!("{}: {threads} threads give other bits on {dims:?}", spec.name));
                }
            }
        }
    }
    println!("{} ops, {large} of them on inputs of {LARGE} elements", specs().len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What a model answers does not depend on who else is in the batch.
#[test]
fn a_row_alone_is_the_row_in_its_batch() {
    let (mut compared, mut failures) = (Vec::new(), Vec::new());
    for spec in specs() {
        for sample in (spec.samples)() {
            let Ok(Some(kinds)) = dtypes(&sample, DType::F32) else { continue };
            match row_alone(&sample, &kinds, &Device::Cpu).unwrap() {
                None => {}
                Some(true) => compared.push(spec.name),
                Some(false) => {
                    failures.push(format!("{} {:?} {:?}", spec.name, sample.op, sample.inputs[0].dims))
                }
            }
        }
    }
    compared.dedup();
    println!("row by row: {}", compared.join(", "));
    assert!(failures.is_empty(), "a row differs with and without its batch:\n{}", failures.join("\n"));
}
