//! The CUDA device on the emulated driver: the same code that runs on a GPU, from memory to recorded graphs.
#![cfg(all(feature = "cuda", target_os = "linux"))]

mod alone;
mod faults;
mod graphs;
mod kernels;
mod memory;
mod reports;
mod rounded;
mod transfers;

use warpsmith_tensor::Device;

/// The emulated GPU. It must be opened before any other libcuda.
fn device() -> Device {
    warpsmith_emulator::install().expect("the emulator is built beside the tests");
    Device::cuda(0).expect("the emulated GPU can be used")
}

fn cuda(device: &Device) -> &warpsmith_tensor::cuda::CudaDevice {
    match device {
        Device::Cuda(cuda) => cuda,
        other => panic!("{other} is no GPU"),
    }
}

/// What holds at once holds as well if the driver does everything as late as its documentation allows, and reads the host's memory
/// only then.
#[test]
fn all_of_this_holds_with_a_strict_driver() {
    let test = "all_of_this_holds_with_a_strict_driver";
    // There the process does not survive a fault, which faults.rs asserts.
    let skipped = ["after_a_fault_everything_tells_of_it_until_the_device_is_opened_anew"];
    warpsmith_emulator::all_again(test, &[("WARPSMITH_EMULATOR_STRICT", "1")], &skipped);
}
