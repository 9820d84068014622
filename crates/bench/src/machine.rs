//! Where a run took place: what a reader must know to compare it with another.

use std::process::Command;

use serde::{Deserialize, Serialize};
use warpsmith_tensor::Device;

/// The machine, the program and the words that started it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// `cpu`, `cuda:0`, `emulated`.
    pub device: String,
    /// The processor's or the GPU's name.
    pub name: String,
    /// The GPU's compute capability.
    pub capability: Option<String>,
    /// The NVIDIA driver, as it names itself.
    pub driver: Option<String>,
    /// Clocks and power before the first row.
    pub power: Option<Power>,
    /// The host's processor.
    pub cpu: String,
    /// Threads that the engine uses on the host.
    pub threads: usize,
    /// Processes that were running or waiting to run, on average over the last minute: a busy machine times badly.
    pub load: Option<f64>,
    /// The operating system and architecture.
    pub system: String,
    /// The program's version.
    pub version: String,
    /// The commit of the folder that it ran in, if that is this repository: what it was built from, if it was built there.
    pub commit: Option<String>,
    /// The version of PyTorch, if that takes part.
    #[serde(default)]
    pub torch: Option<String>,
    /// The command line.
    pub command: String,
}

/// Clocks and power of a GPU, as `nvidia-smi` tells them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Power {
    /// Clock of the multiprocessors in MHz.
    pub sm_mhz: Option<f64>,
    /// Clock of the memory in MHz.
    pub memory_mhz: Option<f64>,
    /// Power in watts.
    pub watts: Option<f64>,
    /// Temperature in °C.
    pub celsius: Option<f64>,
}

impl Machine {
    /// This machine, with `device` as it is called on the command line.
    pub fn here(device: &Device, called: &str) -> Self {
        let cpu = cpu_name().unwrap_or_else(|| "unknown processor".into());
        let (name, capability) = gpu(device).unwrap_or_else(|| (cpu.clone(), None));
        let load = std::fs::read_to_string("/proc/loadavg").ok();
        Self {
            device: called.into(),
            name,
            capability,
            driver: driver(),
            power: power(device),
            cpu,
            threads: rayon::current_num_threads(),
            load: load.and_then(|text| text.split(' ').next()?.parse().ok()),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            version: env!("CARGO_PKG_VERSION").into(),
            commit: commit(),
            torch: None,
            command: std::env::args().collect::<Vec<_>>().join(" "),
        }
    }
}

#[cfg(feature = "cuda")]
fn gpu(device: &Device) -> Option<(String, Option<String>)> {
    let Device::Cuda(cuda) = device else { return None };
    let (major, minor) = cuda.gpu().capability;
    Some((cuda.gpu().name.clone(), Some(format!("{major}.{minor}"))))
}

#[cfg(not(feature = "cuda"))]
fn gpu(_device: &Device) -> Option<(String, Option<String>)> {
    None
}

fn cpu_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().into())
}

fn driver() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    text.lines().next().map(|line| line.trim().to_owned())
}

/// The commit of the repository that the command runs in, with a mark if files differ from it.
fn commit() -> Option<String> {
    let git = |words: &[&str]| {
        let done = Command::new("git").args(words).output().ok().filter(|done| done.status.success())?;
        Some(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    };
    let hash = git(&["rev-parse", "--short=12", "HEAD"])?;
    // Any repository has a commit; only ours has this crate.
    git(&["ls-files", "--error-unmatch", ":/crates/bench/Cargo.toml"])?;
    let clean = git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if clean { hash } else { format!("{hash}, changed") })
}

/// Clocks and power of a device now; `None` without `nvidia-smi`, or if it is no GPU.
pub fn power(device: &Device) -> Option<Power> {
    let done = Command::new("nvidia-smi").args(question(device)?).output();
    let done = done.ok().filter(|done| done.status.success())?;
    parse_power(&String::from_utf8_lossy(&done.stdout))
}

/// What `nvidia-smi` is asked about a GPU. It counts GPUs in another order than CUDA does, so this one is named by its place.
#[cfg(feature = "cuda")]
fn question(device: &Device) -> Option<[String; 3]> {
    let Device::Cuda(cuda) = device else { return None };
    let fields = "--query-gpu=clocks.sm,clocks.mem,power.draw,temperature.gpu";
    let id = format!("--id={}", cuda.gpu().bus_id);
    Some([fields.into(), "--format=csv,noheader,nounits".into(), id])
}

#[cfg(not(feature = "cuda"))]
fn question(_device: &Device) -> Option<[String; 3]> {
    None
}

fn parse_power(line: &str) -> Option<Power> {
    let fields: Vec<Option<f64>> = line.trim().split(',').map(|field| field.trim().parse().ok()).collect();
    let &[sm_mhz, memory_mhz, watts, celsius] = &fields[..] else { return None };
    Some(Power { sm_mhz, memory_mhz, watts, celsius })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_a_gpu_does_not_tell_are_left_out() {
        let power = parse_power("1980, 2619, [N/A], 41\n").unwrap();
        assert_eq!((power.sm_mhz, power.watts, power.celsius), (Some(1980.0), None, Some(41.0)));
        assert_eq!(parse_power("No devices were found"), None);
    }

    #[cfg(all(feature = "cuda", target_os = "linux"))]
    #[test]
    fn each_gpu_is_asked_about_by_its_place_and_a_cpu_is_not() {
        let _alone = crate::emulated_gpus();
        let ids = [0, 1].map(|ordinal| {
            let device = Device::cuda(ordinal).unwrap();
            question(&device).unwrap()[2].clone()
        });
        assert_eq!(ids, ["--id=0000:00:00.0", "--id=0000:01:00.0"]);
        assert_eq!(question(&Device::Cpu), None);
    }
}
