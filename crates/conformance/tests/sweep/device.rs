//! Every op of the registry on the emulated driver.

use warpsmith_autograd::Spec;
use warpsmith_conformance::{Check, Plan, Sweep};
use warpsmith_emulator::alone;
use warpsmith_tensor::Device;

use crate::forward::show;
use crate::specs;

#[test]
fn every_kernel_of_the_even_ops_does_what_its_op_must() {
    apart("device::every_kernel_of_the_even_ops_does_what_its_op_must", 0);
}

#[test]
fn every_kernel_of_the_odd_ops_does_what_its_op_must() {
    apart("device::every_kernel_of_the_odd_ops_does_what_its_op_must", 1);
}

#[test]
fn the_even_ops_write_all_of_their_outputs_and_nothing_beside() {
    ask_every_second_op(0, &[Check::Guards]);
}

#[test]
fn the_odd_ops_write_all_of_their_outputs_and_nothing_beside() {
    ask_every_second_op(1, &[Check::Guards]);
}

/// All questions but that of the guards, which are laid by how the arena hands out memory. Where each block is the driver's own,
/// the emulator sees the bounds of each: in the arena a read past the end of one, or of what nobody wrote, would find the bytes
/// of a neighbour or of who was there before.
fn apart(test: &str, half: usize) {
    let checks: Vec<Check> = Check::ALL.into_iter().filter(|check| *check != Check::Guards).collect();
    alone(test, &[("WARPSMITH_ARENA", "off")], || ask_every_second_op(half, &checks));
}

/// These questions to half of the ops, on a GPU of their own: one GPU's work is in one order, so two use both cores of a
/// small machine.
fn ask_every_second_op(half: usize, checks: &[Check]) {
    assert_eq!(warpsmith_emulator::install_gpus(2).expect("the emulator is built beside the tests"), 2);
    let device = Device::cuda(half).expect("the emulated GPU can be used");
    let ops = || -> Vec<Spec> { specs().into_iter().skip(half).step_by(2).collect() };
    for &check in checks {
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
