//! Tests that nothing runs: a library that is not built for tests (`test = false`, to spare the time) has none in its sources.

use super::{Offence, tree::Tree};

/// Unit tests in the sources of such a library.
pub fn check(tree: &Tree) -> Vec<Offence> {
    let mut found = Vec::new();
    for manifest in tree.manifests().filter(|manifest| is_not_built_for_tests(&manifest.text)) {
        let sources = manifest.path.replace("Cargo.toml", "src/");
        for (file, source) in tree.rust().filter(|(file, _)| file.path.starts_with(&sources)) {
            for (line, code) in source.code_lines() {
                if code.contains("#[test]") || code.contains("cfg(test)") {
                    let message = "this crate's library is not built for tests: write the test in tests/";
                    found.push(Offence::at(&file.path, line, message));
                }
            }
        }
    }
    found
}

fn is_not_built_for_tests(manifest: &str) -> bool {
    let library = manifest.split_once("\n[lib]\n").map_or("", |(_, rest)| rest);
    library
        .lines()
        .take_while(|line| !line.starts_with('['))
        .any(|line| line.replace(' ', "") == "test=false")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_not_built_is_found() {
        let source = ("crates/ops/src/add.rs", "fn add() {}\n#[test]\nfn adds() {}\n");
        let found = |manifest| check(&Tree::of(&[("crates/ops/Cargo.toml", manifest), source]));
        let [offence] = &found("[package]\n\n[lib]\ntest = false\n\n[lints]\n")[..] else { panic!() };
        assert_eq!((offence.path.as_str(), offence.line), ("crates/ops/src/add.rs", 2));
        assert_eq!(found("[package]\n\n[lib]\npath = \"src/lib.rs\"\n\n[lints]\ntest = false\n"), []);
    }
}
