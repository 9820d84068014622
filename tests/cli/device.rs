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
