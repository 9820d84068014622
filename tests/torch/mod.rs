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

/// The largest absolute difference between two tensors, and the largest element of the second.
fn error(ours: &Tensor, truth: &Tensor) -> Result<(f64, f64), Box<dyn std::error::Error>> {
    assert_eq!(ours.dims(), truth.dims());
    let (ours, truth) = (ours.to_f64_vec()?, truth.to_f64_vec()?);
    assert!(ours.iter().all(|x| x.is_finite()));
    let worst = ours.iter().zip(&truth).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    Ok((worst, truth.iter().fold(0.0f64, |m, x| m.max(x.abs()))))
}

/// Fails if any number is further from the truth than `relative` times the largest number of the truth.
fn assert_close(what: &str, ours: &Tensor, truth: &Tensor, relative: f64) -> crate::Checked {
    let (worst, largest) = error(ours, truth)?;
    assert!(worst <= relative * largest, "{what}: off by {worst}, the largest element is {largest}");
    Ok(())
}
