//! Tests in a process of their own: for counters and faults that all tests of one process would share.

use std::process::Command;

const ALONE: &str = "WARPSMITH_TEST_ALONE";

/// Runs `work` in a process of its own, which starts as this test binary with this one test.
pub fn alone(test: &str, variables: &[(&str, &str)], work: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return work();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(ALONE, "1").envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{told}");
}
