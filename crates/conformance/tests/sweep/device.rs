//! Every op that has a CUDA kernel against its oracle, on the emulated driver.

use std::collections::BTreeSet;

use warpsmith_conformance::{Check, Plan, Sweep};
use warpsmith_tensor::Device;

use crate::forward::show;
use crate::specs;

/// Ops that still run on the CPU alone. An op that gets a kernel leaves the list: the test says so.
const ON_THE_CPU_ALONE: &[&str] = &[
    "adamw",
    "argmax",
    "argmin",
    "attention",
    "attention_backward",
    "clip_by_norm",
    "cross_entropy",
    "cross_entropy_backward",
    "embedding",
    "embedding_backward",
    "gather",
    "index_add",
    "index_select",
    "max",
    "min",
    "rope",
    "scatter_add",
    "sgd",
];

/// The emulated GPU; `WARPSMITH_ARENA=off` gives each block of memory bounds of its own, which it checks.
fn device() -> Device {
    warpsmith_emulator::install().expect("the emulator is built beside the tests");
    Device::cuda(0).expect("the emulated GPU can be used")
}

/// One test for all questions: they share one device, whose work is in one order.
#[test]
fn every_kernel_does_what_its_op_must() {
    let device = device();
    for check in Check::ALL {
        let plan = if check == Check::Values { Plan::Crossed } else { Plan::Small };
        let report = Sweep { check, specs: specs(), device: device.clone(), plan }.run(&|_, _, _| {});
        println!("--- {}", check.name());
        show(&report);
        let absent: BTreeSet<&str> = report.absent().collect();
        if check == Check::Values {
            let known: BTreeSet<&str> = ON_THE_CPU_ALONE.iter().copied().collect();
            let asked: BTreeSet<&str> = specs().iter().map(|spec| spec.name).collect();
            assert_eq!(absent, known.intersection(&asked).copied().collect());
        }
    }
}
