//! Every op × sample × dtype × value class × memory layout, against the op's oracle.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rayon::prelude::*;
use warpsmith_autograd::{Array, Meta, Sample, Values, apply, apply_owned};
use warpsmith_tensor::{DType, Tensor};

use crate::call::{Expected, Revealed, arrays, dtypes, metas, specs};
use crate::memory::{Memory, place};
use crate::tolerance::compare;
use crate::values::{Class, Repeat};

/// What the cases of one sample and dtype gave.
#[derive(Default)]
struct Outcome {
    cases: usize,
    seconds: f64,
    failures: Vec<String>,
}

#[test]
fn every_op_agrees_with_its_oracle() {
    let work: Vec<(&'static str, usize, Sample, DType)> = specs()
        .iter()
        .flat_map(|spec| (spec.samples)().into_iter().enumerate().map(|(i, sample)| (spec.name, i, sample)))
        .flat_map(|(name, i, sample)| {
            [DType::F32, DType::BF16, DType::F16].map(|dtype| (name, i, sample.clone(), dtype))
        })
        .collect();
    let outcomes: Vec<(&str, Outcome)> =
        work.par_iter().map(|(name, i, sample, dtype)| (*name, sweep(sample, *i, *dtype))).collect();
    let mut per_op: BTreeMap<&str, Outcome> = BTreeMap::new();
    for (name, outcome) in outcomes {
        let total = per_op.entry(name).or_default();
        total.cases += outcome.cases;
        total.seconds += outcome.seconds;
        total.failures.extend(outcome.failures);
    }
    let (mut cases, mut failures) = (0, 0);
    for (name, outcome) in &per_op {
        println!(
            "{name}: {} cases in {:.1} s, {} groups of them fail",
            outcome.cases,
            outcome.seconds,
            outcome.failures.len()
        );
        outcome.failures.iter().take(6).for_each(|failure| println!("    {failure}"));
        assert!(outcome.cases > 0, "{name}: not one case");
        cases += outcome.cases;
        failures += outcome.failures.len();
    }
    println!("{cases} cases of {} ops, {failures} groups fail", per_op.len());
    assert!(failures == 0, "{failures} groups of cases fail; see above");
}

fn sweep(sample: &Sample, number: usize, float: DType) -> Outcome {
    let began = std::time::Instant::now();
    let mut outcome = cases(sample, number, float);
    outcome.seconds = began.elapsed().as_secs_f64();
    outcome
}

fn cases(sample: &Sample, number: usize, float: DType) -> Outcome {
    let mut outcome = Outcome::default();
    let at = format!("sample {number} {}", short(&format!("{:?}", sample.op)));
    let kinds = match dtypes(sample, float) {
        Ok(Some(dtypes)) => dtypes,
        // An op may refuse 16-bit floats, but never f32.
        Ok(None) if float.is_half() => return outcome,
        Ok(None) => {
            outcome.failures.push(format!("{at}: takes no f32"));
            return outcome;
        }
        Err(error) => {
            outcome.failures.push(format!("{at}: {error}"));
            return outcome;
        }
    };
    let free = sample.inputs.iter().any(|input| matches!(input.values, Values::Any));
    for class in Class::ALL {
        if !free && class != Class::Uniform {
            break;
        }
        for repeat in [Repeat::Nowhere, Repeat::First, Repeat::Last, Repeat::Everywhere] {
            let mut group = Group { sample, dtypes: &kinds, class, repeat, outcome: &mut outcome };
            let panicked = catch_unwind(AssertUnwindSafe(|| group.run())).is_err();
            if panicked {
                outcome.failures.push(format!("{at}: {float} {class:?} {repeat:?}: panicked"));
            }
        }
    }
    outcome.failures.iter_mut().filter(|f| !f.starts_with("sample")).for_each(|f| *f = format!("{at}: {f}"));
    outcome
}

/// Ops may hold long lists; their beginning tells them apart.
fn short(text: &str) -> String {
    text.chars().take(120).collect()
}

/// The cases that share their values, and so the oracle's answer.
struct Group<'a> {
    sample: &'a Sample,
    dtypes: &'a [DType],
    class: Class,
    repeat: Repeat,
    outcome: &'a mut Outcome,
}

impl Group<'_> {
    fn run(&mut self) {
        let x = arrays(self.sample, self.dtypes, self.class, self.repeat);
        let metas = metas(self.sample, self.dtypes);
        let expected = match Expected::of(self.sample.op.as_ref(), &x, &metas) {
            Ok(expected) => expected,
            Err(error) => return self.outcome.failures.push(format!("{:?}: oracle: {error}", self.class)),
        };
        let promised = match self.sample.op.shape(&metas) {
            Ok(promised) => promised,
            Err(error) => return self.outcome.failures.push(format!("{error}")),
        };
        let mut failing: Vec<(Memory, String)> = Vec::new();
        for memory in Memory::ALL.into_iter().filter(|memory| memory.repeat() == self.repeat) {
            let Some(tensors) = place(memory, &x, self.dtypes) else { continue };
            self.outcome.cases += 1;
            if let Err(error) = self.case(&tensors, &x, &expected, &promised) {
                failing.push((memory, error));
            }
        }
        // All layouts together: which of them fail says as much as how.
        if let Some((_, error)) = failing.first() {
            let memories: Vec<Memory> = failing.iter().map(|(memory, _)| *memory).collect();
            let failure = format!("{:?} {:?} {memories:?}: {error}", self.dtypes, self.class);
            self.outcome.failures.push(failure);
        }
    }

    /// One call with inputs that others hold, which must not change, and one with the inputs given away.
    fn case(
        &self,
        tensors: &[Tensor],
        x: &[Array],
        expected: &Expected,
        promised: &[Meta],
    ) -> Result<(), String> {
        let op = || Revealed(self.sample.op.clone());
        let kept = apply(op(), &tensors.iter().collect::<Vec<_>>()).map_err(|e| e.to_string())?;
        for (i, (output, meta)) in kept.iter().zip(promised).enumerate() {
            compare(output, meta, expected, i, x)?;
        }
        for (i, (tensor, array)) in tensors.iter().zip(x).enumerate() {
            if !same_bits(&numbers(tensor)?, &array.data) {
                return Err(format!("input {i} was written over while the caller held it"));
            }
        }
        let copies: Vec<Tensor> =
            tensors.iter().map(Tensor::copy).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
        let given = apply_owned(op(), copies).map_err(|e| e.to_string())?;
        for (i, ((output, other), meta)) in given.iter().zip(&kept).zip(promised).enumerate() {
            compare(output, meta, expected, i, x).map_err(|e| format!("inputs given away: {e}"))?;
            if other.is_contiguous()
                && tensors.iter().all(Tensor::is_contiguous)
                && !same_bits(&numbers(output)?, &numbers(other)?)
            {
                return Err(format!("output {i} differs when the inputs are given away"));
            }
        }
        Ok(())
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>, String> {
    tensor.to_f64_vec().map_err(|e| e.to_string())
}

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()))
}
