//! `--device`: the emulated GPU from outside, and devices that are not there.
#![cfg(all(feature = "cuda", target_os = "linux"))]

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
