//! `selftest`, with nothing around it but the program.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Place, refused, succeeded};
use crate::Checked;

/// A copy of the program elsewhere, with an empty environment.
fn alone(place: &Place) -> Command {
    let program = place.path("copy");
    std::fs::copy(env!("CARGO_BIN_EXE_warpsmith"), &program).expect("the program can be copied");
    let mut command = Command::new(program);
    command.env_clear().current_dir(place.path("")).stdin(Stdio::null());
    command
}

#[test]
fn a_copy_of_the_program_tests_the_cpu_with_nothing_around_it() -> Checked {
    let place = Place::new();
    let words = ["selftest", "--device", "cpu", "--small", "--op", "softmax", "--json"];
    let found: Value = serde_json::from_str(&succeeded(&alone(&place).args(words).output()?))?;
    assert_eq!(
        (&found["passed"], &found["device"], &found["plan"]),
        (&true.into(), &"cpu".into(), &"small".into())
    );
    let checks = found["checks"].as_array().ok_or("no checks")?;
    let names: Vec<&str> = checks.iter().filter_map(|row| row["check"].as_str()).collect();
    assert_eq!(names, ["values", "gradients", "repeat", "rows"]);
    for row in checks {
        assert!(row["cases"].as_u64() > Some(0) && row["failures"] == 0, "{row}");
        assert!(row["by_spec"]["log_softmax"]["cases"].as_u64() > Some(0), "{row}");
        assert!(row["worst"].as_f64() <= Some(1.0), "{row}");
    }
    assert_eq!(found["failures"], Value::Array(Vec::new()));
    Ok(())
}

#[test]
fn the_last_line_is_the_verdict() -> Checked {
    let place = Place::new();
    let words =
        ["selftest", "--device", "cpu", "--small", "--op", "relu", "--check", "values", "--check", "rows"];
    let told = succeeded(&place.command().args(words).output()?);
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[0].starts_with("check") && lines[1].starts_with("values") && lines[2].starts_with("rows"),
        "{told}"
    );
    assert!(lines.last().is_some_and(|line| line.starts_with("selftest passed: ")), "{told}");
    Ok(())
}

#[test]
fn words_that_ask_for_nothing_are_refused() {
    let place = Place::new();
    let words: [(&[&str], &str); 3] = [
        (&["--device", "cpu", "--op", "no_such_op"], "no_such_op"),
        (&["--device", "cpu", "--small", "--whole"], "--small"),
        (&["--check", "luck"], "luck"),
    ];
    for (words, culprit) in words {
        let error = refused(&place.run(&[&["selftest"], words].concat()), 2);
        assert!(error.contains(culprit), "{error}");
    }
}
