//! Unsafe code: where it may stand, and that each use of it says why it is sound.

use super::rust::Source;
use super::{Offence, tree::Tree};

/// Crates that cannot forbid unsafe code.
const UNSAFE_CRATES: &[(&str, &str)] = &[
    ("crates/damage", "is an allocator that counts"),
    ("crates/tensor", "owns aligned memory and the SIMD entry points"),
    ("crates/ops", "calls the SIMD entry points from its inner loops"),
    ("crates/emulator", "is a C library to its callers"),
    ("crates/bench", "calls NVRTC, a C library"),
    ("crates/emulator-loader", "opens a C library"),
    ("kernels", "loads and launches device code"),
];

/// Uses of the word `unsafe` in code without a SAFETY note (blocks, impls) or a `# Safety` section (functions).
pub fn comments(tree: &Tree) -> Vec<Offence> {
    let mut found = Vec::new();
    for (file, source) in tree.rust() {
        for (line, code) in source.code_lines() {
            for (at, _) in code.match_indices("unsafe").filter(|(at, word)| is_whole(code, *at, word.len())) {
                let message = match use_of(&code[at + "unsafe".len()..], source.code(line + 1)) {
                    Use::Type => continue,
                    // The trait has said what the caller must ensure.
                    Use::Declaration if is_in_trait_impl(source, line) => continue,
                    Use::Declaration if is_explained(source, line, &["# Safety", "SAFETY:"]) => continue,
                    Use::Promise if is_explained(source, line, &["SAFETY:"]) => continue,
                    Use::Declaration => "its docs need a `# Safety` section: what must the caller ensure?",
                    Use::Promise => "needs a `// SAFETY:` note above it: why does it hold?",
                };
                found.push(Offence::at(&file.path, line, message));
            }
        }
    }
    found
}

/// Crate roots without `#![forbid(unsafe_code)]`, but for crates that have unsafe code and a reason for it.
pub fn forbidden(tree: &Tree) -> Vec<Offence> {
    let mut found = Vec::new();
    for (file, source) in tree.rust() {
        let Some(folder) = crate_of_root(&file.path) else { continue };
        let has_reason = UNSAFE_CRATES.iter().any(|(name, _)| *name == folder);
        let is_let_off = has_reason && has_unsafe_code(tree, folder);
        let forbids = source.code_lines().any(|(_, code)| code.trim() == "#![forbid(unsafe_code)]");
        if !(forbids || is_let_off) {
            found.push(Offence::at(&file.path, 1, "the crate root lacks `#![forbid(unsafe_code)]`"));
        }
    }
    found
}

enum Use {
    /// A type such as `unsafe fn(*const u8)`: promises nothing.
    Type,
    /// A function or trait: the duty is the caller's, so it belongs in the docs.
    Declaration,
    /// A block, impl, foreign block or attribute: the duty is discharged here.
    Promise,
}

fn use_of(rest: &str, next_line: &str) -> Use {
    let rest = if rest.trim().is_empty() { next_line } else { rest };
    let mut words = rest.split_whitespace().filter(|word| !word.starts_with('"'));
    let is_function = |word: &str| word == "fn" || word.starts_with("fn(");
    match words.next() {
        Some("trait") => Use::Declaration,
        Some(word) if word.starts_with("fn(") => Use::Type,
        Some("fn") => Use::Declaration,
        // The ABI string of `unsafe extern "C" fn` is a literal and therefore blank here.
        Some("extern") => match words.next() {
            Some(word) if word.starts_with("fn(") => Use::Type,
            Some(word) if is_function(word) => Use::Declaration,
            _ => Use::Promise,
        },
        _ => Use::Promise,
    }
}

fn is_whole(code: &str, at: usize, length: usize) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    !code[..at].ends_with(is_part) && !code[at + length..].starts_with(is_part)
}

/// True if the innermost braces around the line's beginning are those of an `impl Trait for Type`.
fn is_in_trait_impl(source: &Source, line: usize) -> bool {
    let mut closed = 0;
    let mut header = String::new();
    for above in (1..line).rev() {
        for character in source.code(above).chars().rev() {
            let is_inside = closed == 0 && header.is_empty();
            match character {
                '}' if is_inside || closed > 0 => closed += 1,
                '{' if closed > 0 => closed -= 1,
                // The brace that is still open; what stands before it, back to the item before, is its header.
                '{' if is_inside => header.push('{'),
                ';' | '{' | '}' if !is_inside && closed == 0 => return is_trait_header(&header),
                c if !is_inside && closed == 0 => header.push(c),
                _ => {}
            }
        }
        if !header.is_empty() {
            header.push(' ');
        }
    }
    is_trait_header(&header)
}

fn is_trait_header(reversed: &str) -> bool {
    let header: String = reversed.chars().rev().collect();
    let mut words = header.split_whitespace().skip_while(|word| !word.starts_with("impl"));
    words.next().is_some() && words.any(|word| word == "for")
}

