//! Training and writing on a GPU, which here is the emulated one: the same code and the same kernels as on a real one.
#![cfg(target_os = "linux")]

mod families;
mod memory;
mod sampling;

use std::sync::{Mutex, MutexGuard, PoisonError};

use warpsmith::model::{CausalModel, Decoder, Penalties, Rope, Scaling};
use warpsmith::prelude::*;
use warpsmith::text::{Batch, Side};
use warpsmith::train::TrainData;
use warpsmith::train::config::{OptimizerKind, Precision};

use crate::Checked;

/// The GPU, for one test at a time: recording a step takes its one stream.
fn gpu() -> (MutexGuard<'static, ()>, Device) {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    warpsmith_emulator::install().expect("the emulator is built beside the tests");
    (guard, Device::cuda(0).expect("the emulated GPU can be used"))
}

fn usage(device: &Device) -> warpsmith::tensor::cuda::DeviceUsage {
    match device {
        Device::Cuda(cuda) => cuda.usage(),
        other => panic!("{other} is no GPU"),
    }
}

/// Small enough for the emulator, with everything that a step can have: dropout, micro-batches, clipping, a schedule.
fn tiny() -> TrainConfig {
    TrainConfig {
        n_layer: 1,
        n_head: 2,
        n_embd: 16,
        block_size: 8,
        batch_size: 2,
        gradient_accumulation_steps: 2,
        dropout: 0.1,
        bias: true,
        warmup_iters: 2,
        eval_iters: 1,
        max_iters: 20,
        ..TrainConfig::default()
    }
}

fn data() -> Result<TrainData, Box<dyn std::error::Error>> {
    let text: String = (0..40).map(|i| format!("{i} and {} are {}.\n", i * 3, i * 4)).collect();
    Ok(TrainData::Text(Corpus::from_text(&text).tokenize(&Tokenizer::chars())?))
}

/// Losses and norms of some steps, and the parameters after them.
type Course = (Vec<[f64; 2]>, Vec<Vec<f32>>);

fn course(config: &TrainConfig, device: &Device, steps: usize) -> Result<Course, Box<dyn std::error::Error>> {
    let mut trainer = Trainer::new(config.clone(), data()?, device)?;
    let mut told = Vec::new();
    for _ in 0..steps {
        let report = trainer.step()?;
        told.push([report.loss.ok_or("a loss")?, report.grad_norm.ok_or("a norm")?]);
    }
    Ok((told, parameters(trainer.model())?))
}

fn parameters(model: &Gpt) -> Result<Vec<Vec<f32>>, Box<dyn std::error::Error>> {
    Ok(model.parameters().iter().map(|p| p.get().to_vec::<f32>()).collect::<Result<_, _>>()?)
}

/// Dropout draws the same numbers on both, so that the difference is rounding alone: it has to stay below a hundredth of
/// what one step changes.
#[test]
fn a_gpu_learns_what_the_cpu_learns() -> Checked {
    let (_alone, device) = gpu();
    let config = TrainConfig { compile: false, ..tiny() };
    let (cpu, _) = course(&config, &Device::Cpu, 4)?;
    let (gpu, _) = course(&config, &device, 4)?;
    let step = (cpu[0][0] - cpu[3][0]).abs() / 3.0;
    for ([cpu, cpu_norm], [gpu, gpu_norm]) in cpu.into_iter().zip(gpu) {
        assert!((cpu - gpu).abs() <= 0.01 * step, "{cpu} on the CPU, {gpu} on the GPU, {step} a step");
        assert!((cpu_norm - gpu_norm).abs() <= 1e-3 * cpu_norm, "{cpu_norm} and {gpu_norm}");
    }
    Ok(())
}

