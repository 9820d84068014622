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

#[test]
fn tensors_that_come_from_nothing_are_made_there() {
    let device = device();
    let shape = Shape::new(&[2, 300]).unwrap();
    let full = Tensor::full(shape, -7.0, DType::I64, &device).unwrap();
    assert_eq!(full.to_vec::<i64>().unwrap(), [-7; 600]);
    for dtype in [DType::I64, DType::U32, DType::U8, DType::F32, DType::BF16, DType::F16] {
        let counted = Tensor::count(250, dtype, &device).unwrap();
        assert!(counted.device() == device && counted.dtype() == dtype);
        let here = Tensor::count(250, dtype, &Device::Cpu).unwrap();
        assert_eq!(counted.to_f64_vec().unwrap(), here.to_f64_vec().unwrap(), "{dtype}");
        assert_eq!(here.to_f64_vec().unwrap()[249], 249.0);
    }
}

#[test]
fn inputs_are_overwritten_where_they_lie_unless_somebody_shares_them() {
    for device in [Device::Cpu, device()] {
        let mut x = Tensor::from_slice(&[1u32, 2, 3], &[3], &device).unwrap();
        let before = x.device_address().ok();
        x.overwrite(&[4u32, 5, 6]).unwrap();
        assert_eq!((x.to_vec::<u32>().unwrap(), x.device_address().ok()), (vec![4, 5, 6], before));
        assert!(x.overwrite(&[1u32]).unwrap_err().to_string().contains("1 elements"));
        assert!(x.overwrite(&[1f32, 2.0, 3.0]).is_err());
        let holder = x.clone();
        assert!(x.overwrite(&[7u32, 8, 9]).unwrap_err().to_string().contains("shared"));
        assert_eq!(holder.to_vec::<u32>().unwrap(), [4, 5, 6]);
    }
}

#[test]
fn an_allocation_fails_on_demand_once() {
    for device in [Device::Cpu, device()] {
        let make = || Tensor::zeros(Shape::new(&[10]).unwrap(), DType::F32, &device).map(drop);
        warpsmith_tensor::fail_allocation(Some(1));
        assert!(make().is_ok());
        assert_eq!(make().unwrap_err().kind(), warpsmith_tensor::Kind::Memory);
        assert!(make().is_ok());
        assert_eq!(warpsmith_tensor::fail_allocation(None), None);
    }
}
