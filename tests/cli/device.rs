//! `--device`: the emulated GPU from outside, and devices that are not there.
#![cfg(all(feature = "cuda", target_os = "linux"))]

use std::collections::BTreeMap;
use std::process::Output;

use super::{Place, refused, state_at, stdout, succeeded};
use crate::Checked;

/// A run of a command on the emulated GPU, without the checks of kernels: those have tests of their own.
fn emulated(place: &Place, words: &[&str]) -> Output {
    let words = [words, &["--device", "emulated"]].concat();
    let mut command = place.command();
    command.args(words).env("WARPSMITH_EMULATOR_CHECKS", "none");
    command.output().expect("the command starts")
}

/// The flags of a run that is short even there; the last of `--device` counts.
fn short<'a>(out: &'a str, steps: &'a str) -> Vec<&'a str> {
    let sizes = ["--eval_interval", "2", "--eval_iters", "1", "--sample_tokens", "3", "--batch_size", "2"];
    [&super::tiny(out)[..], &sizes, &["--dropout", "0.1", "--max_iters", steps]].concat()
}

#[test]
fn a_run_on_the_emulated_gpu_goes_on_where_it_stopped_and_its_model_is_used() -> Checked {
    let place = Place::new();
    let told = succeeded(&emulated(&place, &short("whole", "4")));
    assert!(told.contains("on cuda:0"), "{told}");
    succeeded(&emulated(&place, &short("parts", "2")));
    succeeded(&emulated(&place, &["train", "--resume", "parts", "--max_iters", "4"]));
    let (whole, parts) = (place.path("whole"), place.path("parts"));
    assert!(state_at(&whole, 4) == state_at(&parts, 4), "the steps after the resume differ");
    assert!(state_at(&whole, 2) != state_at(&whole, 4), "nothing was learned");

    let write =
        ["generate", "--model", "whole", "--prompt", "line 1", "--max_new_tokens", "6", "--top_k", "5"];
    let here = stdout(&place.run(&[&write[..], &["--device", "cpu"]].concat()));
    assert_eq!(succeeded(&emulated(&place, &write)), here);
    place.write("short.txt", b"line 3 says that 4 comes after 1.\n");
    let score = ["eval", "--model", "whole", "--data", "short.txt", "--json"];
    let loss = |output: &Output| -> Result<f64, Box<dyn std::error::Error>> {
        let json: serde_json::Value = serde_json::from_str(&succeeded(output))?;
        json["loss"].as_f64().ok_or_else(|| "no loss".into())
    };
    let (here, there) =
        (loss(&place.run(&[&score[..], &["--device", "cpu"]].concat()))?, loss(&emulated(&place, &score))?);
    assert!((here - there).abs() < 1e-4 * here, "{here} on the CPU, {there} there");
    succeeded(&emulated(&place, &["logits", "--model", "whole", "--ids", "1,2,3", "--out", "l.safetensors"]));
    assert!(place.path("l.safetensors").exists());
    Ok(())
}

/// The attention that the bench shows is the one that trains.
#[test]
fn a_step_in_bf16_runs_attention_on_tensor_cores() {
    let place = Place::new();
    let words = [&short("run", "1")[..], &["--dtype", "bf16", "--device", "emulated"]].concat();
    let mut command = place.command();
    command.args(words).env("WARPSMITH_EMULATOR_CHECKS", "none").env("WARPSMITH_TRACE", "1");
    let output = command.output().expect("the command starts");
    succeeded(&output);
    let launches = String::from_utf8_lossy(&output.stderr);
    for kernel in ["attention_fwd_d64_bf16", "attention_bwd_kv_d64_bf16", "attention_bwd_q_d64_bf16"] {
        assert!(launches.contains(kernel), "{kernel} was not launched");
    }
    assert!(!launches.contains("attention_bwd_kv_d64_f32"));
}

