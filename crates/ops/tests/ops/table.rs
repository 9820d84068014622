//! The op table as text.

use warpsmith_ops::{op_table, registry};

#[test]
fn the_table_says_how_each_gradient_is_computed() {
    let rows = op_table();
    let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
    assert_eq!(rows.len(), registry().len());
    assert_eq!(row("add").backward, "composed");
    assert_eq!(row("add").dtypes, "f64 f32 bf16 f16");
    assert_eq!(row("quantised_matmul").devices, "cpu cuda");
    assert!(row("softmax").backward.starts_with("softmax_backward: reads 2*N*s"));
    assert_eq!(
        (row("softmax_backward").gradient.as_str(), row("softmax_backward").backward.as_str()),
        ("refused", "")
    );
}
