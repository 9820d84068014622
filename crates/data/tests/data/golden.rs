//! TF-IDF and scalers against scikit-learn, from `golden.json`, which `make.py` wrote.

use serde_json::Value;
use warpsmith_data::bag::{Bag, BagConfig, Row};
use warpsmith_data::scale::{Scaler, Scaling};

fn golden(part: &str) -> Value {
    let mut all: Value = serde_json::from_str(include_str!("golden.json")).expect("the golden file is JSON");
    all[part].take()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

/// Equal to 1e-9 of the larger of 1 and the truth.
#[track_caller]
fn assert_near(got: f64, want: f64, what: &str) {
    assert!((got - want).abs() <= 1e-9 * want.abs().max(1.0), "{what}: {got}, not {want}");
}

/// The texts of the metrics' golden file: 500 pairs, each as one text.
fn texts() -> Vec<String> {
    let file = include_str!("../../../metrics/tests/golden/golden.json");
    let all: Value = serde_json::from_str(file).expect("the golden file is JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_string();
    let pairs = all["pairs"].as_array().expect("pairs");
    pairs.iter().map(|pair| format!("{} {}", text(&pair[0]), text(&pair[1]))).collect()
}

#[test]
fn bags_are_those_of_scikit_learn() {
    let texts = texts();
    assert_eq!(texts.len(), 500);
    for case in golden("bags").as_array().expect("cases") {
        let count = |value: &Value| value.as_u64().expect("a count") as usize;
        let config = BagConfig {
            runs: (count(&case["runs"][0]), count(&case["runs"][1])),
            min_texts: count(&case["min_texts"]),
            tf_idf: case["tf_idf"] == true,
            ..BagConfig::default()
        };
        let what = format!("{config:?}");
        let bag = Bag::fit(&texts, config).expect("texts");
        assert_eq!(bag.terms().len(), count(&case["terms"]), "{what}");
        let rows: Vec<Row> = texts.iter().map(|text| bag.row(text)).collect();
        for (row, want) in rows.iter().zip(case["first"].as_array().expect("rows")) {
            let want = want.as_array().expect("a row");
            assert_eq!(row.len(), want.len(), "{what}");
            for ((column, value), want) in row.iter().zip(want) {
                assert_eq!(*column, count(&want[0]), "{what}");
                assert_near(*value, want[1].as_f64().expect("a number"), &what);
            }
        }
        for (row, want) in rows.iter().zip(numbers(&case["sums"])) {
            assert_near(row.iter().map(|(column, value)| value * (column + 1) as f64).sum(), want, &what);
        }
    }
}

#[test]
fn scaled_columns_are_those_of_scikit_learn() {
    let all = golden("scalers");
    let rows: Vec<Vec<f64>> = all["rows"].as_array().expect("rows").iter().map(numbers).collect();
    assert_eq!(rows.len(), 500);
    for (name, scaling) in [("min_max", Scaling::MinMax), ("standard", Scaling::Standard)] {
        let scaler = Scaler::fit(&rows, scaling).expect("rows");
        let (first, sums) = (all[name]["first"].as_array().expect("rows"), numbers(&all[name]["sums"]));
        for (at, (row, want)) in rows.iter().zip(sums).enumerate() {
            let mut scaled = row.clone();
            scaler.apply(&mut scaled).expect("a row");
            assert_near(scaled.iter().zip(1..).map(|(x, column)| x * f64::from(column)).sum(), want, name);
            for (x, want) in scaled.iter().zip(first.get(at).map(numbers).unwrap_or_default()) {
                assert_near(*x, want, name);
            }
        }
    }
}
