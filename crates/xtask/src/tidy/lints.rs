//! Lints: a crate that does not ask for the lints of the workspace silently has none.

use super::{Offence, tree::Tree};

/// Crates without `[lints] workspace = true`, and sources that switch the lint for SAFETY notes off.
pub fn check(tree: &Tree) -> Vec<Offence> {
    let mut found = Vec::new();
    for manifest in tree.manifests() {
        let lints = manifest.text.split_once("\n[lints]\n").map_or("", |(_, rest)| rest);
        if lints.lines().next().is_none_or(|line| line.replace(' ', "") != "workspace=true") {
            let message = "the manifest lacks `[lints]` with `workspace = true`";
            found.push(Offence::at(&manifest.path, 1, message));
        }
    }
    for (file, source) in tree.rust() {
        for (line, code) in source.code_lines() {
            if code.contains("undocumented_unsafe_blocks") {
                found.push(Offence::at(
                    &file.path,
                    line,
                    "write the SAFETY note, do not switch its lint off",
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_without_the_lints_of_the_workspace_is_found() {
        let good = "[package]\nname = \"warpsmith-ops\"\n\n[lints]\nworkspace = true\n";
        assert_eq!(check(&Tree::of(&[("crates/ops/Cargo.toml", good)])), []);
        let bad = "[package]\nname = \"warpsmith-ops\"\n\n[lints]\nrust = {}\n";
        assert_eq!(check(&Tree::of(&[("crates/ops/Cargo.toml", bad)])).len(), 1);
    }

    #[test]
    fn switching_the_lint_for_safety_notes_off_is_found() {
        let text = "\n#![allow(clippy::undocumented_unsafe_blocks)]\n";
        let found = check(&Tree::of(&[("crates/ops/src/lib.rs", text)]));
        assert_eq!((found.len(), found[0].line), (1, 2));
    }
}
