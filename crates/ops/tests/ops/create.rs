//! Counting numbers and masks.

use warpsmith_ops::create::{arange, future_mask, triangle};
use warpsmith_tensor::{DType, Device};

#[test]
fn counting_stops_where_the_dtype_does() {
    let cpu = Device::Cpu;
    assert_eq!(arange(4, DType::I64, &cpu).unwrap().to_vec::<i64>().unwrap(), [0, 1, 2, 3]);
    assert_eq!(arange(257, DType::F16, &cpu).unwrap().to_f64_vec().unwrap()[256], 256.0);
    assert!(arange(257, DType::U8, &cpu).is_err() && arange(258, DType::BF16, &cpu).is_err());
    assert_eq!(arange(0, DType::F32, &cpu).unwrap().dims(), [0]);
}

#[test]
fn the_last_query_sees_every_key() {
    let mask = future_mask(2, 3, &Device::Cpu).unwrap();
    assert_eq!(mask.to_vec::<bool>().unwrap(), [false, false, true, false, false, false]);
    let square = future_mask(2, 2, &Device::Cpu).unwrap();
    assert_eq!(square.to_vec::<bool>().unwrap(), [false, true, false, false]);
    let below = triangle(2, 2, -1, &Device::Cpu).unwrap();
    assert_eq!(below.to_vec::<bool>().unwrap(), [true; 4]);
}
