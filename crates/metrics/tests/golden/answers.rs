//! EM and F1 of answers, from `answers.json`, which `answers.py` wrote.

use serde_json::Value;
use warpsmith_metrics::answers::Rule;

use crate::number;

#[test]
fn every_answer_has_the_scores_of_torchmetrics_and_of_cmrcs_script() {
    let rows: Vec<Vec<Value>> = serde_json::from_str(include_str!("answers.json")).expect("rows");
    assert!(rows.len() > 200, "{}", rows.len());
    for row in rows {
        let answer = row[0].as_str().expect("a text");
        let references: Vec<&str> =
            row[1].as_array().expect("texts").iter().filter_map(Value::as_str).collect();
        for (rule, at) in [(Rule::Squad, 2), (Rule::Cmrc, 4)].into_iter().filter(|(_, at)| *at < row.len()) {
            let got = rule.score(answer, &references);
            // torchmetrics computes in f32.
            let near = |got: f64, want: f64| (got - want).abs() <= 1e-7;
            let want = [number(&row[at]), number(&row[at + 1])];
            assert!(
                near(got.exact, want[0]) && near(got.f1, want[1]),
                "{rule:?}: {got:?}, not {want:?}: {row:?}"
            );
        }
    }
}
