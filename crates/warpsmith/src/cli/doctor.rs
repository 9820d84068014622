//! `warpsmith doctor`: what this machine has, what works on it, what is missing and how to get it. It never panics and
//! never fails: whatever cannot be found out is said to be unknown.

use std::path::Path;

use clap::{ArgMatches, Command};
use serde::Serialize;
use warpsmith::train::memory::Host;

use super::{Failure, flags};

/// The flags.
pub fn command() -> Command {
    Command::new("doctor")
        .about("What this machine has, and what works on it")
        .arg(flags::json("Print one JSON object."))
}

/// What was found. The keys are stable.
#[derive(Serialize)]
struct Findings {
    version: &'static str,
    architecture: &'static str,
    system: &'static str,
    cpu_features: Vec<&'static str>,
    fused_multiply_add: bool,
    threads: usize,
    memory_total_mib: Option<u64>,
    memory_free_mib: Option<u64>,
    nvidia_driver: Option<String>,
    libcuda: Option<String>,
    cuda_version: Option<String>,
    gpus: Vec<Gpu>,
    cuda_device: bool,
    cuda_missing: Option<String>,
    /// The library that `--device emulated` opens.
    emulator: Option<String>,
    emulator_missing: Option<String>,
    advice: Vec<String>,
}

/// One GPU.
#[derive(Serialize)]
struct Gpu {
    name: String,
    compute_capability: String,
    memory_mib: u64,
    /// Free now, whoever holds the rest; none if the GPU cannot be opened.
    memory_free_mib: Option<u64>,
    multiprocessors: u32,
    usable: bool,
}

/// `warpsmith doctor`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let findings = examine();
    if args.get_flag("json") {
        let json = serde_json::to_string_pretty(&findings)?;
        say!("{json}")?;
        return Ok(());
    }
    let mib = |size: Option<u64>| size.map_or("unknown".into(), |s| format!("{s} MiB"));
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none found".into());
    say!("warpsmith {} on {} {}", findings.version, findings.system, findings.architecture)?;
    say!("CPU       {} threads; uses {}", findings.threads, findings.cpu_features.join(", "))?;
    say!("memory    {} in all, {} free", mib(findings.memory_total_mib), mib(findings.memory_free_mib))?;
    say!("driver    {}", or_none(&findings.nvidia_driver))?;
    say!("libcuda   {}", or_none(&findings.libcuda))?;
    if let Some(version) = &findings.cuda_version {
        say!("CUDA      {version}, offered by the driver")?;
    }
    for (i, gpu) in findings.gpus.iter().enumerate() {
        let Gpu { name, compute_capability, memory_mib, memory_free_mib, multiprocessors, .. } = gpu;
        say!(
            "cuda:{i}    {name}: compute capability {compute_capability}, {multiprocessors} processors, {memory_mib} MiB, {} free",
            mib(*memory_free_mib)
        )?;
    }
    if let Some(library) = &findings.emulator {
        say!("emulator  {library}")?;
    }
    let devices = [("cuda", &findings.cuda_missing), ("emulated", &findings.emulator_missing)];
    let works: Vec<&str> =
        devices.iter().filter(|(_, missing)| missing.is_none()).map(|(name, _)| *name).collect();
    say!("works     --device {}", [&["cpu"][..], &works].concat().join(", --device "))?;
    for (name, missing) in devices {
        missing.iter().try_for_each(|reason| say!("missing   --device {name}: {reason}"))?;
    }
    findings.advice.iter().try_for_each(|advice| say!("advice    {advice}"))
}

