//! What tensors do by kernels of their own: copies of views, changes of dtype, sums.

use warpsmith_tensor::{DType, Device, Shape, Tensor, bf16};

use crate::device;

#[test]
fn a_view_with_gaps_becomes_one_without() {
    let device = device();
    for dtype in [DType::F32, DType::BF16, DType::I64, DType::U8] {
        let values: Vec<f64> = (0..60).map(f64::from).collect();
        let x = Tensor::from_f64(&values, Shape::new(&[3, 4, 5]).unwrap(), dtype, &device).unwrap();
        let views = [
            x.layout().permute(&[2, 0, 1]).unwrap(),
            x.layout().slice(2, 1, 2, 2).unwrap(),
            x.layout().slice(0, 2, 1, 1).unwrap().broadcast_to(&Shape::new(&[4, 4, 5]).unwrap()).unwrap(),
        ];
        for layout in views {
            let view = x.view(layout).unwrap();
            let dense = view.contiguous().unwrap();
            assert!(dense.is_contiguous() && dense.device() == device && !dense.shares_storage(&x));
            assert_eq!(dense.to_f64_vec().unwrap(), view.to_f64_vec().unwrap(), "{dtype} {layout:?}");
        }
    }
}

#[test]
fn a_dtype_changes_on_the_device_as_on_the_host() {
    let device = device();
    let values = [0.1, -2.5, 1e30, 3.0, f64::INFINITY, 1.00390625];
    let x = Tensor::from_f64(&values, Shape::new(&[2, 3]).unwrap(), DType::F32, &Device::Cpu).unwrap();
    let there = x.to_device(&device).unwrap();
    for dtype in [DType::BF16, DType::F16] {
        let (here, on_it) = (x.to_dtype(dtype).unwrap(), there.to_dtype(dtype).unwrap());
        assert_eq!(on_it.device(), device);
        assert_eq!(on_it.to_f64_vec().unwrap(), here.to_f64_vec().unwrap(), "{dtype}");
        let wide = on_it.to_dtype(DType::F32).unwrap();
        assert_eq!(wide.to_f64_vec().unwrap(), here.to_f64_vec().unwrap());
    }
    assert!(there.to_dtype(DType::F64).unwrap_err().to_string().contains("f64"));
}

#[test]
fn a_sum_in_place_leaves_other_holders_alone() {
    let device = device();
    let mut x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], &[2, 2], &device).unwrap();
    let before = x.clone();
    let turned = x.view(x.layout().transpose(0, 1).unwrap()).unwrap();
    x.accumulate(&turned).unwrap();
    assert_eq!(x.to_vec::<f32>().unwrap(), [2.0, 5.0, 5.0, 8.0]);
    assert_eq!(before.to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
    let mut half = Tensor::full(Shape::new(&[3]).unwrap(), 1.0, DType::BF16, &device).unwrap();
    half.accumulate(&half.clone()).unwrap();
    assert_eq!(half.to_vec::<bf16>().unwrap(), [bf16::from_f32(2.0); 3]);
}
