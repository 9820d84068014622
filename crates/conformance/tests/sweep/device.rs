//! Every op of the registry on the emulated driver.

use warpsmith_autograd::Spec;
use warpsmith_conformance::{Check, Plan, Sweep};
use warpsmith_tensor::Device;

use crate::forward::show;
use crate::specs;

#[test]
fn every_kernel_of_the_even_ops_does_what_its_op_must() {
    ask_every_second_op(0);
}

#[test]
fn every_kernel_of_the_odd_ops_does_what_its_op_must() {
    ask_every_second_op(1);
}

/// All questions to half of the ops, on a GPU of their own: one GPU's work is in one order, so two use both cores of a
/// small machine. `WARPSMITH_ARENA=off` gives each block of memory bounds of its own, which the emulator checks.
fn ask_every_second_op(half: usize) {
    assert_eq!(warpsmith_emulator::install_gpus(2).expect("the emulator is built beside the tests"), 2);
    let device = Device::cuda(half).expect("the emulated GPU can be used");
    let ops = || -> Vec<Spec> { specs().into_iter().skip(half).step_by(2).collect() };
    for check in Check::ALL {
        let plan = if check == Check::Values { Plan::Crossed } else { Plan::Small };
        let report = Sweep { check, specs: ops(), device: device.clone(), plan }.run(&|_, _, _| {});
        println!("--- {}", check.name());
        show(&report);
        // Those that say so have no kernel, and no others.
        let says_so = |spec: &Spec| !(spec.samples)()[0].op.has_kernel();
        let without: Vec<&str> = ops().iter().filter(|spec| says_so(spec)).map(|spec| spec.name).collect();
        let absent: Vec<&str> = report.absent().collect();
        assert!(absent.iter().all(|name| without.contains(name)), "ops without a kernel: {absent:?}");
        assert!(check != Check::Values || absent.len() == without.len(), "{absent:?}, not {without:?}");
    }
}
