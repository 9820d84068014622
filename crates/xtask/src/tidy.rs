//! `cargo xtask tidy`: the rules of this tree that neither rustc, clippy nor rustfmt checks.
//!
//! A rule is a function from the tree to its offences. [`RULES`] is the one list of them; the help text, the
//! check and the exceptions all follow from it.

mod allow;
mod dependencies;
mod links;
mod lints;
mod names;
mod orphans;
mod printing;
mod rust;
mod size;
mod tree;
mod unrun;
mod unsafety;
mod words;

use std::process::ExitCode;

use tree::Tree;

/// One rule: its name as printed with each offence, what it demands, and the check.
pub struct Rule {
    /// The word in brackets behind every offence.
    pub name: &'static str,
    /// What the rule demands, for the help text.
    pub about: &'static str,
    check: fn(&Tree) -> Vec<Offence>,
}

/// Every rule of the tree.
pub const RULES: &[Rule] = &[
    Rule { name: "size", about: "Rust files have at most 500 lines, CUDA files 300", check: size::check },
    Rule { name: "unsafe", about: "every `unsafe` says why it is sound", check: unsafety::comments },
    Rule {
        name: "forbid-unsafe",
        about: "every crate root forbids unsafe code, but those whose work needs it",
        check: unsafety::forbidden,
    },
    Rule { name: "layers", about: "dependencies point down the layers only", check: dependencies::layers },
    Rule { name: "cudarc", about: "only crates/tensor names cudarc", check: dependencies::cudarc },
    Rule { name: "members", about: "plain `cargo test` covers every crate", check: dependencies::members },
    Rule { name: "lints", about: "every crate takes the lints of the workspace", check: lints::check },
    Rule { name: "orphan", about: "every Rust file is compiled", check: orphans::check },
    Rule { name: "unrun", about: "no test where none is built", check: unrun::check },
    Rule { name: "unfinished", about: "no stub, no debug print, no skipped test", check: words::unfinished },
    Rule { name: "print", about: "commands print by the macros of cli/print.rs", check: printing::check },
    Rule { name: "path", about: "no absolute path of somebody's machine", check: words::machine_paths },
    Rule { name: "name", about: "files and modules are named after what they hold", check: names::check },
    Rule { name: "link", about: "every relative link of a Markdown file resolves", check: links::check },
];

/// A broken rule at a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offence {
    path: String,
    line: usize,
    message: String,
}

impl Offence {
    fn at(path: &str, line: usize, message: impl Into<String>) -> Self {
        Offence { path: path.to_owned(), line, message: message.into() }
    }
}

/// Checks the tree around the current folder and prints each offence as `file:line: [rule] message`.
pub fn run(arguments: &[String]) -> ExitCode {
    if let Some(unknown) = arguments.first() {
        eprintln!("xtask tidy: takes no argument, found `{unknown}`");
        return ExitCode::from(2);
    }
    let tree = match Tree::around_current_folder() {
        Ok(tree) => tree,
        Err(error) => {
            eprintln!("xtask tidy: {error}");
            return ExitCode::from(2);
        }
    };
    let offences = check(&tree, allow::EXCEPTIONS);
    for (rule, offence) in &offences {
        println!("{}:{}: [{rule}] {}", offence.path, offence.line, offence.message);
    }
    println!("tidy: {} files, {} rules, {} offences", tree.files.len(), RULES.len(), offences.len());
    if offences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All offences that no exception covers, and every exception that covers nothing, ordered by place.
fn check(tree: &Tree, exceptions: &[allow::Exception]) -> Vec<(&'static str, Offence)> {
    let mut used = vec![false; exceptions.len()];
    let mut left = Vec::new();
    for rule in RULES {
        for offence in (rule.check)(tree) {
            match exceptions.iter().position(|e| e.rule == rule.name && e.path == offence.path) {
                Some(index) => used[index] = true,
                None => left.push((rule.name, offence)),
            }
        }
    }
    for (exception, _) in exceptions.iter().zip(used).filter(|(_, used)| !used) {
        let message = format!("the exception for {} covers nothing: remove it", exception.path);
        left.push((exception.rule, Offence::at(allow::PATH, 1, message)));
    }
    left.sort_by(|a, b| a.1.cmp(&b.1));
    left
}

#[cfg(test)]
mod tests {
    use super::allow::Exception;
    use super::*;

    fn long_file() -> Tree {
        Tree::of(&[("examples/softmax.rs", &"\n".repeat(501))])
    }

    #[test]
    fn an_offence_is_reported_unless_an_exception_covers_it() {
        let found = check(&long_file(), &[]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "size");
        let excepted = Exception { rule: "size", path: "examples/softmax.rs", reason: "a test" };
        assert_eq!(check(&long_file(), &[excepted]), []);
    }

    #[test]
    fn an_exception_of_another_rule_covers_nothing_and_is_reported() {
        let other = Exception { rule: "name", path: "examples/softmax.rs", reason: "a test" };
        let rules: Vec<&str> = check(&long_file(), &[other]).iter().map(|(rule, _)| *rule).collect();
        assert_eq!(rules, ["name", "size"]);
    }

    #[test]
    fn every_exception_names_a_rule_and_gives_a_reason() {
        for exception in allow::EXCEPTIONS {
            assert!(RULES.iter().any(|rule| rule.name == exception.rule), "{}", exception.rule);
            assert!(exception.reason.len() > 20, "{}", exception.path);
        }
    }
}
