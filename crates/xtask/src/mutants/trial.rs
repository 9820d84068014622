//! The tests, run with a bug in place of a built module.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::Failure;
use crate::kernels::toolchain::run;

/// The variable that the tests read: `<module>=<path of its PTX>`.
const PLANTED: &str = "WARPSMITH_PLANTED_PTX";
/// Seconds of processor time after which tests with a bug in them are ended. Without one they take a few.
const LIMIT: u32 = 600;

/// The kinds of the emulator's reports, which stand before the sentence.
const CHECKS: &[&str] = &[
    "InvalidLaunch",
    "OutOfBounds",
    "UseAfterFree",
    "Misaligned",
    "Uninitialised",
    "Race",
    "PendingCopy",
    "BarrierDivergence",
    "Deadlock",
    "Timeout",
    "Trap",
    "Undefined",
];

/// What became of a bug.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// Tests failed: the checks of the emulator that fired, and whether a result was wrong.
    Caught { checks: BTreeSet<String>, by_value: bool },
    /// The process ended otherwise than by failing tests.
    Ended(String),
    /// Every test passed.
    Survived,
}

impl Outcome {
    /// In a few words.
    pub fn name(&self) -> String {
        match self {
            Self::Caught { checks, by_value } => {
                let words = checks.iter().map(String::as_str).chain(by_value.then_some("value"));
                words.collect::<Vec<_>>().join(" + ")
            }
            Self::Ended(how) => how.clone(),
            Self::Survived => "uncaught".to_owned(),
        }
    }
}

/// The built tests of the kernels.
pub struct Tests {
    binary: PathBuf,
    folder: PathBuf,
}

impl Tests {
    /// Builds them.
    pub fn build(kernels: &Path) -> Result<Self, Failure> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.current_dir(kernels).args(["test", "--quiet", "--package", "warpsmith-kernels"]);
        build.args(["--test", "emulated", "--no-run", "--message-format", "json-render-diagnostics"]);
        let messages = run(&mut build)?;
        let binary = messages.lines().filter_map(executable).next_back();
        let binary = binary.ok_or("cargo names no executable for the kernels' emulated tests")?;
        Ok(Self { binary: binary.into(), folder: kernels.to_owned() })
    }

    /// Runs those that the filters name, with the PTX in place of the module's.
    pub fn run(&self, filters: &str, planted: Option<(&str, &Path)>) -> Result<Outcome, Failure> {
        let mut tests = Command::new("sh");
        tests.args(["-c", &format!("ulimit -t {LIMIT}; exec \"$0\" \"$@\"")]).arg(&self.binary);
        tests.args(["--test-threads", "1"]).args(filters.split_whitespace()).current_dir(&self.folder);
        tests.env_remove(PLANTED).env_remove("RUST_BACKTRACE");
        if let Some((module, ptx)) = planted {
            tests.env(PLANTED, format!("{module}={}", ptx.display()));
        }
        let output = tests.output().map_err(|error| format!("sh does not start: {error}"))?;
        judge(filters, &output)
    }
}

/// The path in one of cargo's messages, if it has one.
fn executable(message: &str) -> Option<&str> {
    message.split_once("\"executable\":\"")?.1.split('"').next()
}

fn judge(filters: &str, output: &Output) -> Result<Outcome, Failure> {
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("running 0 tests") {
        return Err(format!("no test is called like `{filters}`"));
    }
    match output.status.code() {
        Some(0) => Ok(Outcome::Survived),
        // What the test harness says if a test failed.
        Some(101) if text.contains("test result: FAILED") => reasons(&text),
        _ if output.status.to_string().contains("SIGXCPU") => Ok(Outcome::Ended("time limit".to_owned())),
        _ => Ok(Outcome::Ended(format!("crash, {}", output.status))),
    }
}

/// The first lines of what failing tests say.
fn reasons(text: &str) -> Result<Outcome, Failure> {
    let (mut checks, mut by_value) = (BTreeSet::new(), false);
    let mut lines = text.lines();
    while lines.by_ref().any(|line| line.contains("' panicked at ") || line.contains(") panicked at ")) {
        let message = lines.next().unwrap_or("");
        let head = message.split(": ").next().unwrap_or("");
        if head.ends_with(".ptx") || head == "UnsupportedInstruction" {
            return Err(format!("the emulator cannot run it: {message}"));
        }
        match CHECKS.contains(&head) {
            true => _ = checks.insert(head.to_owned()),
            false => by_value = true,
        }
    }
    match checks.is_empty() && !by_value {
        true => Err(format!("tests failed and did not say why:\n{text}")),
        false => Ok(Outcome::Caught { checks, by_value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_told_from_wrong_values() {
        let text = "---- a stdout ----\n\nthread 'a' (7) panicked at gpu.rs:1:1:\nRace: k: block (0,0,0)\n\
                    thread 'b' panicked at gpu.rs:2:2:\nsoftmax: element 3 is 1, expected 2\n";
        assert_eq!(reasons(text).unwrap().name(), "Race + value");
        let text = "thread 'b' panicked at gpu.rs:2:2:\nassertion `left == right` failed\n";
        assert_eq!(reasons(text).unwrap(), Outcome::Caught { checks: BTreeSet::new(), by_value: true });
    }

    #[test]
    fn what_the_emulator_cannot_run_is_not_taken_for_a_catch() {
        for line in ["softmax.ptx: line 3: what?", "UnsupportedInstruction: k: block"] {
            let text = format!("thread 'a' panicked at gpu.rs:1:1:\n{line}\n");
            assert!(reasons(&text).unwrap_err().contains("cannot run"));
        }
        assert!(reasons("nothing").is_err());
    }

    #[test]
    fn the_executable_is_found_in_cargos_messages() {
        let message = r#"{"reason":"compiler-artifact","executable":"/a/b-1","fresh":true}"#;
        assert_eq!(executable(message), Some("/a/b-1"));
        assert_eq!(executable(r#"{"executable":null}"#), None);
    }
}
