//! Words that do not belong into finished work.

use super::{Offence, tree::Tree};

/// Macros that stand for work not done or for a print left behind.
const MACROS: &[&str] = &["todo!", "unimplemented!", "dbg!"];
/// Marks in comments, in whatever language.
const MARKS: &[&str] = &["FIXME", "TODO", "XXX"];
/// Top folders of somebody's machine.
const MACHINE: &[&str] = &["/home/", "/root/", "/work/", "/Users/"];
/// Fine in a test, which cleans up behind itself; never in what is shipped.
const SCRATCH: &[&str] = &["/tmp/"];

/// Stubs, debug prints, skipped tests and notes to self.
pub fn unfinished(tree: &Tree) -> Vec<Offence> {
    let mut found = Vec::new();
    for file in &tree.files {
        let mut report = |line: usize, word: &str| {
            found.push(Offence::at(
                &file.path,
                line,
                format!("`{word}`: finish it, or open an issue and remove this"),
            ));
        };
        if let Some(source) = &file.rust {
            for (line, code) in source.code_lines() {
                MACROS.iter().filter(|word| has_word(code, word)).for_each(|word| report(line, word));
                if has_word(code, "#[ignore") || (code.contains("cfg_attr(") && has_word(code, "ignore")) {
                    report(line, "#[ignore]");
                }
            }
            for (line, comment) in source.comment_lines() {
                MARKS.iter().filter(|word| has_word(comment, word)).for_each(|word| report(line, word));
                if comment.contains("```") && has_word(comment, "ignore") {
                    report(line, "```ignore");
                }
            }
        } else if matches!(file.extension(), "cu" | "cuh" | "py" | "sh" | "toml") {
            for (index, text) in file.text.lines().enumerate() {
                MARKS.iter().filter(|word| has_word(text, word)).for_each(|word| report(index + 1, word));
            }
        }
    }
    found
}

/// Absolute paths of a machine, in any text file.
pub fn machine_paths(tree: &Tree) -> Vec<Offence> {
    let mut found = Vec::new();
    for file in &tree.files {
        for (index, text) in file.text.lines().enumerate() {
            let line = index + 1;
            let is_test = file.is_test() || file.rust.as_ref().is_some_and(|source| source.is_test(line));
            let scratch = SCRATCH.iter().filter(|_| !is_test);
            for folder in MACHINE.iter().chain(scratch).filter(|folder| has_absolute(text, folder)) {
                let message = format!("`{folder}` is a path of one machine: take it from an argument");
                found.push(Offence::at(&file.path, line, message));
            }
        }
    }
    found
}

/// True if `word` occurs and is not a part of a longer word.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let whole_before = !text[..at].ends_with(is_part) || !word.starts_with(is_part);
        let whole_behind = !text[at + word.len()..].starts_with(is_part) || !word.ends_with(is_part);
        whole_before && whole_behind
    })
}

/// True if `folder` occurs as the beginning of a path, not inside a longer one or an address.
fn has_absolute(text: &str, folder: &str) -> bool {
    let is_inside = |c: char| c.is_alphanumeric() || "._-/~})]$".contains(c);
    text.match_indices(folder).any(|(at, _)| !text[..at].ends_with(is_inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unfinished_lines(path: &str, text: &str) -> Vec<usize> {
        unfinished(&Tree::of(&[(path, text)])).iter().map(|o| o.line).collect()
    }

    fn path_lines(path: &str, text: &str) -> Vec<usize> {
        machine_paths(&Tree::of(&[(path, text)])).iter().map(|o| o.line).collect()
    }

    #[test]
    fn unfinished_rust_is_found() {
        for text in [
            "fn f() { todo!() }",
            "unimplemented!(\"x\")",
            "dbg!(x)",
            "#[ignore]",
            "#[ignore = \"slow\"]",
            "// FIXME: x",
        ] {
            assert_eq!(unfinished_lines("src/a.rs", text), [1], "{text}");
        }
        assert_eq!(unfinished_lines("src/a.rs", "\n#[cfg_attr(windows, ignore)]"), [2]);
        assert_eq!(unfinished_lines("src/a.rs", "/// ```ignore\n/// f()\n/// ```"), [1]);
        assert_eq!(unfinished_lines("src/a.rs", "//! ```rust,ignore\n//! f()\n//! ```"), [1]);
        assert_eq!(
            unfinished_lines("src/a.rs", "let s = \"todo!()\"; // todo!\nlet ignore_index = 1; my_dbg!(x)"),
            []
        );
    }

    #[test]
    fn marks_in_other_languages_are_found() {
        assert_eq!(unfinished_lines("kernels/a.cu", "\n// FIXME"), [2]);
        assert_eq!(unfinished_lines("benches/a.py", "x = 1  # TODO: y"), [1]);
        assert_eq!(unfinished_lines("README.md", "The word TODO is banned in code."), []);
    }

    #[test]
    fn paths_of_a_machine_are_found_in_every_text_file() {
        for (path, text) in [
            ("a.rs", "// see /home/ann/x"),
            ("a.md", "`/root/x`"),
            ("a.toml", "x = \"/work/y\""),
            ("a.py", "'/tmp/z'"),
        ] {
            assert_eq!(path_lines(path, text), [1], "{path}");
        }
        assert_eq!(path_lines("a.md", "https://a.org/home/x ../work/y ~/work/z $DIR/tmp/q"), []);
    }

    #[test]
    fn scratch_folders_are_for_tests() {
        let text =
            "const A: &str = \"/tmp/a\";\n#[cfg(test)]\nmod tests {\n    const B: &str = \"/tmp/b\";\n}\n";
        assert_eq!(path_lines("src/a.rs", text), [1]);
        assert_eq!(path_lines("tests/a.rs", "const A: &str = \"/tmp/a\";"), []);
        assert_eq!(path_lines("tests/a.rs", "const A: &str = \"/home/a\";"), [1]);
    }
}
