//! Names: a file called after nothing in particular collects everything in particular.

use super::{Offence, tree::Tree};

/// Words that say nothing about what a file holds.
const EMPTY: &[&str] = &["util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"];

/// Files, folders and modules with an empty word, or a version number, in their name.
pub fn check(tree: &Tree) -> Vec<Offence> {
    let mut found = Vec::new();
    for file in &tree.files {
        for part in file.path.split('/') {
            let stem = part.split('.').next().unwrap_or(part);
            found.extend(complaint(stem).map(|message| Offence::at(&file.path, 1, message)));
        }
    }
    for (file, source) in tree.rust() {
        for (line, code) in source.code_lines() {
            let name =
                code.split_once("mod ").filter(|(before, _)| is_visibility(before)).map(|(_, rest)| rest);
            let name = name.map(|rest| rest.trim().trim_end_matches([';', '{', ' ']));
            found.extend(name.and_then(complaint).map(|message| Offence::at(&file.path, line, message)));
        }
    }
    found
}

fn is_visibility(before: &str) -> bool {
    let before = before.trim();
    before.is_empty() || before.starts_with("pub")
}

fn complaint(name: &str) -> Option<String> {
    let words = || name.split(['_', '-']);
    if let Some(word) = words().find(|word| EMPTY.contains(word)) {
        return Some(format!("`{word}` in the name `{name}` says nothing: name what it holds"));
    }
    let versioned = |word: &&str| {
        let digits = word.strip_prefix('v').unwrap_or("");
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    words().find(versioned).map(|word| format!("`{word}` in the name `{name}` is a version number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_words_and_versions_in_paths_are_found() {
        for path in
            ["crates/ops/src/util.rs", "tests/common/mod.rs", "a/string_utils.py", "kernels/softmax_v2.cu"]
        {
            assert_eq!(check(&Tree::of(&[(path, "")])).len(), 1, "{path}");
        }
        assert_eq!(check(&Tree::of(&[("crates/ops/src/commonwealth.rs", "mod utility;")])), []);
    }

    #[test]
    fn empty_words_in_module_names_are_found_with_their_line() {
        let text = "// mod helpers;\nmod fine;\npub(crate) mod helpers {\n}\n";
        let found = check(&Tree::of(&[("src/lib.rs", text)]));
        assert_eq!(found.iter().map(|o| o.line).collect::<Vec<_>>(), [3]);
    }
}