/// Operands of products are rounded to 8 bits and all else stays f32: the losses agree to the roundoff of bf16, 2⁻⁸.
#[test]
fn bf16_products_stay_in_the_band_of_f32() -> Checked {
    let (_alone, device) = gpu();
    for device in [Device::Cpu, device] {
        let config = TrainConfig { gradient_accumulation_steps: 1, ..tiny() };
        let (exact, weights) = course(&config, &device, 3)?;
        let mut trainer = Trainer::new(TrainConfig { dtype: Precision::Bf16, ..config }, data()?, &device)?;
        for [loss, _] in exact {
            let rounded = trainer.step()?.loss.ok_or("a loss")?;
            assert!((rounded - loss).abs() <= loss / 256.0, "{rounded} in bf16, {loss} in f32 on {device}");
        }
        assert!(trainer.model().parameters().iter().all(|p| p.get().dtype() == DType::F32));
        assert!(trainer.optimizer().state().values().all(|t| t.dtype() == DType::F32));
        assert!(parameters(trainer.model())? != weights, "nothing was rounded on {device}");
    }
    Ok(())
}

/// Learning rate, number of the step, batches and dropout all change from launch to launch.
#[test]
fn a_recorded_step_is_the_eager_one_to_the_bit() -> Checked {
    let (_alone, device) = gpu();
    for optimizer in [OptimizerKind::AdamW, OptimizerKind::Sgd] {
        let config = TrainConfig { optimizer, ..tiny() };
        let (recorded, recorded_weights) = course(&config, &device, 4)?;
        let (eager, eager_weights) = course(&TrainConfig { compile: false, ..config }, &device, 4)?;
        assert_eq!(recorded, eager, "{optimizer:?}");
        assert!(recorded_weights == eager_weights, "{optimizer:?}: weights differ");
        assert!(eager.windows(2).all(|pair| pair[0] != pair[1]), "{eager:?}");
    }
    Ok(())
}

/// A recording is of its batches: more or fewer of them, or others in shape, are another step's.
#[test]
fn a_step_of_other_batches_is_recorded_anew() -> Checked {
    let (_alone, device) = gpu();
    let config = TrainConfig { batch_size: 4, ..tiny() };
    let mut source = data()?.batches(Side::Train, &config)?;
    let mut batches = (0..4).map(|i| source.at(i)).collect::<Result<Vec<_>, _>>()?; // (4, 8)
    // As many tokens in other shapes.
    let wide = batches.iter().map(|b| Batch { batch_size: 2, block_size: 16, ..b.clone() });
    batches.extend(wide.collect::<Vec<_>>());
    // Three steps of one kind: the second is recorded, the third is launched.
    let one = [&batches[..1], &batches[1..2], &batches[2..3]];
    let two = [&batches[..2], &batches[1..3], &batches[2..4]];
    let other = [&batches[4..5], &batches[5..6], &batches[6..7]];
    let course = |compile: bool| -> Result<_, Box<dyn std::error::Error>> {
        let config = TrainConfig { compile, block_size: 16, ..config.clone() };
        let mut trainer = Trainer::new(config, data()?, &device)?;
        let mut told = Vec::new();
        for step in [one, two, one, other, one].concat() {
            let report = trainer.queue_on(step)?;
            told.push(trainer.wait(report)?.loss);
        }
        Ok((told, parameters(trainer.model())?))
    };
    let (recorded, eager) = (course(true)?, course(false)?);
    assert_eq!(recorded.0, eager.0);
    assert!(recorded.1 == eager.1, "weights differ");
    Ok(())
}

#[test]
fn a_steady_state_takes_no_memory_and_needs_nobody_to_read() -> Checked {
    let (_alone, device) = gpu();
    for compile in [false, true] {
        let config = TrainConfig { compile, ..tiny() };
        let mut trainer = Trainer::new(config.clone(), data()?, &device)?;
        for _ in 0..3 {
            trainer.step_unread()?;
        }
        let before = usage(&device);
        for _ in 0..3 {
            assert_eq!(trainer.step_unread()?.loss, None);
        }
        let after = usage(&device);
        assert_eq!(
            (after.requests, after.reserved, after.live),
            (before.requests, before.reserved, before.live)
        );
        // What was not read went the same way as what is.
        assert!(parameters(trainer.model())? == course(&config, &device, 6)?.1, "compile {compile}");
    }
    Ok(())
}

