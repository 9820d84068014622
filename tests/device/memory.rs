//! Memory that ends in the middle of a step: an error that says where, and nothing lost.

use warpsmith::prelude::*;
use warpsmith::tensor::{Kind, fail_allocation};
use warpsmith::train::Error;
use warpsmith::train::config::Precision;
use warpsmith::train::memory::Need;
use warpsmith::train::trainer::gpt_config;

use super::{Checked, data, gpu, parameters, tiny};

/// What a run is said to need is less than it takes on a GPU as well.
#[test]
fn no_run_that_a_gpu_can_hold_is_refused() -> Checked {
    let (_alone, device) = gpu();
    for dtype in [Precision::F32, Precision::Bf16] {
        for compile in [false, true] {
            let config = TrainConfig { dtype, compile, n_embd: 64, block_size: 64, batch_size: 4, ..tiny() };
            let before = device.memory().map_or(0, |memory| memory.live);
            let mut trainer = Trainer::new(config.clone(), data()?, &device)?;
            if let Device::Cuda(cuda) = &device {
                cuda.reset_peak()
            }
            (0..3).try_for_each(|_| trainer.step().map(drop))?;
            let taken = device.memory().map_or(0, |memory| memory.peak) - before;
            let shape = gpt_config(&config, data()?.tokenizer().vocab_size());
            let need = Need::of(&config, &shape, true).bytes();
            println!(
                "{dtype:?}, compile {compile}: {:.2} of {:.1} MiB",
                need / taken as f64,
                taken as f64 / 1048576.0
            );
            assert!(need <= taken as f64, "{dtype:?}: {need} bytes said, {taken} taken");
        }
    }
    Ok(())
}

/// A step on its own: one batch, without recording.
fn eager() -> TrainConfig {
    TrainConfig { gradient_accumulation_steps: 1, compile: false, ..tiny() }
}

/// After `done` steps, lets each allocation of the next one fail in turn, and then lets the step pass. How many failed,
/// and how many of those errors name the block and the op.
fn fail_everywhere(
    device: &Device,
    config: &TrainConfig,
    done: usize,
) -> std::result::Result<[usize; 3], Box<dyn std::error::Error>> {
    let mut trainer = Trainer::new(config.clone(), data()?, device)?;
    let mut untouched = Trainer::new(config.clone(), data()?, device)?;
    for _ in 0..done {
        trainer.step()?;
        untouched.step()?;
    }
    let before = parameters(trainer.model())?;
    let [mut failures, mut layers, mut ops] = [0; 3];
    for after in 0.. {
        fail_allocation(Some(after));
        // Nothing is read: what is read behind a step that is made has a test of its own.
        let done = trainer.step_unread();
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
    // The step that passed at last is the step of a trainer that never failed, and so is the next.
    untouched.step()?;
    assert!(parameters(trainer.model())? == parameters(untouched.model())?, "the step is another");
    assert_eq!(trainer.step()?.loss, untouched.step()?.loss);
    Ok([failures, layers, ops])
}

/// As [`fail_everywhere`], where the step computes op by op: most errors say in which, and many in which block.
fn fail_op_by_op(device: &Device, config: &TrainConfig) -> Checked {
    let [failures, layers, ops] = fail_everywhere(device, config, 1)?;
    assert!(failures > 50, "{failures} failures");
    assert!(layers * 3 > failures, "{layers} of {failures} name the block");
    assert!(ops * 2 > failures, "{ops} of {failures} name the op");
    Ok(())
}

#[test]
fn each_allocation_of_a_step_may_fail_on_the_cpu() -> Checked {
    fail_op_by_op(&Device::Cpu, &eager())
}

#[test]
fn each_allocation_of_a_step_may_fail_on_a_gpu() -> Checked {
    let (_alone, device) = gpu();
    fail_op_by_op(&device, &eager())
}

#[test]
fn each_allocation_of_a_step_in_bf16_may_fail_on_a_gpu() -> Checked {
    let (_alone, device) = gpu();
    fail_op_by_op(&device, &TrainConfig { dtype: Precision::Bf16, ..eager() })
}

#[test]
fn each_allocation_of_a_step_that_is_recorded_may_fail() -> Checked {
    let (_alone, device) = gpu();
    fail_op_by_op(&device, &TrainConfig { compile: true, ..eager() })
}

/// A recording has its memory: what is left to fail is what stands around it.
#[test]
fn each_allocation_around_a_step_that_is_replayed_may_fail() -> Checked {
    let (_alone, device) = gpu();
    let [failures, ..] = fail_everywhere(&device, &TrainConfig { compile: true, ..eager() }, 2)?;
    assert!(failures < 10, "{failures} allocations in a step that is replayed");
    Ok(())
}

/// The step is made by then, and what it came to waits for who asks again.
#[test]
fn each_allocation_of_reading_a_loss_may_fail() -> Checked {
    let (_alone, device) = gpu();
    let mut trainer = Trainer::new(eager(), data()?, &device)?;
    let mut untouched = Trainer::new(eager(), data()?, &device)?;
    let (report, expected) = (trainer.step_unread()?, untouched.step()?);
    let mut failures = 0;
    for after in 0.. {
        fail_allocation(Some(after));
        let told = trainer.wait(report);
        if fail_allocation(None).is_some() {
            let told = told?;
            assert_eq!((told.loss, told.grad_norm), (expected.loss, expected.grad_norm));
            break;
        }
        let Err(Error::Tensor(error)) = told else { return Err("memory had ended".into()) };
        assert_eq!((error.kind(), trainer.steps()), (Kind::Memory, 1), "{error}");
        failures += 1;
    }
    assert!(failures > 0, "reading takes no memory");
    assert_eq!(trainer.step()?.loss, untouched.step()?.loss);
    Ok(())
}

/// The prompt, a step that is eager, one that is recorded, and those that are replayed.
#[test]
fn each_allocation_of_writing_may_fail_on_a_gpu() -> Checked {
    let (_alone, device) = gpu();
    let config = GptConfig {
        vocab_size: 40,
        block_size: 8,
        n_layer: 1,
        n_head: 2,
        n_embd: 16,
        ..GptConfig::default()
    };
    let model = Gpt::new(config, &device, Seed(5))?;
    let write = || model.generate_ids(&[3, 1, 4], &Sampling::greedy().max_new_tokens(4), None);
    let expected = write()?;
    let mut failures = 0;
    for after in 0.. {
        fail_allocation(Some(after));
        let written = write();
        if fail_allocation(None).is_some() {
            assert_eq!(written?, expected);
            break;
        }
        let error = written.map(drop).err().ok_or("memory had ended")?;
        assert_eq!(error.kind(), Kind::Memory, "{error}");
        failures += 1;
        assert_eq!(write()?, expected, "after {after}: {error}");
    }
    assert!(failures > 50, "{failures} failures");
    Ok(())
}
