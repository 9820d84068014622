//! When a write copies, and that it never shows elsewhere.

use warpsmith_tensor::{DType, Device, Layout, Shape, Tensor, bf16};

fn numbers() -> Tensor {
    Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3], &Device::Cpu).unwrap()
}

fn address(tensor: &Tensor) -> *const f32 {
    tensor.data::<f32>().unwrap().as_ptr()
}

#[test]
fn a_tensor_that_nobody_else_holds_is_written_in_place() {
    let mut x = numbers();
    let before = address(&x);
    assert!(x.is_unique());
    x.data_mut::<f32>().unwrap()[0] = 9.0;
    assert_eq!(address(&x), before);
    let other = x.clone();
    assert!(!x.is_unique());
    x.data_mut::<f32>().unwrap()[0] = 7.0;
    assert_ne!(address(&x), before);
    assert_eq!(other.to_vec::<f32>().unwrap()[0], 9.0);
}

#[test]
fn the_last_holder_of_a_slice_writes_only_inside_it() {
    let x = numbers();
    let mut row = x.view(x.layout().slice(0, 1, 1, 1).unwrap()).unwrap();
    drop(x);
    assert!(row.is_unique());
    let before = address(&row);
    assert_eq!(row.data_mut::<f32>().unwrap(), [4.0, 5.0, 6.0]);
    assert_eq!(address(&row), before);
}

#[test]
fn a_view_with_gaps_or_repeats_is_copied_before_it_is_written() {
    let x = numbers();
    let mut column = x.view(x.layout().slice(1, 0, 1, 1).unwrap()).unwrap();
    drop(x);
    assert!(!column.is_unique());
    assert_eq!(column.data_mut::<f32>().unwrap(), [1.0, 4.0]);
    assert!(column.is_contiguous());
    let one = Tensor::scalar(5f32, &Device::Cpu).unwrap();
    let stretched = one.layout().broadcast_to(&Shape::new(&[4]).unwrap()).unwrap();
    let mut four = one.view(stretched).unwrap();
    four.data_mut::<f32>().unwrap()[0] = 1.0;
    assert_eq!(four.to_vec::<f32>().unwrap(), [1.0, 5.0, 5.0, 5.0]);
    assert_eq!(one.item().unwrap(), 5.0);
}

#[test]
fn the_wrong_type_is_an_error_and_changes_nothing() {
    let mut x = numbers();
    assert!(x.data_mut::<i64>().is_err());
    assert!(x.data::<bf16>().is_err());
    assert!(x.to_vec::<f64>().is_err());
    assert_eq!(x.to_vec::<f32>().unwrap()[5], 6.0);
}

#[test]
fn views_beyond_the_storage_are_refused() {
    let x = numbers();
    let larger = Layout::contiguous(Shape::new(&[7]).unwrap());
    assert!(x.view(larger).is_err());
    assert!(x.view(Layout::contiguous(Shape::new(&[0]).unwrap())).is_ok());
}

#[test]
fn accumulating_unlike_tensors_is_an_error() {
    let mut x = numbers();
    let flat = Tensor::zeros(Shape::new(&[6]).unwrap(), DType::F32, &Device::Cpu).unwrap();
    assert!(x.accumulate(&flat).is_err());
    assert!(x.accumulate(&x.to_dtype(DType::F64).unwrap()).is_err());
    let mut ids = Tensor::from_slice(&[1i64], &[1], &Device::Cpu).unwrap();
    assert!(ids.accumulate(&ids.clone()).is_err());
}

#[test]
fn half_floats_add_with_one_rounding() {
    // 256 + 1 lies between the bf16 numbers 256 and 258: to even. 257.5 would round up.
    let add = |a: f64, b: f64, dtype: DType| {
        let shape = Shape::scalar();
        let mut sum = Tensor::from_f64(&[a], shape, dtype, &Device::Cpu).unwrap();
        sum.accumulate(&Tensor::from_f64(&[b], shape, dtype, &Device::Cpu).unwrap()).unwrap();
        sum.item().unwrap()
    };
    assert_eq!(add(256.0, 1.0, DType::BF16), 256.0);
    assert_eq!(add(256.0, 1.5, DType::BF16), 258.0);
    assert_eq!(add(2048.0, 1.0, DType::F16), 2048.0);
    assert_eq!(add(2050.0, 1.0, DType::F16), 2052.0);
}

#[test]
fn f64_rounds_once_to_f16() {
    // Just above the middle between 1 and the next f16: rounded to f32 first it would be the middle, and go to even.
    let middle = 1.0 + 2f64.powi(-11);
    let x = Tensor::from_f64(
        &[middle, middle + 1e-12, middle - 1e-12],
        Shape::new(&[3]).unwrap(),
        DType::F16,
        &Device::Cpu,
    );
    assert_eq!(x.unwrap().to_f64_vec().unwrap(), [1.0, 1.0 + 2f64.powi(-10), 1.0]);
}
