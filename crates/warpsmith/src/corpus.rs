//! The text that the library carries along: this repository's own sources.

/// Prose, sources and kernels of this repository as of the build, without tests, at most 3.5 MB, nearly all ASCII. Each file
/// comes after a line `=== path ===` with its path in the repository; files of different folders stand side by side, so that
/// the end is of the same kinds as the beginning.
pub const EMBEDDED: &str = include_str!(concat!(env!("OUT_DIR"), "/corpus.txt"));

#[cfg(test)]
mod tests {
    use super::EMBEDDED;

    #[test]
    fn every_part_of_the_engine_is_in_it() {
        let names: Vec<&str> =
            EMBEDDED.lines().filter_map(|line| line.strip_prefix("=== ")?.strip_suffix(" ===")).collect();
        for name in [
            "README.md",
            "ARCHITECTURE.md",
            "kernels/softmax.cu",
            "crates/ops/src/softmax.rs",
            "crates/tensor/src/shape.rs",
            "crates/autograd/src/tape.rs",
            "crates/model/src/gpt.rs",
            "crates/text/src/corpus.rs",
            "crates/train/src/run.rs",
            "examples/01_tensor.rs",
        ] {
            assert_eq!(names.iter().filter(|own| **own == name).count(), 1, "{name}");
        }
        assert!(!names.iter().any(|name| name.contains("/tests/") || name.starts_with("crates/emulator/")));
        assert!(!EMBEDDED.contains("\n#[cfg(test)]\nmod tests"));
        assert!(EMBEDDED.len() <= 3_500_000);
    }

    #[test]
    fn the_part_held_out_is_of_every_kind() {
        let held: String = EMBEDDED.chars().skip(EMBEDDED.chars().count() / 10 * 9).collect();
        for folder in ["crates/ops/", "crates/model/", "crates/train/", "kernels/", "examples/"] {
            assert!(held.contains(&format!("\n=== {folder}")), "{folder}");
        }
    }
}
