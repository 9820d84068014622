//! The CUDA device on the emulated driver: the same code that runs on a GPU, from memory to recorded graphs.
#![cfg(all(feature = "cuda", target_os = "linux"))]

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
