//! Ids outside the table, and sums that do not depend on threads.

use warpsmith_ops::prelude::*;
use warpsmith_tensor::{DType, Device, Tensor};

#[test]
fn an_id_outside_the_table_is_named_with_its_place_and_the_limit() {
    let table = Tensor::from_slice(&[0f32; 6], &[3, 2], &Device::Cpu).unwrap();
    for bad in [3i64, -1] {
        let ids = Tensor::from_slice(&[0, bad], &[2], &Device::Cpu).unwrap();
        let error = table.embedding(&ids).unwrap_err();
        assert_eq!(error.kind(), warpsmith_tensor::Kind::Index);
        assert!(error.to_string().contains(&format!("id {bad} at position 1")), "{error}");
        assert!(error.to_string().contains("3 rows"), "{error}");
    }
}

#[test]
fn ids_of_every_integer_dtype_and_a_transposed_table_give_the_same_rows() {
    let table = Tensor::from_slice(&[0f32, 1.0, 2.0, 3.0, 4.0, 5.0], &[3, 2], &Device::Cpu).unwrap();
    let columns = table.view(table.layout().transpose(0, 1).unwrap()).unwrap();
    for dtype in [DType::I64, DType::U32, DType::U8] {
        let ids = Tensor::from_slice(&[1i64, 0], &[2], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        assert_eq!(table.embedding(&ids).unwrap().to_vec::<f32>().unwrap(), [2.0, 3.0, 0.0, 1.0]);
        assert_eq!(columns.embedding(&ids).unwrap().to_vec::<f32>().unwrap(), [1.0, 3.0, 5.0, 0.0, 2.0, 4.0]);
    }
}
