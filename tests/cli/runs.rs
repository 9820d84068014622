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
        (&["runs", "compare", "a", "b", "--data", "text.txt"], 1, "a does not exist"),
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

#[test]
fn two_files_of_answers_are_compared_question_by_question() -> Checked {
    let place = Place::new();
    let lines =
        |of: &dyn Fn(usize) -> &'static str| (0..60).map(|i| of(i).to_string() + "\n").collect::<String>();
    let truth = lines(&|i| ["pos", "neg"][i % 2]);
    place.write("truth.tsv", format!("label\n{truth}").as_bytes());
    // B is wrong where 5 divides the number, A where 20 does.
    let wrong = |every: usize| lines(&|i| if i % every == 0 { "none" } else { ["pos", "neg"][i % 2] });
    place.write("a.txt", wrong(20).as_bytes());
    place.write("b.txt", wrong(5).as_bytes());
    let json: String = wrong(20).lines().map(|word| format!("{{\"label\": \"{word}\"}}\n")).collect();
    place.write("a.jsonl", json.as_bytes());
    let right = ["--references", "truth.tsv", "--reference_column", "label"];
    let compare = |words: &[&str]| -> Result<Value, Box<dyn std::error::Error>> {
        let told = place.run(&[&["runs", "compare"], words, &["--draws", "400", "--json"]].concat());
        Ok(serde_json::from_str(&succeeded(&told))?)
    };
    let accuracy = compare(&[&["a.txt", "b.txt", "--metric", "accuracy"], &right[..]].concat())?;
    let number = |told: &Value, name: &str| told[name].as_f64().unwrap_or(f64::NAN);
    assert_eq!((number(&accuracy, "a_score"), number(&accuracy, "b_score")), (0.95, 0.8));
    assert!(
        (number(&accuracy, "difference") - 0.15).abs() < 1e-12 && number(&accuracy, "p") < 0.05,
        "{accuracy}"
    );
    assert!(
        number(&accuracy, "a_better") > 0.99 && accuracy["interval"][0].as_f64() > Some(0.0),
        "{accuracy}"
    );
    let counts = (&accuracy["draws"], &accuracy["seed"], &accuracy["answers"]);
    assert_eq!(counts, (&Value::from(400), &Value::from(1337), &Value::from(60)));
    // A against itself, from a file of another form.
    let same = ["a.jsonl", "a.jsonl", "--metric", "f1", "--hypothesis_column", "label"];
    let same = compare(&[&same[..], &right[..]].concat())?;
    assert_eq!((number(&same, "difference"), number(&same, "p"), number(&same, "a_better")), (0.0, 1.0, 0.5));

    // As `eval --metric` has it.
    place.write("said.txt", "the cat sat on the mat\na dog ran far away today\n".repeat(5).as_bytes());
    place.write("other.txt", "the cat lay on a mat\na dog ran far away today\n".repeat(5).as_bytes());
    place.write("right.txt", "the cat sat on the mat\nthe dog ran far away today\n".repeat(5).as_bytes());
    for (metric, name) in [("bleu", "bleu"), ("rouge-l", "rouge-l f1")] {
        let told = compare(&["said.txt", "other.txt", "--metric", metric, "--references", "right.txt"])?;
        let words =
            ["eval", "--metric", metric.trim_end_matches("-l"), "--references", "right.txt", "--json"];
        for (file, key) in [("said.txt", "a_score"), ("other.txt", "b_score")] {
            let eval = succeeded(&place.run(&[&words[..], &["--hypotheses", file]].concat()));
            let eval: Value = serde_json::from_str(&eval)?;
            assert!((number(&told, key) - number(&eval, name)).abs() < 1e-9, "{metric}: {told} {eval}");
        }
    }
    let told = ["runs", "compare", "said.txt", "other.txt", "--metric", "bleu", "--references", "right.txt"];
    let told = succeeded(&place.run(&told));
    assert!(
        told.contains("paired bootstrap of 2000 draws, seed 1337") && told.contains("nrefs:1|"),
        "{told}"
    );

    place.write("short.txt", b"pos\nneg\n");
    place.write("scores.txt", b"1.5\nhigh\n");
    let cases: [(&[&str], i32, &str); 6] = [
        (
            &["a.txt", "short.txt", "--metric", "accuracy"],
            1,
            "a.txt, line 3: no partner for it: short.txt has 2 lines",
        ),
        (&["short.txt", "short.txt", "--metric", "f1"], 1, "truth.tsv, line 3: no partner for it"),
        (&["a.txt", "b.txt", "--metric", "blue"], 2, "blue"),
        (&["a.txt", "b.txt", "--metric", "score"], 2, "takes no --references"),
        (&["a.txt", "b.txt"], 2, "--references is for answers in files"),
        (&["a.txt", "b.txt", "--metric", "f1", "--data", "text.txt"], 2, "--data is for models"),
    ];
    for (words, code, mention) in cases {
        let error = refused(&place.run(&[&["runs", "compare"], words, &right].concat()), code);
        assert!(error.contains(mention), "{words:?}: {error}");
    }
    let words = ["runs", "compare", "scores.txt", "scores.txt", "--metric", "score"];
    let error = refused(&place.run(&words), 1);
    assert!(error.contains("scores.txt, line 2: `high` is no finite number"), "{error}");
    Ok(())
}
