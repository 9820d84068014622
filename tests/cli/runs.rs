//! `warpsmith runs`: what folders hold, and which of two models is better.

use serde_json::Value;

use super::{PLAIN, Place, refused, succeeded};
use crate::Checked;

/// Two runs, of 12 steps and of 1, in `runs`.
fn two_runs() -> Place {
    let place = Place::new();
    place.trained("runs/long", &PLAIN);
    place.trained("runs/short", &["--max_iters", "1", "--dropout", "0", "--n_embd", "12"]);
    place
}

#[test]
fn runs_are_listed_with_how_far_they_came() -> Checked {
    let place = two_runs();
    // As a run that was killed: its log ends before its last evaluation.
    let path = place.path("runs/short/log.jsonl");
    let log = std::fs::read_to_string(&path)?;
    std::fs::write(&path, log.lines().next().unwrap_or_default())?;
    let told = succeeded(&place.run(&["runs", "list"]));
    let row = |name: &str| told.lines().find(|line| line.contains(name)).unwrap_or_default().to_string();
    assert!(row("long").contains("12/12") && row("long").contains("| finished"), "{told}");
    assert!(row("long").contains("gpt 1 x 16, 2 heads, T 16"), "{told}");
    assert!(row("short").contains("0/1") && row("short").contains("| broken off"), "{told}");
    let json = succeeded(&place.run(&["runs", "list", "runs", "--json"]));
    let runs: Vec<Value> = json.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(runs.len(), 2);
    let trained = succeeded(&place.train("again", &PLAIN));
    assert!(trained.contains(&format!("model: {} parameters", runs[0]["parameters"])), "{trained}");
    // A damaged run is told of, and hides no other.
    std::fs::write(place.path("runs/short/config.toml"), "n_layers = 1\n")?;
    let told = succeeded(&place.run(&["runs", "list"]));
    assert!(told.contains("config.toml, line 1: unknown setting") && told.contains("finished"), "{told}");
    Ok(())
}

#[test]
fn two_models_are_compared_on_the_same_pieces() -> Checked {
    let place = two_runs();
    place.write("other.txt", "after that a line comes as the last.\n".repeat(40).as_bytes());
    let words = ["runs", "compare", "runs/long", "runs/short", "--data", "text.txt", "--data", "other.txt"];
    let extra = ["--piece", "200", "--draws", "300"];
    let told = succeeded(&place.run(&[&words[..], &extra].concat()));
    assert!(
        told.contains("| n_embd") && told.contains("| max_iters") && !told.contains("| n_layer"),
        "{told}"
    );
    let json: Value =
        serde_json::from_str(&succeeded(&place.run(&[&words[..], &extra, &["--json"]].concat())))?;
    let texts = json["texts"].as_array().ok_or("no texts")?;
    assert_eq!(texts.len(), 2);
    let number = |text: &Value, name: &str| text[name].as_f64().unwrap_or(f64::NAN);
    let first = &texts[0];
    assert!(number(first, "difference") < 0.0 && number(first, "p") < 0.05, "{first}");
    let (a, b) = (number(first, "a_bits_per_byte"), number(first, "b_bits_per_byte"));
    assert!((a - b - number(first, "difference")).abs() < 1e-12 && number(first, "a_better") == 1.0);
    // A model against itself.
    let same = ["runs", "compare", "runs/long", "runs/long", "--data", "text.txt", "--json"];
    let same: Value = serde_json::from_str(&succeeded(&place.run(&same)))?;
    assert_eq!((number(&same["texts"][0], "difference"), number(&same["texts"][0], "p")), (0.0, 1.0));
    Ok(())
}

#[test]
fn what_cannot_be_listed_or_compared_is_refused() {
    let place = Place::new();
    let cases: [(&[&str], i32, &str); 4] = [
        (&["runs", "list"], 1, "cannot read runs"),
        (&["runs", "list", "."], 1, "no run in it"),
        (&["runs", "compare", "a", "b"], 2, "a is no run folder"),
        (&["runs", "compare", "a", "b", "--data", "text.txt"], 1, "a is not a folder"),
    ];
    for (words, code, mention) in cases {
        let error = refused(&place.run(words), code);
        assert!(error.contains(mention), "{words:?}: {error}");
    }
    place.trained("run", &PLAIN);
    let words = ["runs", "compare", "run", "run", "--data", "text.txt", "--piece", "100000"];
    let error = refused(&place.run(&words), 1);
    assert!(error.contains("text.txt: 1 documents: a bootstrap needs at least 2"), "{error}");
}
