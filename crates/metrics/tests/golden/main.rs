//! The numbers of scikit-learn, sacrebleu and rouge-score, from `golden.json`, which `make.py` wrote.

mod answers;
mod labels;
mod texts;

use std::sync::LazyLock;

use serde_json::Value;

/// A part of the golden file.
fn golden(part: &str) -> &'static [Value] {
    static ALL: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(include_str!("golden.json")).expect("the golden file is JSON"));
    ALL[part].as_array().expect("a list")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(number).collect()
}

/// A number; null is NaN.
fn number(value: &Value) -> f64 {
    if value.is_null() { f64::NAN } else { value.as_f64().expect("a number") }
}

fn ids(value: &Value) -> Vec<usize> {
    value.as_array().expect("a list").iter().map(|id| id.as_u64().expect("an id") as usize).collect()
}

/// Equal to 1e-9, NaN to NaN.
#[track_caller]
fn assert_near(got: &[f64], want: &[f64], what: &str) {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 || a.is_nan() && b.is_nan();
    assert!(got.len() == want.len() && got.iter().zip(want).all(near), "{what}: {got:?}, not {want:?}");
}
