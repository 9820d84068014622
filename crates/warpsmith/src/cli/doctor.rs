//! `warpsmith doctor`: what this machine has, what works on it, what is missing and how to get it. It never panics and
//! never fails: whatever cannot be found out is said to be unknown.

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::Serialize;

use super::Failure;

/// The flags.
pub fn command() -> Command {
    Command::new("doctor")
        .about("What this machine has, and what works on it")
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON object."))
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
    cuda_device: bool,
    advice: Vec<String>,
}

/// `warpsmith doctor`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let findings = examine();
    if args.get_flag("json") {
        let json = serde_json::to_string_pretty(&findings).map_err(|e| Failure::Failed(e.to_string()))?;
        println!("{json}");
        return Ok(());
    }
    let mib = |size: Option<u64>| size.map_or("unknown".into(), |s| format!("{s} MiB"));
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none found".into());
    println!("warpsmith {} on {} {}", findings.version, findings.system, findings.architecture);
    println!("CPU       {} threads; uses {}", findings.threads, findings.cpu_features.join(", "));
    println!("memory    {} in all, {} free", mib(findings.memory_total_mib), mib(findings.memory_free_mib));
    println!("driver    {}", or_none(&findings.nvidia_driver));
    println!("libcuda   {}", or_none(&findings.libcuda));
    println!("works     --device cpu");
    println!("missing   --device cuda");
    findings.advice.iter().for_each(|advice| println!("advice    {advice}"));
    Ok(())
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
    advice.push(match nvidia_driver {
        Some(_) => {
            "an NVIDIA driver answers, but this build has no CUDA kernels yet: it runs on the CPU".into()
        }
        None => "no NVIDIA driver is loaded: everything runs on the CPU".to_string(),
    });
    Findings {
        version: env!("CARGO_PKG_VERSION"),
        architecture: std::env::consts::ARCH,
        system: std::env::consts::OS,
        cpu_features: cpu_features(),
        fused_multiply_add: fused,
        threads: rayon::current_num_threads(),
        memory_total_mib: meminfo("MemTotal:"),
        memory_free_mib: meminfo("MemAvailable:"),
        nvidia_driver,
        libcuda: libcuda(),
        cuda_device: false,
        advice,
    }
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

/// A line of `/proc/meminfo`, in MiB.
fn meminfo(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
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