fn examine() -> Findings {
    let nvidia_driver = nvidia_driver();
    let fused = warpsmith::tensor::cpu::matmul::fused();
    let mut advice = Vec::new();
    if !fused {
        advice.push(
            "this processor has no fused multiply-add that the engine uses: training will be slow".into(),
        );
    }
    let (cuda_version, gpus, cuda_missing) = cuda();
    if let (warpsmith::tensor::Device::Cpu, Some(reason)) = warpsmith::tensor::Device::best_and_why() {
        advice.push(format!("--device auto is the CPU here: {reason}"));
    }
    let emulator = warpsmith_emulator_loader::find();
    let memory = Host::now();
    Findings {
        version: env!("CARGO_PKG_VERSION"),
        architecture: std::env::consts::ARCH,
        system: std::env::consts::OS,
        cpu_features: cpu_features(),
        fused_multiply_add: fused,
        threads: rayon::current_num_threads(),
        memory_total_mib: memory.map(|host| host.total >> 20),
        memory_free_mib: memory.map(|host| host.free >> 20),
        nvidia_driver,
        libcuda: libcuda(),
        cuda_version,
        gpus,
        cuda_device: cuda_missing.is_none(),
        cuda_missing,
        emulator_missing: emulator.as_ref().err().map(ToString::to_string),
        emulator: emulator.ok().map(|path| path.display().to_string()),
        advice,
    }
}

/// What the driver offers, its GPUs, and why `--device cuda` does not work, if it does not.
#[cfg(feature = "cuda")]
fn cuda() -> (Option<String>, Vec<Gpu>, Option<String>) {
    use warpsmith::tensor::cuda::CudaDevice;

    let found = match warpsmith::tensor::cuda::inventory() {
        Ok(found) => found,
        Err(reason) => return (None, Vec::new(), Some(reason.to_string())),
    };
    let version = |(major, minor): (u32, u32)| format!("{major}.{minor}");
    // Opened for a moment: what else can stand in the way, as a GPU that is full, only shows then.
    let free = |gpu: &warpsmith::tensor::cuda::Gpu| CudaDevice::new(gpu.ordinal)?.free_and_total();
    let mut missing = found.gpus.is_empty().then(|| "the driver sees no GPU".to_owned());
    let mut row = |gpu: &warpsmith::tensor::cuda::Gpu| {
        let opened = free(gpu);
        if let (0, Err(reason)) = (gpu.ordinal, &opened) {
            missing = Some(gpu.shortcoming().unwrap_or_else(|| reason.to_string()));
        }
        Gpu {
            name: gpu.name.clone(),
            compute_capability: version(gpu.capability),
            memory_mib: gpu.memory >> 20,
            memory_free_mib: opened.as_ref().ok().map(|(free, _)| free >> 20),
            multiprocessors: gpu.multiprocessors,
            usable: opened.is_ok(),
        }
    };
    let gpus = found.gpus.iter().map(&mut row).collect();
    (Some(version(found.cuda_version)), gpus, missing)
}

/// Nothing: this build has no CUDA device.
#[cfg(not(feature = "cuda"))]
fn cuda() -> (Option<String>, Vec<Gpu>, Option<String>) {
    (None, Vec::new(), Some("this program was built without the feature `cuda`".into()))
}

/// Instruction sets that the CPU kernels use, of those that this processor has.
fn cpu_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let known = [
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("f16c", std::arch::is_x86_feature_detected!("f16c")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ("avx512bw", std::arch::is_x86_feature_detected!("avx512bw")),
        ("avx512bf16", std::arch::is_x86_feature_detected!("avx512bf16")),
    ];
    #[cfg(target_arch = "aarch64")]
    let known = [("neon", true)];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let known: [(&str, bool); 0] = [];
    known.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

/// What the kernel module of the driver says of itself.
fn nvidia_driver() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    text.lines().next().map(|line| line.trim().to_string())
}

/// Where the driver's library lies.
fn libcuda() -> Option<String> {
    let folders = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/lib/wsl/lib",
        "/usr/local/nvidia/lib64",
    ];
    let path =
        folders.iter().map(|folder| Path::new(folder).join("libcuda.so.1")).find(|path| path.exists())?;
    Some(path.display().to_string())
}
