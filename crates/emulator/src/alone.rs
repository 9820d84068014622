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
    let program = env::current_exe().unwrap_or_else(|error| panic!("this program has no path: {error}"));
    let mut command = Command::new(program);
    command.args([test, "--exact", "--nocapture"]).env(ALONE, "1").envs(variables.iter().copied());
    let output = command.output().unwrap_or_else(|error| panic!("{test} does not start again: {error}"));
    let [text, told] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{told}");
    print!("{text}");
}