/// A step that is not finite changes nothing, even if nobody looks for a while.
#[test]
fn a_step_that_diverges_leaves_the_weights_alone() -> Checked {
    let (_alone, device) = gpu();
    for (device, compile) in [(Device::Cpu, false), (device.clone(), false), (device, true)] {
        let mut trainer = Trainer::new(TrainConfig { compile, ..tiny() }, data()?, &device)?;
        trainer.step()?;
        trainer.step()?;
        let bias = trainer.model().parameters().into_iter().find(|p| p.name().ends_with("ln_f.bias"));
        let bias = bias.ok_or("the final norm has a bias")?;
        let sound = bias.get().detach();
        bias.set(&Tensor::full(*sound.shape(), f64::NAN, DType::F32, &device)?)?;
        let before = parameters(trainer.model())?;
        if !device.is_cpu() {
            trainer.step_unread()?;
        }
        let error = trainer.step().map(drop).err().ok_or("a NaN is an error")?.to_string();
        assert!(error.contains("diverged") && error.contains("ln_f.bias"), "{error}");
        let bits = |all: Vec<Vec<f32>>| all.concat().iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
        assert!(bits(parameters(trainer.model())?) == bits(before), "{device}: weights moved");
        bias.set(&sound)?;
        assert!(trainer.step()?.loss.is_some_and(f64::is_finite), "{device}");
    }
    Ok(())
}

#[test]
fn a_gpu_writes_what_the_cpu_writes() -> Checked {
    let (_alone, device) = gpu();
    let config = GptConfig {
        vocab_size: 40,
        block_size: 8,
        n_layer: 2,
        n_head: 2,
        n_embd: 16,
        ..GptConfig::default()
    };
    let [here, there] = [&Device::Cpu, &device].map(|device| Gpt::new(config.clone(), device, Seed(5)));
    let (here, there) = (here?, there?);
    let drawn = Sampling { top_k: 20, top_p: 0.9, ..Sampling::default() };
    let penalties = Penalties { repetition_penalty: 1.3, ..Penalties::default() };
    for how in [Sampling::greedy(), drawn.clone(), Sampling { penalties, ..drawn }] {
        // Longer than the context, so that the cache is refilled.
        let how = how.max_new_tokens(9);
        assert_eq!(there.generate_ids(&[3, 1, 4], &how, None)?, here.generate_ids(&[3, 1, 4], &how, None)?);
    }
    let broken = there.parameters().swap_remove(0);
    broken.set(&Tensor::full(broken.shape(), f64::NAN, DType::F32, &device)?)?;
    let error =
        there.generate_ids(&[3], &Sampling::default(), None).map(drop).err().ok_or("NaN is an error")?;
    assert!(error.to_string().contains("is NaN"), "{error}");
    Ok(())
}

/// The context is passed several times, so that the recorded step stands behind refilled caches too.
fn assert_recorded_is_eager(model: &dyn CausalModel, how: &Sampling) -> Checked {
    let mut eager = Decoder::new(model, &[3, 1, 4], how, &[])?.eager();
    while eager.next_token()?.is_ok() {}
    let mut recorded = Decoder::new(model, &[3, 1, 4], how, &[])?;
    // The prompt, a step that loads the kernels, the one that is recorded, and a refill of the cache.
    for _ in 0..15 {
        recorded.next_token()?.map_err(|stop| format!("{stop:?}"))?;
    }
    let before = usage(model.device());
    while recorded.next_token()?.is_ok() {}
    let after = usage(model.device());
    assert_eq!(recorded.tokens(), eager.tokens(), "{how:?}");
    assert_eq!((after.requests, after.reserved), (before.requests, before.reserved), "{how:?}");
    // Another prompt and another way to draw, behind a beginning that is known.
    let (turn, how) =
        ([3, 1, 4, 2, 9], Sampling { temperature: 0.7, ..Sampling::default() }.max_new_tokens(6));
    let resumed = |decoder: Decoder<'_>| -> Result<Vec<u32>, Box<dyn std::error::Error>> {
        let mut decoder = decoder.resume(&turn, &how)?;
        while decoder.next_token()?.is_ok() {}
        Ok(decoder.tokens().to_vec())
    };
    assert_eq!(resumed(recorded)?, resumed(eager)?);
    Ok(())
}