/// Looks for a mark on the line, in the comments above it, and further up to where its statement begins.
fn is_explained(source: &Source, line: usize, marks: &[&str]) -> bool {
    let is_marked = |line: usize| marks.iter().any(|mark| source.comment(line).contains(mark));
    if is_marked(line) {
        return true;
    }
    for above in (1..line).rev() {
        if is_marked(above) {
            return true;
        }
        let code = source.code(above).trim();
        let is_blank = code.is_empty() && source.comment(above).trim().is_empty();
        let is_attribute = code.starts_with("#[");
        if is_blank || (!is_attribute && code.ends_with([';', '{', '}'])) {
            return false;
        }
    }
    false
}

/// The folder of the crate whose root the file is, if it is one.
fn crate_of_root(path: &str) -> Option<&str> {
    let (folder, file) = path.rsplit_once("/src/")?;
    let is_root = matches!(file, "lib.rs" | "main.rs") || (file.starts_with("bin/") && file.ends_with(".rs"));
    (is_root && (folder == "kernels" || folder.starts_with("crates/"))).then_some(folder)
}

fn has_unsafe_code(tree: &Tree, folder: &str) -> bool {
    let inside = |path: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with("/src/"));
    tree.rust().filter(|(file, _)| inside(&file.path)).any(|(_, source)| {
        source
            .code_lines()
            .any(|(_, code)| code.match_indices("unsafe").any(|(at, word)| is_whole(code, at, word.len())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        comments(&Tree::of(&[("crates/tensor/src/memory.rs", text)])).iter().map(|o| o.line).collect()
    }

    #[test]
    fn unsafe_without_a_note_is_found() {
        assert_eq!(lines("fn f() {\n    unsafe { g() }\n}"), [2]);
        assert_eq!(lines("unsafe impl Send for X {}"), [1]);
        assert_eq!(lines("/// Does it.\npub unsafe fn f() {}"), [2]);
        assert_eq!(lines("unsafe extern \"C\" fn f() {}"), [1]);
        assert_eq!(lines("unsafe extern \"C\" {\n}"), [1]);
        assert_eq!(lines("/// T.\npub unsafe trait T {}"), [2]);
        assert_eq!(lines("#[unsafe(no_mangle)]\nfn f() {}"), [1]);
    }

    #[test]
    fn the_note_of_another_statement_does_not_count() {
        assert_eq!(lines("// SAFETY: a.\nlet a = unsafe { f() };\nlet b = unsafe { g() };"), [3]);
        assert_eq!(lines("// SAFETY: a.\nunsafe impl Send for X {}\nunsafe impl Sync for X {}"), [3]);
        assert_eq!(lines("// SAFETY: a.\n\nunsafe impl Send for X {}"), [3]);
    }

    #[test]
    fn unsafe_with_a_note_passes() {
        assert_eq!(lines("// SAFETY: a\n// goes on.\nlet x = f(\n    unsafe { g() },\n);"), []);
        assert_eq!(lines("let x = unsafe { g() }; // SAFETY: a."), []);
        assert_eq!(lines("/// F.\n///\n/// # Safety\n///\n/// Ask.\n#[inline]\npub unsafe fn f() {}"), []);
        assert_eq!(lines("// SAFETY: a.\n#[unsafe(no_mangle)]\nfn f() {}"), []);
    }

    #[test]
    fn a_function_of_a_trait_keeps_the_promise_of_the_trait() {
        let of_trait = "impl<T> Engine\nfor X<T>\n{\n    const N: usize = { 3 };\n    unsafe fn f() {}\n}";
        assert_eq!(lines(of_trait), []);
        assert_eq!(lines("impl X {\n    const N: usize = 3;\n    unsafe fn f() {}\n}"), [3]);
        assert_eq!(lines("impl A for X {}\nunsafe fn f() {}"), [2]);
        assert_eq!(lines("impl A for X { fn a() {} }\nimpl X {\n    unsafe fn f() {}\n}"), [3]);
    }

    #[test]
    fn words_types_and_the_lint_are_no_unsafe_code() {
        assert_eq!(lines("#![forbid(unsafe_code)]\n// unsafe\nlet s = \"unsafe\";"), []);
        assert_eq!(lines("type F = unsafe fn(u8);\ntype G = unsafe extern \"C\" fn(u8);"), []);
    }

    #[test]
    fn a_root_must_forbid_unsafe_code() {
        let bad = [("crates/model/src/lib.rs", "//! Model."), ("crates/model/src/bin/x.rs", "fn main() {}")];
        assert_eq!(forbidden(&Tree::of(&bad)).len(), 2);
        let good =
            [("crates/model/src/lib.rs", "//! Model.\n#![forbid(unsafe_code)]"), ("examples/a.rs", "")];
        assert_eq!(forbidden(&Tree::of(&good)), []);
    }

    #[test]
    fn a_crate_let_off_must_really_have_unsafe_code() {
        let root = ("crates/tensor/src/lib.rs", "//! Tensor.");
        assert_eq!(forbidden(&Tree::of(&[root])).len(), 1);
        let memory = ("crates/tensor/src/memory.rs", "unsafe { f() }");
        assert_eq!(forbidden(&Tree::of(&[root, memory])), []);
    }
}
