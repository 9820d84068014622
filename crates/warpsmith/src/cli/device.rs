//! `--device`: where to compute, and why not on a GPU.

use clap::{Arg, ArgMatches};
use warpsmith::tensor::Device;
#[cfg(feature = "cuda")]
use warpsmith::tensor::cuda::is_driver_installed;
use warpsmith::train::config::DeviceKind;
use warpsmith_emulator_loader as emulator;

use super::Failure;

/// The flag, for commands that have no table of settings.
pub fn arg() -> Arg {
    Arg::new("device")
        .long("device")
        .value_name(DeviceKind::WORDS.join("|"))
        .value_parser(str::parse::<DeviceKind>)
        .help("Where to compute [default: auto]; emulated: the CUDA kernels on the CPU, checked and slow.")
}

/// The device that the flag of [`arg`] names.
pub fn of(args: &ArgMatches) -> Result<Device, Failure> {
    choose(args.get_one("device").copied().unwrap_or(DeviceKind::Auto))
}

/// This build asks no driver.
#[cfg(not(feature = "cuda"))]
fn is_driver_installed() -> bool {
    false
}

/// Tells why a first run takes its time: the driver compiles kernels when they are first launched.
#[cfg(feature = "cuda")]
fn tell_of_compiling() {
    warpsmith::tensor::cuda::on_load(|name, took| {
        if took > std::time::Duration::from_secs(1) {
            note!(
                "device: the driver took {:.1} s to compile the kernels of {name}; it keeps them for the next run",
                took.as_secs_f64()
            );
        }
    });
}

/// This build compiles no kernels.
#[cfg(not(feature = "cuda"))]
fn tell_of_compiling() {}

/// The device of a kind; says why `auto` is the CPU if there is an NVIDIA driver to ask.
pub fn choose(kind: DeviceKind) -> Result<Device, Failure> {
    match kind {
        DeviceKind::Cpu => Ok(Device::Cpu),
        DeviceKind::Cuda(ordinal) => {
            tell_of_compiling();
            Ok(Device::cuda(ordinal)?)
        }
        DeviceKind::Emulated => {
            let library = emulator::install()
                .map_err(|error| Failure::Failed(format!("--device emulated: {error}")))?;
            note!("device: a GPU emulated on the CPU by {}", library.display());
            Ok(Device::cuda(0)?)
        }
        DeviceKind::Auto => {
            tell_of_compiling();
            let (device, reason) = Device::best_and_why();
            if let Some(reason) = reason.filter(|_| is_driver_installed()) {
                note!("device: {device}, since {reason}");
            }
            Ok(device)
        }
    }
}
