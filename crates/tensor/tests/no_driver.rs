//! What is said where no GPU can be used. On a machine that has one, the same calls must work.
#![cfg(feature = "cuda")]

use warpsmith_tensor::cuda::inventory;
use warpsmith_tensor::{Device, Kind, Tensor};

#[test]
fn a_gpu_that_cannot_be_used_is_an_error_that_says_what_to_do() {
    match (inventory(), Device::cuda(0)) {
        (Ok(found), Ok(device)) => {
            assert!(!found.gpus.is_empty());
            assert_eq!(device.to_string(), "cuda:0");
        }
        (inventory, Err(error)) => {
            assert_eq!(error.kind(), Kind::Device);
            let told = error.to_string();
            assert!(told.starts_with("cuda: ") && told.contains("--device cpu"), "{told}");
            // Asked again, it is looked for again.
            assert_eq!(Device::cuda(0).unwrap_err().to_string(), told);
            if let Err(other) = inventory {
                assert_eq!(other.to_string(), told);
            }
        }
        (Err(error), Ok(device)) => panic!("{device} works although {error}"),
    }
}

#[test]
fn a_gpu_far_beyond_any_is_an_error() {
    for ordinal in [1000, usize::MAX] {
        let error = Device::cuda(ordinal).unwrap_err();
        assert_eq!(error.kind(), Kind::Device, "{error}");
    }
}

#[test]
fn the_best_device_always_works() {
    let (device, reason) = Device::best_and_why();
    assert_eq!(device.is_cpu(), reason.is_some());
    let x = Tensor::from_slice(&[1f32, 2.0], &[2], &device).unwrap();
    assert_eq!(x.to_vec::<f32>().unwrap(), [1.0, 2.0]);
    assert_eq!(Device::best().unwrap(), device);
}

#[test]
fn a_tensor_of_the_host_has_no_address_on_a_device() {
    let mut x = Tensor::from_slice(&[1f32], &[1], &Device::Cpu).unwrap();
    for error in [x.device_address().unwrap_err(), x.device_address_mut().unwrap_err()] {
        assert!(error.to_string().contains("lies on the CPU"), "{error}");
    }
    Device::Cpu.synchronize().unwrap();
}