/// How often each kernel is launched by a command, and what the command printed.
fn launches(place: &Place, words: &[&str]) -> (BTreeMap<String, usize>, String) {
    let mut command = place.command();
    command.args(words).args(["--device", "emulated"]);
    let output = command.env("WARPSMITH_EMULATOR_CHECKS", "none").env("WARPSMITH_TRACE", "1").output();
    let output = output.expect("the command starts");
    let told = succeeded(&output);
    let mut counts = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        if let Some((kernel, _)) = line.strip_prefix("  ").and_then(|line| line.split_once(" <<<")) {
            *counts.entry(kernel.to_owned()).or_default() += 1;
        }
    }
    (counts, told)
}

/// What one step more of training launches, without a recording.
fn launches_of_a_step(extra: &[&str]) -> BTreeMap<String, usize> {
    let place = Place::new();
    let [two, three] = ["2", "3"].map(|steps| {
        let sizes =
            ["--eval_interval", "9", "--eval_iters", "1", "--sample_tokens", "0", "--batch_size", "2"];
        let how = ["--dropout", "0", "--bias", "true", "--compile", "false", "--max_iters", steps];
        launches(&place, &[&super::tiny(steps)[..], &sizes, &how, extra].concat()).0
    });
    let more = |(kernel, count): (&String, &usize)| {
        (kernel.clone(), count - two.get(kernel).copied().unwrap_or_default())
    };
    three.iter().map(more).filter(|(_, count)| *count > 0).collect()
}

/// A step of a model of one block: what a product can do in its last pass is no launch of its own, the loss writes its gradient,
/// and the update of each group of parameters is one launch, which clips.
#[test]
fn a_training_step_launches_no_more_than_it_must() {
    let step = launches_of_a_step(&[]);
    for passed in ["gelu", "mul_", "cross_entropy_fwd", "cross_entropy_bwd", "cast_", "clip_by_norm_scale"] {
        assert!(!step.keys().any(|kernel| kernel.starts_with(passed)), "{passed} in {step:?}");
    }
    assert_eq!((step["cross_entropy_fused_f32"], step["adamw_step_f32"]), (1, 2), "{step:?}");
    assert_eq!(step.values().sum::<usize>(), 56, "{step:?}");
}

/// Weights are rounded by the update that changes them, and what products read by who makes it.
#[test]
fn a_step_in_bf16_casts_nothing() {
    let casts =
        |step: &BTreeMap<String, usize>| step.keys().filter(|kernel| kernel.starts_with("cast_")).count();
    let one = launches_of_a_step(&["--dtype", "bf16"]);
    assert_eq!((casts(&one), one["adamw_step_f32"], one["cross_entropy_fused_bf16"]), (0, 2, 1), "{one:?}");
    let two = launches_of_a_step(&["--dtype", "bf16", "--gradient_accumulation_steps", "2"]);
    assert_eq!((casts(&two), two["adamw_step_f32"]), (0, 2), "{two:?}");
}

/// The token alone goes to the kernels that stream the weights.
#[test]
fn a_step_of_writing_multiplies_by_gemv() {
    let place = Place::new();
    succeeded(&place.run(&[&super::tiny("model")[..], &["--max_iters", "1", "--eval_iters", "1"]].concat()));
    let write =
        ["generate", "--model", "model", "--prompt", "line 1", "--max_new_tokens", "2", "--temperature", "0"];
    let (written, _) = launches(&place, &write);
    // c_attn, c_proj and the two layers of the MLP; the head, whose weight is the embedding's table.
    assert!(written["gemv_nn_f32"] >= 4 && written["gemv_nt_f32"] >= 2, "{written:?}");
}

#[test]
fn devices_that_are_not_there_are_named() {
    let place = Place::new();
    let error = refused(&place.run(&["train", "--data", "text.txt", "--out", "run", "--device", "gpu"]), 2);
    assert!(error.contains("cuda:N") && error.contains("emulated"), "{error}");
    refused(&place.run(&["generate", "--model", "run", "--device", "cuda:x"]), 2);
    let mut command = place.command();
    command.args(["logits", "--model", "run", "--ids", "1", "--out", "l", "--device", "emulated"]);
    let output =
        command.env("WARPSMITH_LIBCUDA", "/nowhere/libcuda.so").output().expect("the command starts");
    let error = refused(&output, 1);
    assert!(error.contains("/nowhere/libcuda.so cannot be loaded"), "{error}");
}

