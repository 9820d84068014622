//! A gradient is never dropped in silence, and the registry says what there is.

use std::collections::HashSet;
use std::path::Path;

use warpsmith_autograd::{Array, Differentiability, Op, Sample, TensorExt, Values, apply};
use warpsmith_conformance::{Class, Repeat, arrays, dtypes, tape};
use warpsmith_ops::registry;
use warpsmith_tensor::{DType, Device, Kind, Result, Tensor};

use crate::specs;

fn leaves(x: &[Array], kinds: &[DType], traced: impl Fn(usize) -> bool) -> Result<Vec<Tensor>> {
    tape::leaves(x, kinds, &Device::Cpu, traced)
}

/// Every sample in f32, with numbers.
fn calls() -> Vec<(Sample, Vec<DType>, Vec<Array>)> {
    let samples = specs().into_iter().flat_map(|spec| (spec.samples)());
    samples
        .filter_map(|sample| {
            let kinds = dtypes(&sample, DType::F32).ok()??;
            let x = arrays(&sample, &kinds, Class::Uniform, Repeat::Nowhere).ok()?;
            Some((sample, kinds, x))
        })
        .collect()
}

#[test]
fn every_float_input_of_a_differentiable_op_has_its_gradient_wanted_alone_or_with_others() {
    let mut asked = 0;
    for (sample, kinds, x) in calls() {
        if sample.op.differentiability() != Differentiability::Differentiable {
            continue;
        }
        let outputs =
            apply(sample.op.clone(), &leaves(&x, &kinds, |_| false).unwrap().iter().collect::<Vec<_>>())
                .unwrap();
        let ones = |t: &Tensor| Array { shape: *t.shape(), data: vec![1.0; t.numel()] };
        let weights: Vec<Array> = outputs.iter().map(ones).collect();
        let together = leaves(&x, &kinds, |_| true).unwrap();
        let all = tape::backward(&sample, &together, &weights).unwrap();
        for i in (0..x.len()).filter(|&i| kinds[i].is_float()) {
            let single = leaves(&x, &kinds, |j| j == i).unwrap();
            let found = tape::backward(&sample, &single, &weights).unwrap();
            let (one, other) = (found.of(&single[i]), all.of(&together[i]));
            let (Some(one), Some(other)) = (one, other) else {
                panic!("{:?}: no gradient of input {i}", sample.op)
            };
            assert_eq!(found.len(), 1, "{:?}", sample.op);
            let bits = |t: &Tensor| t.to_f64_vec().unwrap().into_iter().map(f64::to_bits).collect::<Vec<_>>();
            assert_eq!(
                bits(one),
                bits(other),
                "{:?}: the gradient of input {i} depends on who else is asked",
                sample.op
            );
            asked += 1;
        }
    }
    println!("{asked} gradients asked for one by one");
}

#[test]
fn constant_ops_leave_no_trace_and_refusing_ops_name_themselves() {
    for (sample, kinds, x) in calls() {
        for i in (0..x.len()).filter(|&i| kinds[i].is_float()) {
            let inputs = leaves(&x, &kinds, |j| j == i).unwrap();
            let result = apply(sample.op.clone(), &inputs.iter().collect::<Vec<_>>());
            match sample.op.differentiability() {
                Differentiability::Differentiable => {}
                Differentiability::ByDefinitionNot => {
                    assert!(result.unwrap().iter().all(|t| t.trace().is_none()), "{:?}", sample.op);
                }
                Differentiability::Refused => {
                    let error = result.err().unwrap_or_else(|| panic!("{:?} took a traced input", sample.op));
                    assert_eq!((error.kind(), error.op()), (Kind::Gradient, sample.op.name()));
                    assert!(error.to_string().starts_with(sample.op.name()), "{error}");
                }
            }
        }
    }
}

#[test]
fn integers_are_never_asked_for_a_gradient() {
    for (sample, kinds, x) in calls() {
        for tensor in leaves(&x, &kinds, |_| false).unwrap().iter().filter(|t| !t.dtype().is_float()) {
            assert_eq!(tensor.requires_grad().unwrap_err().kind(), Kind::DType, "{:?}", sample.op);
        }
    }
}

#[test]
fn names_are_unique_and_are_the_ops_own() {
    let mut seen = HashSet::new();
    for spec in registry() {
        assert!(seen.insert(spec.name), "two specs are called {}", spec.name);
        assert!(!spec.summary.is_empty(), "{} has no summary", spec.name);
        let samples = (spec.samples)();
        assert!(!samples.is_empty(), "{} has no samples", spec.name);
        for sample in &samples {
            assert_eq!(sample.op.name(), spec.name);
            assert_eq!(Some(sample.op.differentiability()), spec.differentiability(), "{}", spec.name);
        }
    }
}

/// A file that declares specs but stands not in the list would not even be compiled, and nobody would miss it.
#[test]
fn every_file_with_specs_is_in_the_registry() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/src");
    let list = std::fs::read_to_string(source.join("lib.rs")).unwrap();
    let list = list.split("registry! {").last().unwrap();
    let listed: HashSet<&str> = list.lines().filter_map(|line| line.trim().strip_suffix(',')).collect();
    let mut found = 0;
    for entry in std::fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = match path.is_dir() {
            true => std::fs::read_to_string(path.join("mod.rs")).unwrap_or_default(),
            false => std::fs::read_to_string(&path).unwrap(),
        };
        if text.contains("\npub fn specs() -> Vec<Spec>") {
            found += 1;
            assert!(listed.contains(stem.as_str()), "{stem}.rs has specs, but the registry does not list it");
        }
    }
    assert_eq!(found, listed.len(), "the registry lists {listed:?}");
}

/// Ops whose floats may not have 16 bits: whatever else the sweeps pass over in silence would be untested.
const NOT_IN_SIXTEEN_BITS: &[&str] = &[];

#[test]
fn an_op_is_swept_in_sixteen_bits_unless_it_is_listed() {
    let mut passed_over = Vec::new();
    for spec in registry() {
        for float in [DType::BF16, DType::F16] {
            let samples = (spec.samples)();
            let kinds: Vec<_> = samples.iter().map(|sample| dtypes(sample, float).unwrap()).collect();
            // One sample that is taken would hide others that are not.
            if kinds.iter().any(Option::is_none) {
                passed_over.push(spec.name);
            }
            // Reals in f32 stand beside 16-bit ones, and never in place of all of them.
            let reals = |i: usize| matches!(samples[0].inputs[i].values, Values::Any | Values::Between(..));
            if let Some(Some(kinds)) = kinds.first().filter(|_| (0..samples[0].inputs.len()).any(reals)) {
                assert!(kinds.contains(&float), "{} in {float}: {kinds:?}", spec.name);
            }
        }
    }
    passed_over.dedup();
    assert_eq!(passed_over, NOT_IN_SIXTEEN_BITS);
}
