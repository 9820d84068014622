//! Classification and calibration.

use serde_json::Value;
use warpsmith_metrics::calibration::{brier, expected_error, reliability};
use warpsmith_metrics::classification::{Average, Confusion, Scores, ZeroDivision};

use crate::{assert_near, golden, ids, number, numbers};

const RULES: [(&str, ZeroDivision); 3] =
    [("zero", ZeroDivision::Zero), ("one", ZeroDivision::One), ("undefined", ZeroDivision::Undefined)];

fn parts(scores: Scores) -> [f64; 3] {
    [scores.precision, scores.recall, scores.f1]
}

#[test]
fn labels_have_the_scores_of_scikit_learn() {
    for case in golden("classification") {
        let classes = case["classes"].as_u64().expect("a count") as usize;
        let found = Confusion::of(&ids(&case["truth"]), &ids(&case["predicted"]), classes).expect("labels");
        assert_near(&[found.accuracy()], &[number(&case["accuracy"])], "accuracy");
        for (truth, row) in case["confusion"].as_array().expect("rows").iter().enumerate() {
            let counts: Vec<usize> = (0..classes).map(|p| found.count(truth, p) as usize).collect();
            assert_eq!(counts, ids(row));
        }
        for (name, rule) in RULES {
            let want = |average: &str| case["scores"][format!("{name} {average}")].clone();
            let averages =
                [("macro", Average::Macro), ("micro", Average::Micro), ("weighted", Average::Weighted)];
            for (word, average) in averages {
                assert_near(
                    &parts(found.average(average, rule)),
                    &numbers(&want(word)),
                    &format!("{name} {word}"),
                );
            }
            let each: Vec<[f64; 3]> = (0..classes).map(|class| parts(found.scores(class, rule))).collect();
            for (part, want) in want("None").as_array().expect("three lists").iter().enumerate() {
                let got: Vec<f64> = each.iter().map(|scores| scores[part]).collect();
                assert_near(&got, &numbers(want), name);
            }
        }
    }
}

#[test]
fn forecasts_have_the_bins_of_scikit_learn() {
    for case in golden("calibration") {
        let p = numbers(&case["p"]);
        let came: Vec<bool> = ids(&case["came"]).into_iter().map(|came| came == 1).collect();
        let bins =
            reliability(&p, &came, case["bins"].as_u64().expect("a count") as usize).expect("forecasts");
        let counts: Vec<Value> = bins.iter().map(|bin| bin.count.into()).collect();
        assert_eq!(Value::from(counts), case["counts"]);
        let filled = || bins.iter().filter(|bin| bin.count > 0);
        assert_near(
            &filled().map(|b| b.confidence).collect::<Vec<_>>(),
            &numbers(&case["confidence"]),
            "confidence",
        );
        assert_near(&filled().map(|b| b.accuracy).collect::<Vec<_>>(), &numbers(&case["share"]), "share");
        assert_near(&[expected_error(&bins)], &[number(&case["error"])], "error");
        assert_near(&[brier(&p, &came).expect("forecasts")], &[number(&case["brier"])], "Brier");
    }
}
