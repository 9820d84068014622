//! The formulas of what an op costs: they can be computed, and they do not contradict the tensors.

use std::collections::HashSet;

use warpsmith_autograd::{Cost, Meta, Op, apply};
use warpsmith_tensor::DType;

use crate::call::{arrays, dtypes, metas, specs};
use crate::tape::leaves;
use crate::values::{Class, Repeat};

fn bytes(metas: &[Meta]) -> u64 {
    metas.iter().map(|m| (m.shape.numel() * m.dtype.size()) as u64).sum()
}

#[test]
fn cost_formulas_fit_the_tensors() {
    let mut failures = Vec::new();
    for spec in specs() {
        for float in [DType::F32, DType::BF16] {
            let (mut sizes, mut costs, mut views) = (HashSet::new(), HashSet::new(), 0);
            for sample in (spec.samples)() {
                let Ok(Some(kinds)) = dtypes(&sample, float) else { continue };
                let inputs = metas(&sample, &kinds);
                let (op, cost) = (&sample.op, sample.op.cost());
                let (read, written, flops) = match cost.values(op.as_ref(), &inputs) {
                    Ok(values) => values,
                    Err(error) => {
                        failures.push(format!("{op:?}: {error}"));
                        continue;
                    }
                };
                if cost == Cost::VIEW {
                    views += 1;
                    continue;
                }
                let outputs = op.shape(&inputs).unwrap();
                let visible = bytes(&outputs[..outputs.len() - op.hidden_outputs()]);
                let shapes: Vec<_> = inputs.iter().map(|m| m.shape).collect();
                if written < visible || written > bytes(&outputs) {
                    failures.push(format!(
                        "{op:?} on {shapes:?} {float}: `{}` = {written} bytes written, outputs have {visible} to {}",
                        cost.written,
                        bytes(&outputs)
                    ));
                }
                // Each tensor is counted once; a gather reads an element as often as it writes it.
                let most = bytes(&inputs) + bytes(&outputs);
                if read > most {
                    failures.push(format!(
                        "{op:?} on {shapes:?} {float}: `{}` = {read} bytes read, inputs and outputs have {most}",
                        cost.read
                    ));
                }
                sizes.insert(bytes(&inputs) + bytes(&outputs));
                costs.insert((read, written, flops));
            }
            if views == 0 && sizes.len() > 1 && costs.len() < 2 {
                failures.push(format!("{}: one cost for samples of {} sizes", spec.name, sizes.len()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn an_op_that_says_it_moves_nothing_makes_views() {
    for spec in specs() {
        for sample in (spec.samples)() {
            let Ok(Some(kinds)) = dtypes(&sample, DType::F32) else { continue };
            let x = arrays(&sample, &kinds, Class::Uniform, Repeat::Nowhere);
            if sample.op.cost() != Cost::VIEW || x.iter().any(|a| a.data.is_empty()) {
                continue;
            }
            let inputs = leaves(&x, &kinds, |_| false).unwrap();
            let outputs = apply(sample.op.clone(), &inputs.iter().collect::<Vec<_>>()).unwrap();
            for output in outputs {
                let is_view = inputs.iter().any(|input| input.shares_storage(&output));
                assert!(is_view, "{:?} costs nothing but copies", sample.op);
            }
        }
    }
}
