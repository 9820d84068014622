//! The arena: what it counts, that a steady state asks the driver for nothing, and what happens when memory ends.

use warpsmith_emulator::alone;
use warpsmith_tensor::{DType, Device, Kind, Shape, Tensor};

use crate::{cuda, device};

fn tensors(n: usize, device: &Device) -> Vec<Tensor> {
    (0..n)
        .map(|i| Tensor::zeros(Shape::new(&[100 + 3701 * i]).unwrap(), DType::F32, device).unwrap())
        .collect()
}

fn bytes(n: usize, device: &Device) -> warpsmith_tensor::Result<Tensor> {
    Tensor::empty(Shape::new(&[n]).unwrap(), DType::U8, device)
}

#[test]
fn a_steady_state_asks_the_driver_for_nothing() {
    alone("memory::a_steady_state_asks_the_driver_for_nothing", &[], || {
        let device = device();
        let cuda = cuda(&device);
        let first = tensors(20, &device);
        let wanted: u64 = first.iter().map(|t| t.numel() as u64 * 4).sum();
        let used = cuda.usage();
        assert!(used.live >= wanted && used.live <= wanted + 20 * 256, "{used:?} for {wanted}");
        assert_eq!((used.peak, used.requests), (used.live, 1));
        drop(first);
        assert_eq!(cuda.usage().live, 0);
        for _ in 0..50 {
            drop(tensors(20, &device));
        }
        assert_eq!(cuda.usage(), warpsmith_tensor::cuda::DeviceUsage { live: 0, ..used });
        cuda.reset_peak();
        cuda.trim().unwrap();
        let trimmed = cuda.usage();
        assert_eq!((trimmed.reserved, trimmed.peak, trimmed.live), (0, 0, 0));
    });
}

#[test]
fn too_much_is_an_error_and_the_device_goes_on() {
    alone("memory::too_much_is_an_error_and_the_device_goes_on", &[], || {
        let device = device();
        let capacity = cuda(&device).gpu().memory as usize;
        let small = Tensor::from_slice(&[1f32, 2.0], &[2], &device).unwrap();
        let error = bytes(capacity + 1, &device).unwrap_err();
        assert_eq!(error.kind(), Kind::Memory);
        assert!(error.to_string().contains("cuda:0") && error.to_string().contains("batch_size"), "{error}");
        // What lies idle goes back before anything is refused.
        let half = bytes(capacity / 2, &device).unwrap();
        drop(half);
        let more = bytes(capacity / 4 * 3, &device).unwrap();
        assert_eq!(bytes(capacity / 2, &device).unwrap_err().kind(), Kind::Memory);
        drop(more);
        drop(bytes(capacity / 2, &device).unwrap());
        assert_eq!(small.to_vec::<f32>().unwrap(), [1.0, 2.0]);
    });
}

#[test]
fn without_the_arena_each_block_is_the_drivers() {
    let test = "memory::without_the_arena_each_block_is_the_drivers";
    alone(test, &[("WARPSMITH_ARENA", "off")], || {
        let device = device();
        let held = tensors(5, &device);
        let used = cuda(&device).usage();
        assert_eq!((used.requests, used.reserved), (5, used.live));
        drop(held);
        assert_eq!((cuda(&device).usage().live, cuda(&device).usage().reserved), (0, 0));
        let odd = cuda(&device).stream().allocate(5).unwrap();
        assert_eq!(cuda(&device).usage().reserved, 5, "there is no room behind a block");
        drop(odd);
    });
}

#[test]
fn buffers_are_written_and_read_inside_their_bounds_only() {
    let device = device();
    let mut buffer = cuda(&device).stream().allocate(16).unwrap();
    buffer.write(0, &[7; 16]).unwrap();
    buffer.write(4, &[1, 2, 3]).unwrap();
    let mut back = [0; 8];
    buffer.read(2, &mut back).unwrap();
    assert_eq!(back, [7, 7, 1, 2, 3, 7, 7, 7]);
    assert_eq!(buffer.write(14, &[0; 3]).unwrap_err().kind(), Kind::Index);
    assert_eq!(buffer.read(usize::MAX, &mut back).unwrap_err().kind(), Kind::Index);
}
