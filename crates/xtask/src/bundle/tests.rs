use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use super::*;

/// Stands for the program: tells what it was asked, and answers as the program does.
const STAND_IN: &str = r#"#!/bin/sh
echo "$*" >> "${0%/*}/asked"
case $1 in
    doctor) echo '{ "nvidia_driver": "580.1", "gpus": [ { "name": "H1 \"x\"" } ] }' ;;
    selftest) [ -e "${0%/*}/sick" ] && { echo 'error: softmax is wrong' >&2; exit 1; }
        echo '{ "cases": 123, "passed": true }' ;;
    train)
        while [ "$1" != --out_dir ]; do shift; done
        mkdir -p "$2"
        gap=0
        [ -e "${0%/*}/drifts" ] && [ "$4" = cuda ] && gap=3
        [ -e "${0%/*}/records" ] && [ "$6" = true ] && gap=3
        for step in 1 2 3 4; do
            echo "{\"step\":$step,\"train/loss\":4.0${gap}1,\"lr\":1}"
        done > "$2/log.jsonl" ;;
    bench) [ -e "${0%/*}/benchless" ] && { echo "error: unrecognized subcommand 'bench'" >&2; exit 2; }
        echo '{}' ;;
    *) exit 2 ;;
esac
"#;

/// One bundle at a time: a child that another thread starts while a program is being written holds the file open, and
/// Linux runs no program that somebody may still write to (`ETXTBSY`).
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A bundle of the stand-in in a folder of its own, which goes with it.
struct Bundle {
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Bundle {
    fn new() -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let [parts_in, made, elsewhere] = ["parts", "made", "elsewhere"].map(|name| folder.path().join(name));
        fs::create_dir_all(&parts_in).unwrap();
        let parts = Parts {
            program: parts_in.join("program"),
            library: parts_in.join(LIBRARY),
            commit: "abc123".to_owned(),
        };
        fs::write(&parts.program, STAND_IN).unwrap();
        make_executable(&parts.program).unwrap();
        fs::write(&parts.library, "a library").unwrap();
        bundle(&parts, &made).unwrap();
        // Nothing may be found where it was made.
        copy_folder(&made, &elsewhere).unwrap();
        fs::remove_dir_all(made).unwrap();
        fs::remove_dir_all(parts_in).unwrap();
        Self { folder, _turn: turn }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("elsewhere").join(name)
    }

    /// Runs the script with an empty environment; its exit code and what it printed.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(self.file("run.sh"));
        let output = command.args(arguments).env_clear().current_dir("/").output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    fn summary(&self) -> String {
        fs::read_to_string(self.file("results/summary.json")).unwrap()
    }
}

#[test]
fn the_folder_runs_elsewhere_with_an_empty_environment() {
    let bundle = Bundle::new();
    let (code, table) = bundle.run(&[]);
    assert_eq!(code, Some(0), "{table}");
    let asked = fs::read_to_string(bundle.file("asked")).unwrap();
    assert!(asked.contains("selftest --device cuda --json"), "{asked}");
    assert_eq!(asked.matches("\ntrain --n_layer").count(), 3, "{asked}");
    assert!(asked.contains("--device cuda --compile false\n"), "{asked}");
    assert!(asked.contains("--device cuda --compile true\n"), "{asked}");
    for line in [
        "selftest           passed",
        "eager = cpu        passed",
        "captured = eager   passed",
        "bench-adamw        passed",
        "0 failed, 0 had no time",
    ] {
        assert!(table.contains(line), "no `{line}` in\n{table}");
    }
    let summary = bundle.summary();
    let head = r#"{"commit": "abc123", "#;
    assert!(summary.starts_with(head) && summary.contains(r#""driver": "580.1", "failed": 0"#), "{summary}");
}

#[test]
fn a_failing_selftest_is_told_with_its_reason() {
    let bundle = Bundle::new();
    fs::write(bundle.file("sick"), "").unwrap();
    let (code, table) = bundle.run(&["--steps", "doctor,selftest"]);
    assert_eq!(code, Some(1), "{table}");
    assert!(table.contains("FAILED") && table.contains("error: softmax is wrong"), "{table}");
    assert!(bundle.summary().contains(r#""failed": 1"#));
}

#[test]
fn losses_that_part_fail() {
    let bundle = Bundle::new();
    fs::write(bundle.file("drifts"), "").unwrap();
    let (code, table) = bundle.run(&["--steps", "train"]);
    assert_eq!(code, Some(1), "{table}");
    assert!(table.contains("eager = cpu        FAILED"), "{table}");
    assert!(table.contains("captured = eager   passed"), "{table}");
}

#[test]
fn a_recorded_step_that_loses_otherwise_fails() {
    let bundle = Bundle::new();
    fs::write(bundle.file("records"), "").unwrap();
    let (code, table) = bundle.run(&["--steps", "train"]);
    assert_eq!(code, Some(1), "{table}");
    assert!(table.contains("eager = cpu        passed"), "{table}");
    assert!(table.contains("captured = eager   FAILED"), "{table}");
}

#[test]
fn a_program_without_what_a_step_needs_fails() {
    let bundle = Bundle::new();
    fs::write(bundle.file("benchless"), "").unwrap();
    let (code, table) = bundle.run(&["--steps", "bench"]);
    assert_eq!(code, Some(1), "{table}");
    assert!(table.contains("bench-softmax      FAILED") && table.contains("unrecognized"), "{table}");
}

#[test]
fn a_run_without_time_is_no_success() {
    let bundle = Bundle::new();
    let (code, table) = bundle.run(&["--steps", "doctor,selftest", "--minutes", "0"]);
    assert_eq!(code, Some(3), "{table}");
    assert!(table.contains("selftest           no time"), "{table}");
    assert!(table.contains("0 failed, 2 had no time"), "{table}");
    assert!(bundle.summary().contains(r#""no_time": 2"#));
}

#[test]
fn unknown_words_are_refused() {
    let bundle = Bundle::new();
    assert_eq!(bundle.run(&["--steps", "dance"]).0, Some(2));
    assert_eq!(bundle.run(&["--devices", "cpu"]).0, Some(2));
}

#[test]
fn a_folder_that_is_no_bundle_is_left_alone() {
    let precious = tempfile::tempdir().unwrap();
    let folder = precious.path();
    fs::write(folder.join("letter"), "dear").unwrap();
    let parts = Parts { program: "none".into(), library: "none".into(), commit: String::new() };
    assert!(super::bundle(&parts, folder).unwrap_err().contains("is no bundle"));
    assert_eq!(fs::read_to_string(folder.join("letter")).unwrap(), "dear");
}

#[test]
fn a_program_for_a_newer_system_is_refused() {
    let of = |text: &str| newest_glibc(text.as_bytes());
    assert_eq!(of("libc.so.6\0GLIBC_2.9\0GLIBC_2.17\0GLIBC_2.2.5\0GLIBC_PRIVATE\0"), Some([2, 17]));
    assert_eq!(of("GLIBC_2.99 in a sentence, GLIBC_, and GLIBC_3"), None);
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    fs::write(&program, "\0GLIBC_2.34\0").unwrap();
    check_glibc(&program).unwrap();
    fs::write(&program, "\0GLIBC_2.34\0GLIBC_2.38\0").unwrap();
    let refused = check_glibc(&program).unwrap_err();
    assert!(refused.contains("asks for glibc 2.38") && refused.contains("may have 2.34"), "{refused}");
}
