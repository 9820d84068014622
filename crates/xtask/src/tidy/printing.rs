//! How commands print: a macro of the standard library's panics when nobody reads, or when the disk is full.

use super::words::has_word;
use super::{Offence, tree::Tree};

/// Where the rule holds.
const COMMANDS: &str = "crates/warpsmith/src/cli/";
/// What panics there, and what does not.
const MACROS: &[(&str, &str)] = &[
    ("println!", "`say!(..)?`, or `show!` for progress"),
    ("print!", "`put!(..)?`"),
    ("eprintln!", "`note!`"),
    ("eprint!", "`murmur!`"),
];

/// Every print of the command that could end it by a panic.
pub fn check(tree: &Tree) -> Vec<Offence> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.starts_with(COMMANDS)) {
        let Some(source) = &file.rust else { continue };
        for (line, code) in source.code_lines().filter(|(line, _)| !source.is_test(*line)) {
            for (name, better) in MACROS.iter().filter(|(name, _)| has_word(code, name)) {
                let message = format!("`{name}` panics if it cannot write: use {better}");
                found.push(Offence::at(&file.path, line, message));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_of_commands_are_found() {
        let lines = |path: &str, text: &str| -> Vec<usize> {
            check(&Tree::of(&[(path, text)])).iter().map(|offence| offence.line).collect()
        };
        let command = "crates/warpsmith/src/cli/ops.rs";
        for name in ["println!", "print!", "eprintln!", "eprint!"] {
            assert_eq!(lines(command, &format!("fn f() {{\n    {name}(\"x\");\n}}")), [2], "{name}");
        }
        assert_eq!(lines(command, "// println!(x)\nlet s = \"println!\"; note!(\"x\"); say!(\"x\")?;"), []);
        assert_eq!(lines(command, "#[cfg(test)]\nmod tests {\n    fn f() { println!(\"x\"); }\n}"), []);
        assert_eq!(lines("crates/xtask/src/main.rs", "println!(\"x\");"), []);
    }
}
