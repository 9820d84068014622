//! Every op that has a CUDA kernel against its oracle, on the emulated driver.

use std::collections::BTreeSet;

use warpsmith_autograd::{Sample, apply};
use warpsmith_tensor::{self as tensor, DType, Device, Layout, Shape, Tensor};

use crate::call::{Expected, Revealed, arrays, dtypes, metas, specs};
use crate::memory::{Memory, place};
use crate::tolerance::compare;
use crate::values::Class;

/// Ops that still run on the CPU alone. An op that gets a kernel leaves the list: the test says so.
const ON_THE_CPU_ALONE: &[&str] = &[
    "adamw",
    "argmax",
    "argmin",
    "attention",
    "attention_backward",
    "clip_by_norm",
    "cross_entropy",
    "cross_entropy_backward",
    "embedding",
    "embedding_backward",
    "gather",
    "index_add",
    "index_select",
    "max",
    "min",
    "rope",
    "scatter_add",
    "sgd",
];

/// The emulated GPU; `WARPSMITH_ARENA=off` gives each block of memory bounds of its own, which it checks.
fn device() -> Device {
    warpsmith_emulator::install().expect("the emulator is built beside the tests");
    Device::cuda(0).expect("the emulated GPU can be used")
}

#[test]
fn every_kernel_agrees_with_the_oracle() {
    let device = device();
    let (mut absent, mut cases, mut failures) = (BTreeSet::new(), 0, Vec::new());
    for spec in specs() {
        for (number, sample) in (spec.samples)().into_iter().enumerate() {
            for float in [DType::F32, DType::BF16, DType::F16] {
                match sweep(&sample, float, &device) {
                    Ok(ran) => cases += ran,
                    Err(error) if error.contains("has no CUDA kernel") => {
                        absent.insert(spec.name);
                    }
                    Err(error) => failures.push(format!("{} sample {number} {float}: {error}", spec.name)),
                }
            }
        }
    }
    failures.iter().for_each(|failure| println!("{failure}"));
    println!("{cases} cases, {} fail; on the CPU alone: {absent:?}", failures.len());
    assert!(failures.is_empty(), "{} fail; see above", failures.len());
    let known: BTreeSet<&str> = ON_THE_CPU_ALONE.iter().copied().collect();
    let asked: BTreeSet<&str> = specs().iter().map(|spec| spec.name).collect();
    assert_eq!(absent, known.intersection(&asked).copied().collect());
}

/// One sample in one dtype, in every value class and layout; how many cases ran.
fn sweep(sample: &Sample, float: DType, device: &Device) -> Result<usize, String> {
    let Some(kinds) = dtypes(sample, float).map_err(|e| e.to_string())? else { return Ok(0) };
    let metas = metas(sample, &kinds);
    let promised = sample.op.shape(&metas).map_err(|e| e.to_string())?;
    // f64 is computed on the CPU alone.
    if promised.iter().any(|m| m.dtype == DType::F64) {
        return Ok(0);
    }
    let mut cases = 0;
    for memory in Memory::ALL {
        let x = arrays(sample, &kinds, Class::Uniform, memory.repeat());
        let Some(tensors) = place(memory, &x, &kinds) else { continue };
        let there = tensors.iter().map(|t| moved(t, device)).collect::<tensor::Result<Vec<_>>>();
        let there = there.map_err(|e| e.to_string())?;
        let expected = Expected::of(sample.op.as_ref(), &x, &metas).map_err(|e| e.to_string())?;
        let inputs: Vec<&Tensor> = there.iter().collect();
        let outputs = apply(Revealed(sample.op.clone()), &inputs).map_err(|e| e.to_string())?;
        for (i, (output, meta)) in outputs.iter().zip(&promised).enumerate() {
            if output.device() != *device {
                return Err(format!("output {i} lies on {}", output.device()));
            }
            compare(output, meta, &expected, i, &x).map_err(|e| format!("{memory:?}: {e}"))?;
        }
        cases += 1;
    }
    Ok(cases)
}

/// The tensor on the device, in memory laid out as it is here.
fn moved(t: &Tensor, device: &Device) -> tensor::Result<Tensor> {
    let whole = t.view(Layout::contiguous(Shape::new(&[t.storage_len()])?))?;
    whole.to_device(device)?.view(*t.layout())
}
