//! File length: one idea fits a file that a reader can hold in mind.

use super::{Offence, tree::Tree};

/// Longest Rust file, in lines.
const RUST: usize = 500;
/// Longest CUDA file, in lines.
const CUDA: usize = 300;

/// Rust and CUDA files above their limit.
pub fn check(tree: &Tree) -> Vec<Offence> {
    let mut found = Vec::new();
    for file in &tree.files {
        let limit = match file.extension() {
            "rs" => RUST,
            "cu" | "cuh" => CUDA,
            _ => continue,
        };
        let lines = file.text.lines().count();
        if lines > limit {
            let message = format!("{lines} lines, the limit is {limit}: divide it by idea");
            found.push(Offence::at(&file.path, limit + 1, message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_at_the_limit_pass_and_one_line_more_fails() {
        for (path, limit) in [("a.rs", RUST), ("a.cu", CUDA), ("a.cuh", CUDA)] {
            assert_eq!(check(&Tree::of(&[(path, &"\n".repeat(limit))])), []);
            let found = check(&Tree::of(&[(path, &"\n".repeat(limit + 1))]));
            assert_eq!((found.len(), found[0].line), (1, limit + 1));
        }
        assert_eq!(check(&Tree::of(&[("a.md", &"\n".repeat(9999))])), []);
    }
}
