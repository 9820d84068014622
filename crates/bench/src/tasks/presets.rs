//! Sizes that people know: GPT-2, Llama, long contexts, sizes that fit no tile, and tiny ones to try a kernel on.

use std::sync::Arc;

use super::{Workload, parse};
use crate::{Error, Result};

/// The names of the presets, with what they stand for.
pub const PRESETS: [(&str, &str); 7] = [
    ("gpt2", "GPT-2 124M: C 768, H 12, T 1024, V 50257"),
    ("llama", "Llama 8B: C 4096, 32 heads on 8 keys, D 128, V 128256"),
    ("nanogpt", "its Shakespeare runs for a CPU and for a GPU; step and decode"),
    ("long", "long sequences and rows"),
    ("odd", "primes and sizes one beyond a tile"),
    ("tiny", "moments on any device, the emulated one too"),
    ("ladder", "as small as they may be for every rung of a ladder to gain what it is about"),
];

/// The workloads of a preset.
///
/// # Errors
/// If there is no such task, or it has no such preset.
pub fn preset(task: &str, name: &str) -> Result<Vec<Arc<dyn Workload>>> {
    if let Some(shapes) = shapes(task, name) {
        return shapes.iter().map(|shape| parse(task, shape)).collect();
    }
    if !super::TASKS.contains(&task) {
        return parse(task, "").map(|work| vec![work]);
    }
    let known: Vec<&str> =
        PRESETS.iter().map(|(name, _)| *name).filter(|name| shapes(task, name).is_some()).collect();
    Err(Error::Usage(format!("{task} has no preset {name:?}; it has {}", known.join(", "))))
}

fn shapes(task: &str, name: &str) -> Option<&'static [&'static str]> {
    Some(match (task, name) {
        ("attention", "gpt2") => &["8x1024x12x64"],
        ("attention", "llama") => &["1x2048x32/8x128", "1x4096x32/8x128"],
        ("attention", "long") => &["1x8192x16x64", "1x16384x16x64", "1x16384x16x128"],
        ("attention", "odd") => &["3x997x5x64", "2x1025x7x80", "full:2x333x12x96"],
        ("attention", "tiny") => &["1x37x2x16", "1x64x4/2x32"],
        ("attention", "ladder") => &["1x128x2x64"],
        ("matmul", "gpt2") => &["8192x2304x768", "8192x3072x768", "8192x768x3072", "8192x50257x768"],
        ("matmul", "llama") => &["4096x4096x4096", "4096x14336x4096", "4096x4096x14336", "1x4096x4096"],
        ("matmul", "long") => &["8192x8192x8192", "16384x4096x4096"],
        ("matmul", "odd") => &["1021x1031x1033", "129x2049x4097", "4099x17x4099"],
        ("matmul", "tiny") => &["37x41x29", "64x64x64"],
        ("matmul", "ladder") => &["128x128x64"],
        ("softmax", "gpt2") => &["98304x1024", "8192x50257"],
        ("softmax", "llama") => &["131072x4096", "2048x128256"],
        ("softmax", "long") => &["4096x32768", "512x262144"],
        ("softmax", "odd") => &["1021x1031", "37x65537"],
        ("softmax", "tiny") => &["5x70", "3x129"],
        ("softmax", "ladder") => &["16x4096"],
        ("norm", "gpt2") => &["layer:8192x768", "layer:65536x768"],
        ("norm", "llama") => &["rms:4096x4096", "rms:16384x4096"],
        ("norm", "long") => &["rms:4096x16384", "layer:4096x16384"],
        ("norm", "odd") => &["layer:1021x769", "rms:1021x4099"],
        ("norm", "tiny") => &["layer:5x70", "rms:5x70"],
        ("cross-entropy", "gpt2") => &["8192x50257"],
        ("cross-entropy", "llama") => &["4096x128256"],
        ("cross-entropy", "long") => &["2048x262144"],
        ("cross-entropy", "odd") => &["1021x50257", "37x4099"],
        ("cross-entropy", "tiny") => &["5x70"],
        // As many numbers as the model has, in tensors of about its sizes.
        ("adamw", "gpt2") => &["148x840810"],
        ("adamw", "llama") => &["16x33554432"],
        ("adamw", "long") => &["2x134217728"],
        ("adamw", "odd") => &["1021x1031"],
        ("adamw", "tiny") => &["3x257", "1x257"],
        ("step", "gpt2") => &["8x1024x12x12x768x50257"],
        ("step", "nanogpt") => &["12x64x4x4x128x65", "64x256x6x6x384x65"],
        ("step", "long") => &["1x8192x12x12x768x50257"],
        ("step", "odd") => &["3x97x3x5x320x1031"],
        ("step", "tiny") => &["2x16x2x2x32x65"],
        ("decode", "gpt2") => &["32x64x12x12x768x50257"],
        ("decode", "nanogpt") => &["1x63x4x4x128x65", "1x255x6x6x384x65"],
        ("decode", "long") => &["1024x64x12x12x768x50257", "4096x64x12x12x768x50257"],
        ("decode", "odd") => &["7x31x3x5x320x1031"],
        ("decode", "tiny") => &["5x4x2x2x32x65"],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{KERNEL_TASKS, Pass, TASKS, has_passes};
    use super::*;
    use crate::ladder::rungs;

    #[test]
    fn every_task_has_every_preset_that_is_about_it() {
        for task in TASKS {
            let tiny = preset(task, "tiny").unwrap();
            assert_eq!(tiny[0].has(Pass::Backward), has_passes(task), "{task}");
            let is_model = !KERNEL_TASKS.contains(&task);
            for (name, _) in PRESETS {
                let is_there = match name {
                    "nanogpt" => is_model,
                    "llama" => !is_model,
                    "ladder" => !rungs(task, Pass::Forward).is_empty(),
                    _ => true,
                };
                assert_eq!(
                    preset(task, name).is_ok_and(|works| !works.is_empty()),
                    is_there,
                    "{task} {name}"
                );
            }
        }
        let told = preset("softmax", "huge").unwrap_err().to_string();
        assert!(told.contains("gpt2, llama, long, odd, tiny"), "{told}");
        assert!(preset("conv", "tiny").unwrap_err().to_string().contains("attention, matmul"));
    }
}
