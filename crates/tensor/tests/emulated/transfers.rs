//! Numbers to the device and back, and what a tensor of a device refuses.

use warpsmith_tensor::{DType, Device, Element, Kind, Layout, Shape, Tensor};

use crate::device;

fn there_and_back<T: Element>(values: &[T]) {
    let device = device();
    let x = Tensor::from_slice(values, &[values.len()], &device).unwrap();
    assert_eq!((x.device(), x.dtype()), (device.clone(), T::DTYPE));
    assert_eq!(x.to_vec::<T>().unwrap(), values);
    let back = x.to_device(&Device::Cpu).unwrap();
    assert!(back.device().is_cpu());
    assert_eq!(back.to_vec::<T>().unwrap(), values);
    assert!(x.to_device(&device).unwrap().shares_storage(&x), "it is there already");
}

#[test]
fn every_dtype_comes_back_as_it_went() {
    there_and_back(&[1.5f64, -0.0, f64::MAX]);
    there_and_back(&[1f32, f32::MIN_POSITIVE, -3.25]);
    there_and_back(&[warpsmith_tensor::bf16::from_f32(1.5); 3]);
    there_and_back(&[warpsmith_tensor::f16::from_f32(-2.5); 5]);
    there_and_back(&[i64::MIN, 0, 7]);
    there_and_back(&[u32::MAX, 1]);
    there_and_back(&[1u8, 2, 255]);
    there_and_back(&[true, false, true]);
    there_and_back::<f32>(&[]);
}

#[test]
fn numbers_repeated_are_written_by_the_device() {
    let (device, shape) = (device(), Shape::new(&[3, 5]).unwrap());
    for dtype in DType::ALL {
        let zeros = Tensor::zeros(shape, dtype, &device).unwrap();
        assert_eq!(zeros.to_f64_vec().unwrap(), [0.0; 15], "{dtype}");
        let ones = Tensor::full(shape, 1.0, dtype, &device).unwrap();
        assert_eq!(ones.to_f64_vec().unwrap(), [1.0; 15], "{dtype}");
        assert_eq!(ones.device(), device);
    }
    let empty = Tensor::full(Shape::new(&[0, 3]).unwrap(), 2.0, DType::F32, &device).unwrap();
    assert_eq!(empty.to_vec::<f32>().unwrap(), [0f32; 0]);
}

#[test]
fn a_view_comes_back_in_its_own_order() {
    let x = Tensor::from_vec((0..24).map(|i| i as f32).collect(), &[2, 3, 4], &device()).unwrap();
    let whole = Tensor::from_vec((0..24).map(|i| i as f32).collect(), &[2, 3, 4], &Device::Cpu).unwrap();
    let layouts: [fn(&Layout) -> Layout; 5] = [
        |l| l.permute(&[2, 0, 1]).unwrap(),
        |l| l.slice(1, 1, 2, 1).unwrap(),
        |l| l.slice(2, 1, 2, 2).unwrap(),
        |l| l.slice(0, 1, 1, 1).unwrap().broadcast_to(&Shape::new(&[5, 3, 4]).unwrap()).unwrap(),
        |l| l.slice(1, 3, 0, 1).unwrap(),
    ];
    for layout in layouts {
        let layout = layout(x.layout());
        let expected = whole.view(layout).unwrap().to_vec::<f32>().unwrap();
        let view = x.view(layout).unwrap();
        assert!(view.shares_storage(&x));
        assert_eq!(view.to_vec::<f32>().unwrap(), expected, "{layout:?}");
        assert_eq!(view.to_f64_vec().unwrap().len(), view.numel());
        let brought = view.to_device(&Device::Cpu).unwrap();
        assert_eq!(brought.to_vec::<f32>().unwrap(), expected, "{layout:?}");
    }
}

#[test]
fn a_copy_has_memory_of_its_own_and_sharing_is_seen() {
    let mut x = Tensor::from_slice(&[1f32, 2.0, 3.0], &[3], &device()).unwrap();
    assert!(x.is_unique());
    let address = x.device_address_mut().unwrap();
    assert_eq!((x.device_address().unwrap(), address % 256), (address, 0));
    let other = x.clone();
    assert!(!x.is_unique());
    let written = x.device_address_mut().unwrap();
    assert_ne!(written, address, "somebody else reads the old memory");
    assert_eq!(other.device_address().unwrap(), address);
    assert_eq!(x.to_vec::<f32>().unwrap(), other.to_vec::<f32>().unwrap());
    let tail = other.view(other.layout().slice(0, 1, 2, 1).unwrap()).unwrap();
    assert_eq!(tail.device_address().unwrap(), address + 4);
}

#[test]
fn the_host_does_not_read_the_device_by_accident() {
    let mut x = Tensor::from_slice(&[1f32], &[1], &device()).unwrap();
    for error in [x.data::<f32>().unwrap_err(), x.data_mut::<f32>().unwrap_err()] {
        assert_eq!(error.kind(), Kind::Device);
        let told = error.to_string();
        assert!(told.contains("lies on cuda:0") && told.contains("to_device"), "{told}");
    }
    let wrong = x.to_vec::<i64>().unwrap_err();
    assert_eq!(wrong.kind(), Kind::DType);
    assert_eq!(format!("{x:?}"), "Tensor (1,) f32 cuda:0 [1.0000]");
}
