//! Two questions. Is the formula right: the vjp in f64 against differences of the oracle? And do the kernels compute
//! the formula: the vjp in f32 and bf16 against the vjp in f64 at the same numbers?

use rayon::prelude::*;
use warpsmith_autograd::{Array, Differentiability, Op, Sample, gradcheck};
use warpsmith_conformance::dtypes;
use warpsmith_conformance::gradient::{share, smooth};
use warpsmith_tensor::{DType, Device};

use crate::specs;

fn differentiable() -> Vec<(&'static str, Vec<Sample>)> {
    let all = specs().into_iter().map(|spec| (spec.name, (spec.samples)()));
    all.filter(|(_, samples)| {
        samples.iter().any(|s| s.op.differentiability() == Differentiability::Differentiable)
    })
    .collect()
}

#[test]
fn every_gradient_formula_agrees_with_differences() {
    let reports: Vec<(&str, usize, f64, Vec<String>)> = differentiable()
        .par_iter()
        .map(|(name, samples)| {
            let (mut compared, mut worst, mut failures) = (0, 0f64, Vec::new());
            for (number, sample) in samples.iter().enumerate() {
                let kinds: Vec<DType> = sample.inputs.iter().map(|i| i.dtype(DType::F64)).collect();
                let x: Vec<(Array, DType)> = smooth(sample, &kinds).unwrap().into_iter().zip(kinds).collect();
                match gradcheck(&sample.op, &x) {
                    Ok(report) => {
                        compared += report.compared;
                        worst = worst.max(report.worst);
                    }
                    Err(error) => failures.push(format!("sample {number}: {error}")),
                }
            }
            (*name, compared, worst, failures)
        })
        .collect();
    let mut failed = 0;
    for (name, compared, worst, failures) in &reports {
        println!("{name}: {compared} derivatives, worst at {worst:.3} of what is allowed");
        failures.iter().for_each(|failure| println!("    {failure}"));
        failed += failures.len() + usize::from(*compared == 0);
    }
    let total: usize = reports.iter().map(|r| r.1).sum();
    println!("{total} derivatives of {} ops", reports.len());
    assert!(failed == 0, "{failed} samples have a wrong formula, or none that was compared; see above");
}

#[test]
fn every_kernel_computes_its_gradient() {
    let lines: Vec<(String, usize)> = differentiable()
        .par_iter()
        .flat_map(|(name, samples)| {
            [DType::F32, DType::BF16].par_iter().map(move |&float| {
                let (mut worst, mut failures) = (0f64, Vec::new());
                for (number, sample) in samples.iter().enumerate() {
                    let Ok(Some(kinds)) = dtypes(sample, float) else { continue };
                    match share(sample, float, &kinds, &Device::Cpu) {
                        Ok(share) if share <= 1.0 => worst = worst.max(share),
                        Ok(share) => failures.push(format!(
                            "sample {number} {:?}: {share:.2} of the allowed error",
                            sample.op
                        )),
                        Err(error) => failures.push(format!("sample {number}: {error}")),
                    }
                }
                let mut line = format!("{name} {float}: worst at {worst:.3} of what is allowed");
                failures.iter().for_each(|failure| line += &format!("\n    {failure}"));
                (line, failures.len())
            })
        })
        .collect();
    lines.iter().for_each(|(line, _)| println!("{line}"));
    let failed: usize = lines.iter().map(|(_, failed)| failed).sum();
    assert!(failed == 0, "{failed} gradients are off; see above");
}