#[test]
fn a_recorded_token_is_the_eager_one_and_takes_no_memory() -> Checked {
    let (_alone, device) = gpu();
    let config = GptConfig {
        vocab_size: 65,
        block_size: 12,
        n_layer: 2,
        n_head: 2,
        n_embd: 16,
        ..GptConfig::default()
    };
    let model = Gpt::new(config, &device, Seed(5))?;
    let plain = Sampling { temperature: 1.5, ..Sampling::default() };
    for how in [Sampling::greedy(), plain.clone(), Sampling { top_k: 20, top_p: 0.9, ..plain }] {
        assert_recorded_is_eager(&model, &how.max_new_tokens(30))?;
    }
    Ok(())
}

/// Rotary positions, by the op's own frequencies and from tables; windows that are shorter than the text, in some layers.
#[test]
fn a_recorded_token_of_a_llama_is_the_eager_one_too() -> Checked {
    let (_alone, device) = gpu();
    let stretched = Scaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original: 6 };
    let cases = [(Scaling::None, None), (stretched, None), (Scaling::None, Some(3))];
    for (scaling, window) in cases {
        let config = LlamaConfig {
            vocab_size: 65,
            hidden_size: 16,
            intermediate_size: 24,
            num_hidden_layers: 2,
            head_dim: 4,
            max_position_embeddings: 12,
            rope: Rope { theta: 1e4, scaling },
            windows: vec![None, window],
            initializer_range: 0.5,
            ..LlamaConfig::default()
        };
        let model = Llama::new(config, &device, Seed(5))?;
        assert!(model.can_be_recorded());
        assert_recorded_is_eager(&model, &Sampling::greedy().max_new_tokens(30))?;
    }
    Ok(())
}

/// Two GPUs, in a process of its own: what the driver finds is decided when it starts.
#[test]
fn two_gpus_train_alike_and_do_not_mix() -> Checked {
    const TWO: &str = "WARPSMITH_EMULATOR_GPUS";
    if std::env::var(TWO).as_deref() != Ok("2") {
        let mut again = std::process::Command::new(std::env::current_exe()?);
        let name = "device::two_gpus_train_alike_and_do_not_mix";
        let output = again.args([name, "--exact"]).env(TWO, "2").output()?;
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
        return Ok(());
    }
    let (_alone, first) = gpu();
    let second = Device::cuda(1)?;
    let x = |device: &Device| Tensor::from_slice(&[1f32, 2.0, 3.0], &[3], device);
    let error = x(&first)?.add(&x(&second)?).map(drop).err().ok_or("tensors of two GPUs were added")?;
    assert!(error.to_string().contains("cuda:0") && error.to_string().contains("cuda:1"), "{error}");
    assert_eq!(x(&first)?.to_device(&second)?.add(&x(&second)?)?.to_vec::<f32>()?, [2.0, 4.0, 6.0]);
    let train = |device: &Device| -> Result<Vec<Vec<f32>>, Box<dyn std::error::Error>> {
        let mut trainer = Trainer::new(tiny(), data()?, device)?;
        trainer.step()?;
        trainer.step()?;
        parameters(trainer.model())
    };
    assert!(train(&first)? == train(&second)?);
    assert!(usage(&second).reserved > 0, "nothing was computed on the second");
    let error = Device::cuda(2).map(drop).expect_err("there are two").to_string();
    assert!(error.contains("there is no cuda:2: 2 GPU(s)"), "{error}");
    Ok(())
}

#[test]
fn a_gpu_that_is_not_there_is_named() {
    let (_alone, _device) = gpu();
    let error = Device::cuda(1).map(drop).expect_err("there is one").to_string();
    assert!(error.contains("there is no cuda:1: 1 GPU(s)") && error.contains("doctor"), "{error}");
}
