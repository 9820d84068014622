//! Golden files, and the weights that they were computed with: functions of a name and an index.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use warpsmith_model::from_safetensors;
use warpsmith_tensor::{Device, Tensor};

pub type Tensors = BTreeMap<String, Tensor>;

pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/families").join(name)
}

pub fn tensors(name: &str) -> Tensors {
    from_safetensors(&std::fs::read(path(name)).unwrap(), &Device::Cpu).unwrap()
}

pub fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap()
}

/// Numbers in [-1, 1): SplitMix64 of the index, started by the FNV-1a hash of the name.
pub fn noise(name: &str, count: usize) -> impl Iterator<Item = f32> + use<> {
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    });
    (1..=count as u64).map(move |i| {
        let mut z = hash.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / 8_388_608.0 - 1.0
    })
}

/// The weight `name` of a golden model.
fn weight(name: &str, dims: &[usize]) -> Tensor {
    let count = dims.iter().product();
    let scale = (3.0 / *dims.last().unwrap() as f64).sqrt() as f32;
    let values = noise(name, count).map(|v| match dims.len() {
        1 if name.ends_with("weight") => v * 0.3 + 1.0,
        1 => v * 0.3,
        _ => v * scale,
    });
    Tensor::from_vec(values.collect(), dims, &Device::Cpu).unwrap()
}

/// All weights of a golden model, whose shapes transformers wrote down.
pub fn weights(shapes: &Value) -> Tensors {
    let dims =
        |v: &Value| v.as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect::<Vec<_>>();
    shapes.as_object().unwrap().iter().map(|(name, v)| (name.clone(), weight(name, &dims(v)))).collect()
}

pub fn ids(values: &Value) -> Vec<u32> {
    values.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// Fails if any number is further from the truth than `relative` times the largest number of the truth.
pub fn assert_close(what: &str, ours: &Tensor, truth: &Tensor, relative: f64) {
    assert_eq!(ours.dims(), truth.dims(), "{what}");
    let (ours, truth) = (ours.to_f64_vec().unwrap(), truth.to_f64_vec().unwrap());
    let largest = truth.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    for (i, (a, b)) in ours.iter().zip(&truth).enumerate() {
        assert!(
            (a - b).abs() <= relative * largest,
            "{what}: element {i} is {a}, not {b}; the largest is {largest}"
        );
    }
}
