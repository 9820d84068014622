//! Tests in a process of their own: for variables that are read when the driver starts, and for counters and faults that all
//! tests of one process would share.

use std::env;
use std::process::Command;

const ALONE: &str = "WARPSMITH_TEST_ALONE";

/// Runs `work` in a process of its own, which starts as this test binary with the one test called `test`, and with these
/// variables.
///
/// # Panics
///
/// If the test fails there, or there is none of that name: with all that it printed.
pub fn alone(test: &str, variables: &[(&str, &str)], work: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        return work();
    }
    let text = started(&[test, "--exact", "--nocapture"], &[&[(ALONE, "1")], variables].concat());
    assert!(text.contains("1 passed"), "{text}");
    print!("{text}");
}

/// Runs all tests of this program in a process with these variables, but for `test`, which calls this, and those of `skipped`.
///
/// # Panics
///
/// If one fails there, or there is none: with all that it printed.
pub fn all_again(test: &str, variables: &[(&str, &str)], skipped: &[&str]) {
    let skips = [&[test], skipped].concat();
    let words: Vec<&str> = skips.iter().flat_map(|name| ["--skip", name]).collect();
    let text = started(&words, variables);
    assert!(!text.contains(" 0 passed"), "{text}");
}

/// What this program prints, started again with these words and variables.
fn started(words: &[&str], variables: &[(&str, &str)]) -> String {
    let program = env::current_exe().unwrap_or_else(|error| panic!("this program has no path: {error}"));
    let mut command = Command::new(program);
    command.args(words).envs(variables.iter().copied());
    let output =
        command.output().unwrap_or_else(|error| panic!("this program does not start again: {error}"));
    let [text, told] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{text}\n{told}");
    text
}
