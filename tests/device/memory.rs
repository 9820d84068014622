//! Memory that ends in the middle of a step: an error that says where, and nothing lost.

use warpsmith::prelude::*;
use warpsmith::tensor::{Kind, fail_allocation};
use warpsmith::train::Error;

use super::{Checked, data, gpu, parameters, tiny};

/// Lets each allocation of a step fail in turn (each `stride`th), and then lets the step pass.
fn fail_everywhere(device: &Device, stride: usize) -> Checked {
    let config = TrainConfig { gradient_accumulation_steps: 1, compile: false, ..tiny() };
    let mut trainer = Trainer::new(config.clone(), data()?, device)?;
    let mut untouched = Trainer::new(config, data()?, device)?;
    trainer.step()?;
    untouched.step()?;
    let before = parameters(trainer.model())?;
    let (mut failures, mut layers, mut ops) = (0, 0, 0);
    for after in (0..).step_by(stride) {
        fail_allocation(Some(after));
        let done = trainer.step();
        if fail_allocation(None).is_some() {
            done?;
            break;
        }
        let Err(Error::Tensor(error)) = done else { return Err("memory had ended".into()) };
        assert_eq!(error.kind(), Kind::Memory, "{error}");
        failures += 1;
        layers += usize::from(error.scope().starts_with("blocks.0"));
        ops += usize::from(error.op() != "allocate");
        assert!(parameters(trainer.model())? == before, "after {after}: {error}");
    }
    assert!(failures * stride > 50, "{failures} failures");
    assert!(layers * 3 > failures, "{layers} of {failures} name the block");
    assert!(ops * 2 > failures, "{ops} of {failures} name the op");
    // The step that passed at last is the step of a trainer that never failed, and so is the next.
    untouched.step()?;
    assert!(parameters(trainer.model())? == parameters(untouched.model())?, "the step is another");
    assert_eq!(trainer.step()?.loss, untouched.step()?.loss);
    Ok(())
}

#[test]
fn each_allocation_of_a_step_may_fail_on_the_cpu() -> Checked {
    fail_everywhere(&Device::Cpu, 1)
}

#[test]
fn each_allocation_of_a_step_may_fail_on_a_gpu() -> Checked {
    let (_alone, device) = gpu();
    fail_everywhere(&device, 5)
}
