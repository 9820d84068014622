//! The script of `cargo xtask bundle` asks the program for nothing that the program does not have, and runs with it.

use std::collections::BTreeSet;

use super::{Place, succeeded};
use crate::Checked;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/xtask/src/bundle/run.sh");

/// The script's commands, a line each, without comments.
fn lines() -> Vec<String> {
    let script = std::fs::read_to_string(SCRIPT).expect("the script is there");
    let joined = script.replace("\\\n", " ");
    joined.lines().map(str::trim).filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// Every (command, flag) that the program is called with. The function `train NAME FLAGS...` hands its flags on.
fn asked() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for line in lines() {
        let (command, rest) = match (line.split_once("\"$program\" "), line.strip_prefix("train ")) {
            (Some((_, rest)), _) => rest.split_once(' ').unwrap_or((rest, "")),
            (None, Some(rest)) => ("train", rest),
            _ => continue,
        };
        let flags = rest.split_whitespace().filter(|word| word.starts_with("--"));
        found.extend(flags.map(|flag| (command.to_owned(), flag.to_owned())));
    }
    found
}

#[test]
fn each_flag_of_the_bundles_script_is_one_of_its_command() {
    let asked = asked();
    for expected in
        [("doctor", "--json"), ("selftest", "--check"), ("train", "--compile"), ("bench", "--preset")]
    {
        let (command, flag) = expected;
        assert!(asked.contains(&(command.to_owned(), flag.to_owned())), "{command} {flag} in {asked:?}");
    }
    let place = Place::new();
    for command in asked.iter().map(|(command, _)| command).collect::<BTreeSet<_>>() {
        let help = succeeded(&place.run(&[command, "--help"]));
        let known: BTreeSet<&str> = help
            .split(|c: char| c.is_whitespace() || ",[]<".contains(c))
            .filter(|word| word.starts_with("--"))
            .collect();
        for (_, flag) in asked.iter().filter(|(own, _)| own == command) {
            assert!(known.contains(flag.as_str()), "{command} has no {flag}: {known:?}");
        }
    }
}

/// What `cargo xtask bundle` tries with the release program, which takes minutes to build: the files of a bundle in a folder of
/// their own, and an empty environment.
#[cfg(target_os = "linux")]
#[test]
fn the_script_runs_the_program_elsewhere_with_an_empty_environment() -> Checked {
    let place = Place::new();
    let found: serde_json::Value = serde_json::from_str(&succeeded(&place.run(&["doctor", "--json"])))?;
    let emulator = found["emulator"].as_str().ok_or("no emulator")?;
    for (from, name) in [
        (env!("CARGO_BIN_EXE_warpsmith"), "warpsmith"),
        (emulator, "libwarpsmith_emulator.so"),
        (SCRIPT, "run.sh"),
    ] {
        std::fs::copy(from, place.path(name))?;
    }
    place.write("COMMIT", b"0123456789ab\n");
    let mut script = std::process::Command::new("/bin/sh");
    script.arg(place.path("run.sh")).args(["--device", "cpu", "--steps", "doctor,selftest", "--small"]);
    let told = succeeded(&script.env_clear().current_dir("/").output()?);
    for step in ["doctor", "selftest"] {
        let row = told.lines().find(|line| line.split_whitespace().next() == Some(step)).ok_or("no row")?;
        assert_eq!(row.split_whitespace().nth(1), Some("passed"), "{told}");
    }
    assert!(told.contains("0 failed") && told.contains("commit 0123456789ab"), "{told}");
    Ok(())
}
