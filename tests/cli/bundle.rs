//! The script of `cargo xtask bundle` asks the program for nothing that the program does not have.

use std::collections::BTreeSet;

use super::{Place, succeeded};

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
