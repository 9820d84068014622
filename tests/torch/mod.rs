//! The numbers that PyTorch computed in float64 (`tests/golden`), against ours in float32.

mod ops;
mod trace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use warpsmith::model::from_safetensors;
use warpsmith::tensor::{Device, Tensor};

type Tensors = BTreeMap<String, Tensor>;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn tensors(name: &str) -> Result<Tensors, Box<dyn std::error::Error>> {
    Ok(from_safetensors(&std::fs::read(golden(name))?, &Device::Cpu)?)
}

fn get<'a>(tensors: &'a Tensors, key: &str) -> Result<&'a Tensor, String> {
    tensors.get(key).ok_or_else(|| format!("no tensor {key}"))
}

/// Fails if any number is further from the truth than `relative` times the largest number of the truth.
fn assert_close(what: &str, ours: &Tensor, truth: &Tensor, relative: f64) -> crate::Checked {
    assert_eq!(ours.dims(), truth.dims(), "{what}");
    let (ours, truth) = (ours.to_f64_vec()?, truth.to_f64_vec()?);
    let largest = truth.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    for (i, (a, b)) in ours.iter().zip(&truth).enumerate() {
        assert!((a - b).abs() <= relative * largest, "{what}, element {i}: {a}, PyTorch has {b}");
    }
    Ok(())
}
