//! Ops that are wrong on purpose: each question must see what it is asked for.

use std::sync::atomic::{AtomicUsize, Ordering};

use warpsmith_autograd::{Array, Backward, Cost, Input, Meta, Op, Sample, Saves, Spec, apply_single};
use warpsmith_conformance::{Check, Plan, Report, Sweep};
use warpsmith_tensor::{DType, Device, Error, Kind, Result, Tensor};

/// What is wrong with an op that should double its input.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Nothing.
    None,
    /// The last element is off by one part in a thousand.
    Inexact,
    /// NaN becomes 0.
    HidesNan,
    /// Reads the storage in order, whatever the layout says.
    IgnoresStrides,
    /// The gradient is off by half a percent, but in f64, which the others are held to.
    WrongSlope,
    /// The gradient is left out in 16 bits.
    ForgetsNarrow,
    /// Counts its calls and lets it be seen.
    Remembers,
    /// Adds the number of rows to the first element.
    SeesItsBatch,
    /// Does not come back.
    Panics,
    /// Is an error.
    Refuses,
}

#[derive(Clone, Debug)]
struct Double(Fault);

static CALLS: AtomicUsize = AtomicUsize::new(0);

impl Double {
    fn computed(&self, x: &Tensor) -> Result<Vec<f64>> {
        let mut y: Vec<f64> = x.to_f64_vec()?.iter().map(|v| 2.0 * v).collect();
        if y.is_empty() {
            return Ok(y);
        }
        match self.0 {
            Fault::Inexact => *y.last_mut().unwrap() *= 1.001,
            Fault::HidesNan => y.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = 0.0),
            Fault::IgnoresStrides => {
                let n = x.numel().min(x.storage_len());
                let storage = match x.dtype() {
                    DType::F32 => x.storage_data::<f32>()?,
                    _ => return Ok(y),
                };
                (0..n).for_each(|i| y[i] = 2.0 * f64::from(storage[i]));
            }
            Fault::Remembers => y[0] += CALLS.fetch_add(1, Ordering::Relaxed) as f64,
            Fault::SeesItsBatch => y[0] += x.dims().first().copied().unwrap_or(0) as f64 * 1e-6,
            Fault::Panics => panic!("as it should"),
            Fault::Refuses => return Err(Error::new(Kind::Value, "double", "not today")),
            _ => {}
        }
        Ok(y)
    }
}

impl Op for Double {
    fn name(&self) -> &'static str {
        "double"
    }
    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![x[0]])
    }
    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        y[0].data.iter_mut().zip(&x[0].data).for_each(|(y, x)| *y = 2.0 * x);
        Ok(())
    }
    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let computed = self.computed(&x[0])?;
        let made = Tensor::from_f64(&computed, y[0].shape, y[0].dtype, &Device::Cpu)?;
        Ok(vec![made])
    }
    fn saves(&self) -> Saves {
        Saves::NOTHING
    }
    fn vjp(&self, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let grad = back.grad(0)?;
        if self.0 == Fault::ForgetsNarrow && grad.dtype().is_half() {
            return Ok(vec![None]);
        }
        let double = apply_single(Double(Fault::None), &[&grad])?;
        if self.0 != Fault::WrongSlope || grad.dtype() == DType::F64 {
            return Ok(vec![Some(double)]);
        }
        let off: Vec<f64> = double.to_f64_vec()?.iter().map(|v| v * 1.005).collect();
        Ok(vec![Some(Tensor::from_f64(&off, *double.shape(), double.dtype(), &Device::Cpu)?)])
    }
    fn cost(&self) -> Cost {
        Cost::new("N*s", "N*s", "N")
    }
}

fn samples(fault: Fault) -> Vec<Sample> {
    vec![Sample::new(Double(fault), [Input::any(&[3, 5])]), Sample::new(Double(fault), [Input::any(&[0, 2])])]
}

fn ask(check: Check, samples: fn() -> Vec<Sample>) -> Report {
    let specs = vec![Spec { name: "double", summary: "twice the input", samples }];
    Sweep { check, specs, device: Device::Cpu, plan: Plan::Whole }.run(&|_, _, _| {})
}

/// The classes in which something fails, and the first message.
fn seen(report: &Report) -> (Vec<String>, String) {
    let failures = report.total().failures;
    let mut classes: Vec<String> =
        failures.iter().filter_map(|failure| failure.class.map(|class| format!("{class:?}"))).collect();
    classes.dedup();
    (classes, failures.first().map(ToString::to_string).unwrap_or_default())
}

#[test]
fn a_right_op_passes_every_question() {
    for check in [Check::Values, Check::Gradients, Check::Repeat, Check::Rows] {
        let report = ask(check, || samples(Fault::None));
        let total = report.total();
        assert!(report.is_green() && total.cases > 0, "{}: {:?}", check.name(), total.failures);
        assert!(total.worst.share <= 1.0);
    }
}

#[test]
fn wrong_values_are_seen_and_named() {
    let report = ask(Check::Values, || samples(Fault::Inexact));
    let (_, message) = seen(&report);
    assert!(!report.is_green());
    assert!(message.starts_with("double sample 0 Double(Inexact) f32 Uniform"), "{message}");
    assert!(message.contains("Transposed") && message.contains("first [2, 4]"), "{message}");

    let (classes, _) = seen(&ask(Check::Values, || samples(Fault::HidesNan)));
    assert_eq!(classes, ["Nan"], "nothing else shows it");

    let report = ask(Check::Values, || samples(Fault::IgnoresStrides));
    let memories = &report.total().failures[0].memories;
    assert!(!memories.is_empty() && !format!("{memories:?}").contains("Contiguous"), "{memories:?}");
}

#[test]
fn an_op_that_fails_is_a_failure_and_not_the_end() {
    for samples in [(|| samples(Fault::Panics)) as fn() -> Vec<Sample>, || samples(Fault::Refuses)] {
        let report = ask(Check::Values, samples);
        assert!(!report.is_green());
        // The sample of no elements computes nothing, and is right.
        assert!(report.total().failures.iter().all(|failure| failure.sample == 0));
        assert!(report.total().cases > 0);
    }
}

#[test]
fn wrong_gradients_and_bits_are_seen() {
    assert!(ask(Check::Values, || samples(Fault::WrongSlope)).is_green());
    let report = ask(Check::Gradients, || samples(Fault::WrongSlope));
    let worst = report.total().worst;
    assert!(!report.is_green() && worst.share > 1.0, "{worst:?}");
    let report = ask(Check::Gradients, || samples(Fault::ForgetsNarrow));
    let failures = report.total().failures;
    assert!(!failures.is_empty() && failures.iter().all(|one| one.float == DType::BF16), "{failures:?}");
    assert!(!ask(Check::Repeat, || samples(Fault::Remembers)).is_green());
    assert!(!ask(Check::Rows, || samples(Fault::SeesItsBatch)).is_green());
}

#[test]
fn reports_add_up() {
    let report = ask(Check::Gradients, || samples(Fault::WrongSlope));
    let total = report.total();
    assert_eq!(total.cases, report.specs["double"].cases);
    assert_eq!(report.absent().count(), 0);
    assert!(total.worst.share > 0.0 && total.worst.place.starts_with("sample 0"), "{:?}", total.worst);
}
