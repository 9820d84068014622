//! A kernel's file: CUDA C++ to be compiled now, or PTX.

use std::path::Path;

use crate::nvrtc::{self, Target};
use crate::{Error, Result};

/// PTX with one entry that is meant.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file's name.
    pub name: String,
    /// The entry.
    pub entry: String,
    /// What the driver is given.
    pub ptx: String,
    bench_line: String,
}

/// Reads `path:entry`, and compiles it for `target` if it is CUDA C++.
///
/// # Errors
/// If the file cannot be read, is neither `.cu` nor `.ptx`, does not compile (with the compiler's log), or has no such
/// entry (with the entries that it has).
pub fn compile(spec: &str, target: Target) -> Result<Source> {
    let expected = "expected FILE.cu:ENTRY or FILE.ptx:ENTRY";
    let (path, entry) = spec.rsplit_once(':').ok_or_else(|| Error::Usage(format!("{spec:?}: {expected}")))?;
    let text = std::fs::read_to_string(path).map_err(|error| Error::Failed(format!("{path}: {error}")))?;
    let path = Path::new(path);
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let ptx = match path.extension().and_then(|extension| extension.to_str()) {
        Some("ptx") => text.clone(),
        Some("cu") => nvrtc::compile(&text, &name, path.parent(), target)?,
        _ => return Err(Error::Usage(format!("{spec:?}: {expected}"))),
    };
    Source::new(name, entry, ptx, bench_line(&text))
}

impl Source {
    /// PTX with the `bench:` line that belongs to it.
    ///
    /// # Errors
    /// If it has no such entry.
    pub fn new(name: String, entry: &str, ptx: String, bench_line: String) -> Result<Self> {
        let entries: Vec<&str> = entries(&ptx).map(|(name, _)| name).collect();
        // A C++ entry that is not `extern "C"` has a name that says its types; it is found if nothing else looks like it.
        let mangled = format!("{}{entry}", entry.len());
        let mut alike = entries.iter().filter(|name| name.contains(&mangled));
        let found = match entries.iter().find(|name| **name == entry) {
            Some(name) => Some(*name),
            None => alike.next().copied().filter(|_| alike.next().is_none()),
        };
        let found = found.map(str::to_owned).ok_or_else(|| {
            Error::Usage(format!("{name} has no entry {entry:?}; it has {}", entries.join(", ")))
        })?;
        Ok(Self { name, entry: found, ptx, bench_line })
    }

    /// The text behind `// bench:`; empty if there is none.
    pub fn bench_line(&self) -> &str {
        &self.bench_line
    }

    /// Refuses an entry that does not take one parameter of `bytes` bytes.
    ///
    /// # Errors
    /// Shows the struct that is expected.
    pub fn require_parameter(&self, bytes: usize, expected: impl Fn() -> String) -> Result<()> {
        let found =
            entries(&self.ptx).find(|(name, _)| *name == self.entry).map(|(_, list)| parameters(list));
        match found.as_deref() {
            Some([Some(size)]) if size.next_multiple_of(8) == bytes => Ok(()),
            _ => {
                let sizes = found.unwrap_or_default();
                let sizes: Vec<String> =
                    sizes.iter().map(|s| s.map_or("?".into(), |s| s.to_string())).collect();
                let expected = expected().split_whitespace().collect::<Vec<_>>().join(" ");
                Err(Error::Unsupported(format!(
                    "{} takes parameters of [{}] bytes; expected one struct of {bytes} bytes by value: {expected}",
                    self.entry,
                    sizes.join(", "),
                )))
            }
        }
    }
}

/// The text behind the first `// bench:` of a source.
pub fn bench_line(text: &str) -> String {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("// bench:"));
    line.map_or_else(String::new, |line| line.trim().to_owned())
}

/// The entries of a PTX text with the text of their parameters.
fn entries(ptx: &str) -> impl Iterator<Item = (&str, &str)> {
    ptx.split(".entry ").skip(1).filter_map(|rest| {
        let end = rest.find(['(', '\n', '{'])?;
        let list =
            rest[end..].strip_prefix('(').and_then(|list| list.split_once(')')).map_or("", |(list, _)| list);
        Some((rest[..end].trim(), list))
    })
}

/// The size of each parameter in bytes: `.param .align 8 .b8 k_param_0[56]` has 56, `.param .u64 x` has 8.
fn parameters(list: &str) -> Vec<Option<usize>> {
    let size = |parameter: &str| {
        let array = parameter.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        match array {
            Some((count, _)) if parameter.contains(".b8") => count.trim().parse().ok(),
            Some(_) => None,
            None => parameter.split_whitespace().find_map(|word| {
                let bits: usize = word.strip_prefix('.')?.get(1..)?.parse().ok()?;
                Some(bits / 8)
            }),
        }
    };
    list.split(".param").skip(1).map(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTX: &str = ".version 8.4\n.visible .entry one(\n\t.param .align 8 .b8 one_param_0[24]\n)\n.maxntid 128\n{\n ret;\n}\n\
        .visible .entry _Z3twoPfi(\n\t.param .u64 a,\n\t.param .u32 b\n)\n{ ret; }\n";

    fn source(entry: &str) -> Result<Source> {
        Source::new("a.ptx".into(), entry, PTX.into(), String::new())
    }

    #[test]
    fn an_entry_is_found_by_its_name_mangled_or_not() {
        assert_eq!(source("one").unwrap().entry, "one");
        assert_eq!(source("two").unwrap().entry, "_Z3twoPfi");
        assert!(source("three").unwrap_err().to_string().contains("it has one, _Z3twoPfi"));
    }

    #[test]
    fn a_parameter_of_another_size_shows_what_was_expected() {
        assert!(source("one").unwrap().require_parameter(24, String::new).is_ok());
        let told =
            source("one").unwrap().require_parameter(32, || "struct Args {}".into()).unwrap_err().to_string();
        assert!(
            told.contains("[24] bytes") && told.contains("of 32 bytes") && told.contains("struct Args"),
            "{told}"
        );
        let told = source("two").unwrap().require_parameter(16, String::new).unwrap_err().to_string();
        assert!(told.contains("[8, 4] bytes"), "{told}");
    }

    #[test]
    fn the_bench_line_is_the_first_of_its_kind() {
        assert_eq!(bench_line("// a\n  // bench: grid R; block 1\n// bench: x"), "grid R; block 1");
        assert_eq!(bench_line("bench: none"), "");
    }
}