/// A machine whose driver or GPU is too old, or that has none, and what is said of it.
#[test]
fn a_driver_or_gpu_that_is_too_old_is_named_with_what_is_needed() {
    let place = Place::new();
    for (variable, value, told) in [
        ("DRIVER", "12.2", "the NVIDIA driver offers CUDA 12.2, the kernels need 12.4"),
        ("CAPABILITY", "7.5", "has compute capability 7.5, the kernels need 8.0"),
        ("GPUS", "0", "no GPU is visible"),
    ] {
        let run = |words: &[&str]| {
            let mut command = place.command();
            command.args(words).args(["--device", "emulated"]);
            command.env(format!("WARPSMITH_EMULATOR_{variable}"), value).output().expect("the command starts")
        };
        let error = refused(&run(&super::tiny("run")), 1);
        assert!(error.contains(told) && error.contains("--device cpu"), "{error}");
        assert!(!place.path("run").exists(), "a run was begun without a device");
    }
}

/// What `doctor` says of a GPU, on a machine whose driver is the emulator.
#[test]
fn the_doctor_opens_a_gpu_and_tells_its_free_memory() -> Checked {
    let place = Place::new();
    let json = |output: &Output| serde_json::from_str::<serde_json::Value>(&succeeded(output));
    let here = json(&place.run(&["doctor", "--json"]))?;
    let library = here["emulator"].as_str().ok_or("no emulator")?;
    std::os::unix::fs::symlink(library, place.path("libcuda.so"))?;
    let doctor = |words: &[&str], variables: &[(&str, &str)]| {
        let mut command = place.command();
        command.arg("doctor").args(words).env("LD_LIBRARY_PATH", place.path(""));
        command.envs(variables.iter().copied()).output().expect("the command starts")
    };
    let found = json(&doctor(&["--json"], &[]))?;
    let gpu = &found["gpus"][0];
    let (free, total) = (gpu["memory_free_mib"].as_u64(), gpu["memory_mib"].as_u64());
    assert!(free > Some(0) && free <= total && found["cuda_device"] == true, "{found}");
    let told = succeeded(&doctor(&[], &[]));
    assert!(told.contains(&format!("{} MiB, {} MiB free", total.unwrap_or(0), free.unwrap_or(0))), "{told}");
    let old = json(&doctor(&["--json"], &[("WARPSMITH_EMULATOR_CAPABILITY", "7.5")]))?;
    let missing = old["cuda_missing"].as_str().unwrap_or("");
    assert!(
        missing.contains("compute capability 7.5") && old["gpus"][0]["memory_free_mib"].is_null(),
        "{old}"
    );
    assert_eq!((&old["cuda_device"], &old["gpus"][0]["usable"]), (&false.into(), &false.into()));
    Ok(())
}

/// The GPU is lost in the middle of the third step: the run ends with an error that says where, what it had saved is whole,
/// and from there it takes the steps of a run that nothing happened to.
#[test]
fn a_gpu_that_is_lost_in_training_costs_the_steps_since_the_last_checkpoint() -> Checked {
    let place = Place::new();
    succeeded(&emulated(&place, &short("whole", "4")));
    let mut command = place.command();
    command.args(short("struck", "4")).args(["--device", "emulated"]);
    let struck = command.envs([("WARPSMITH_EMULATOR_CHECKS", "none"), ("WARPSMITH_EMULATOR_LOST_AT", "300")]);
    let error = refused(&struck.output()?, 1);
    assert!(error.contains("ECC_UNCORRECTABLE") && error.contains("told to fail in launch 300"), "{error}");
    let (whole, struck) = (place.path("whole"), place.path("struck"));
    assert!(struck.join("checkpoint-2").exists() && !struck.join("checkpoint-4").exists());
    succeeded(&emulated(&place, &["train", "--resume", "struck"]));
    assert!(state_at(&whole, 4) == state_at(&struck, 4), "the steps after the resume differ");
    Ok(())
}
