//! Every op on the CPU against its oracle, in every dtype, value class and layout.

use warpsmith_conformance::{Check, Plan, Report, Sweep};
use warpsmith_tensor::Device;

/// Prints what a sweep found, and fails if something is wrong.
pub fn show(report: &Report) {
    for (name, tally) in &report.specs {
        println!(
            "{name}: {} cases in {:.1} s, worst at {:.3} of what is allowed ({}), {} groups of them fail",
            tally.cases,
            tally.seconds,
            tally.worst.share,
            tally.worst.place,
            tally.failures.len()
        );
        tally.failures.iter().take(6).for_each(|failure| println!("    {failure}"));
    }
    let total = report.total();
    println!("{} cases of {} ops, {} groups fail", total.cases, report.specs.len(), total.failures.len());
    assert!(report.broken.is_none(), "{:?}", report.broken);
    assert!(report.is_green(), "{} groups of cases fail; see above", total.failures.len());
}

#[test]
fn every_op_agrees_with_its_oracle() {
    let sweep = Sweep { check: Check::Values, specs: crate::specs(), device: Device::Cpu, plan: Plan::Whole };
    let report = sweep.run(&|_, _, _| {});
    show(&report);
    for (name, tally) in &report.specs {
        assert!(tally.cases > 0, "{name}: not one case");
    }
}
