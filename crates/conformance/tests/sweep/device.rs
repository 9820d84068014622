//! Every op of the registry on the emulated driver.

use warpsmith_conformance::{Check, Plan, Sweep};
use warpsmith_tensor::Device;

use crate::forward::show;
use crate::specs;

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
        // Those that say so have no kernel, and no others.
        let says_so = |spec: &warpsmith_autograd::Spec| !(spec.samples)()[0].op.has_kernel();
        let without: Vec<&str> = specs().iter().filter(|spec| says_so(spec)).map(|spec| spec.name).collect();
        let absent: Vec<&str> = report.absent().collect();
        assert!(absent.iter().all(|name| without.contains(name)), "ops without a kernel: {absent:?}");
        assert!(check != Check::Values || absent.len() == without.len(), "{absent:?}, not {without:?}");
    }
}
