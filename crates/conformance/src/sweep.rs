//! The registry's samples, one after the other, each asked the same question.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rayon::prelude::*;
use warpsmith_autograd::{Sample, Spec};
use warpsmith_tensor::{DType, Device};

use crate::{Check, Class, Failure, Memory, Plan, Report, Tally};

/// One question, asked of ops on a device.
pub struct Sweep {
    /// What is asked.
    pub check: Check,
    /// Which ops.
    pub specs: Vec<Spec>,
    /// Where they run.
    pub device: Device,
    /// How many cases of each sample run.
    pub plan: Plan,
}

/// The calls of one sample in one dtype.
pub(crate) struct Item {
    pub spec: &'static str,
    pub number: usize,
    pub sample: Sample,
    pub float: DType,
}

/// What the items of one sweep have in common.
pub(crate) struct Place<'a> {
    pub device: &'a Device,
    pub plan: Plan,
}

impl Sweep {
    /// Runs the sweep. `progress` is told after each sample which spec it was of, how many samples are done, and how
    /// many there are.
    pub fn run(&self, progress: &(impl Fn(&str, usize, usize) + Sync)) -> Report {
        let items: Vec<Item> = self.specs.iter().flat_map(|spec| self.items(spec)).collect();
        let mut report = Report::default();
        if self.device.is_cpu() {
            let done = AtomicUsize::new(0);
            let tally = |item: &Item| {
                let tally = self.item(item);
                progress(item.spec, 1 + done.fetch_add(1, Ordering::Relaxed), items.len());
                (item.spec, tally)
            };
            let tallies: Vec<(&str, Tally)> = items.par_iter().map(tally).collect();
            tallies.into_iter().for_each(|(spec, tally)| report.add(spec, tally));
            return report;
        }
        // In order, so that a fault of the device is told of the call that made it.
        for (done, item) in items.iter().enumerate() {
            report.add(item.spec, self.item(item));
            progress(item.spec, done + 1, items.len());
            if let Err(error) = self.device.synchronize() {
                report.broken = Some(format!("{} sample {} {}: {error}", item.spec, item.number, item.float));
                break;
            }
        }
        report
    }

    fn items(&self, spec: &Spec) -> Vec<Item> {
        let samples = (spec.samples)().into_iter().enumerate();
        let item =
            |number, sample: &Sample, float| Item { spec: spec.name, number, sample: sample.clone(), float };
        let of = |(number, sample): (usize, Sample)| -> Vec<Item> {
            self.check.dtypes().iter().map(|&float| item(number, &sample, float)).collect()
        };
        samples.flat_map(of).collect()
    }

    fn item(&self, item: &Item) -> Tally {
        let began = Instant::now();
        let mut tally = Tally::default();
        let elements = item.sample.inputs.iter().map(|input| input.dims.iter().product::<usize>()).sum();
        let place = Place { device: &self.device, plan: self.plan.of_size(elements) };
        let asked = catch_unwind(AssertUnwindSafe(|| self.check.ask(item, &place, &mut tally)));
        match asked.unwrap_or_else(|_| Err("panicked".into())) {
            Ok(()) => {}
            Err(message) if is_absence(&message) => tally.is_absent = true,
            Err(message) => tally.failures.push(item.failure(None, Vec::new(), message)),
        }
        tally.seconds = began.elapsed().as_secs_f64();
        tally
    }
}

/// Whether an error says that the op has no kernel for the device.
pub(crate) fn is_absence(message: &str) -> bool {
    message.contains("has no CUDA kernel")
}

impl Item {
    pub fn failure(&self, class: Option<Class>, memories: Vec<Memory>, message: String) -> Failure {
        // Ops may hold long lists; their beginning tells them apart.
        let op = format!("{:?}", self.sample.op).chars().take(120).collect();
        Failure { spec: self.spec, sample: self.number, float: self.float, op, class, memories, message }
    }
}
