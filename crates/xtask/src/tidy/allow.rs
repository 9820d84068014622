//! The exceptions: which rule a file is let off, and why. An exception that covers nothing is itself an offence.

/// This file, for the reports about it.
pub const PATH: &str = "crates/xtask/src/tidy/allow.rs";

/// A file that a rule leaves alone.
pub struct Exception {
    /// The rule's name as in [`super::RULES`].
    pub rule: &'static str,
    /// The file, relative to the root.
    pub path: &'static str,
    /// Why the rule does more harm than good there; for the reader, and required by a test.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by people and by the test"))]
    pub reason: &'static str,
}

/// Every exception of the tree.
pub const EXCEPTIONS: &[Exception] = &[Exception {
    rule: "path",
    path: "crates/xtask/src/tidy/words.rs",
    reason: "holds the patterns that the rule looks for",
}];
