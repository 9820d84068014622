//! `--device`: where to compute, and why not on a GPU.

use clap::{Arg, ArgMatches};
use warpsmith::tensor::Device;
use warpsmith::train::config::DeviceKind;

use super::Failure;

/// The flag, for commands that have no table of settings.
pub fn arg() -> Arg {
    Arg::new("device")
        .long("device")
        .value_name("auto|cpu|cuda")
        .value_parser(["auto", "cpu", "cuda"])
        .help("Where to compute [default: auto].")
}

/// The device that the flag of [`arg`] names.
pub fn of(args: &ArgMatches) -> Result<Device, Failure> {
    choose(match args.get_one::<String>("device").map(String::as_str) {
        Some("cpu") => DeviceKind::Cpu,
        Some("cuda") => DeviceKind::Cuda,
        _ => DeviceKind::Auto,
    })
}

/// The device of a kind; says why `auto` is the CPU if there is an NVIDIA driver to ask.
pub fn choose(kind: DeviceKind) -> Result<Device, Failure> {
    match kind {
        DeviceKind::Cpu => Ok(Device::Cpu),
        DeviceKind::Cuda => Ok(Device::cuda(0)?),
        DeviceKind::Auto => {
            let (device, reason) = Device::best_and_why();
            if let Some(reason) = reason {
                eprintln!("device: {device}, since {reason}");
            }
            Ok(device)
        }
    }
}
