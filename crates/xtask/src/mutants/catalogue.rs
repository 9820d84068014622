//! The bugs: `kernels/mutants/<module>.toml`, those of a rung `kernels/mutants/ladder/<op>/<rung>.toml`.

use std::fs;
use std::path::Path;

use super::Failure;
use crate::kernels::{build, modules_of};

/// What a bug is of, and what that means.
pub const CLASSES: &[(&str, &str)] = &[
    ("barrier", "a barrier of a block or a warp is missing"),
    ("copy", "an asynchronous copy is not committed, or not waited for"),
    ("bound", "a bound is off by one, or a guard is missing"),
    ("address", "a stride, an offset, an axis or a slot is wrong"),
    ("lane", "a wrong lane of a fragment or an exchange"),
    ("swizzle", "a tile in shared memory is read otherwise than it was written"),
    ("mask", "something is seen that must not be, or not seen that must"),
    ("accumulator", "a sum goes to the wrong place, loses a term, or counts one twice"),
    ("start", "a reduction starts from the wrong value, or from none"),
    ("room", "shared memory is too small, or a part of it is never written"),
    ("precision", "arithmetic in fewer bits than promised"),
    ("formula", "a sign, a factor or a term is wrong"),
    ("special", "infinity, NaN, ties, ignored or invalid inputs"),
    ("order", "bits depend on the grid, the schedule or the other rows"),
];

/// The bugs of one module.
#[derive(Debug)]
pub struct Kernel {
    /// The module's name: that of its source without `.cu`.
    pub name: String,
    /// Filters of the tests that run it, with blanks between.
    tests: String,
    /// Text of the module's source and what takes its place in every mutant, to compile fewer entries.
    pub trim: Option<[String; 2]>,
    /// One for each section.
    pub mutants: Vec<Mutant>,
}

/// One bug.
#[derive(Debug)]
pub struct Mutant {
    /// The section's name.
    pub name: String,
    /// One of [`CLASSES`].
    pub class: String,
    /// The source that changes, below `kernels/`: the module's own if the file does not say.
    pub file: String,
    /// Text that stands there once.
    pub find: String,
    /// What takes its place.
    pub put: String,
    /// What goes wrong, in a few words.
    pub breaks: String,
    /// Filters, if not those of the module.
    tests: Option<String>,
    /// Why no test notices, if none can.
    pub survives: Option<String>,
    /// Whether it belongs to the quick sample.
    pub is_quick: bool,
}

impl Mutant {
    /// The filters of the tests to run.
    pub fn tests<'a>(&'a self, kernel: &'a Kernel) -> &'a str {
        self.tests.as_deref().unwrap_or(&kernel.tests)
    }
}

/// All files of the folder, by name.
pub fn read(kernels: &Path) -> Result<Vec<Kernel>, Failure> {
    let folder = kernels.join("mutants");
    let one = |name: String| {
        let path = folder.join(format!("{name}.toml"));
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        parse(&name, &text).map_err(|failure| format!("kernels/mutants/{name}.toml: {failure}"))
    };
    modules_of(&folder, "toml")?.into_iter().map(one).collect()
}

type Keys = Vec<(String, String)>;

fn parse(name: &str, text: &str) -> Result<Kernel, Failure> {
    let mut sections = sections(text)?.into_iter();
    let mut top = sections.next().map(|(_, keys)| keys).unwrap_or_default();
    let trim = match (take(&mut top, "trim"), take(&mut top, "trimmed")) {
        (Some(from), Some(to)) => Some([from, to]),
        (None, None) => None,
        _ => return Err("`trim` and `trimmed` belong together".to_owned()),
    };
    let tests = take(&mut top, "tests").ok_or("`tests` is missing at the top")?;
    unknown("the top", &top)?;
    let own = format!("{name}.cu");
    let mutants = sections.map(|(section, keys)| mutant(section, keys, &own)).collect::<Result<_, _>>()?;
    Ok(Kernel { name: name.to_owned(), tests, trim, mutants })
}

fn mutant(name: String, mut keys: Keys, own: &str) -> Result<Mutant, Failure> {
    let mut need = |key: &str| take(&mut keys, key).ok_or(format!("[{name}] has no `{key}`"));
    let (class, find, put, breaks) = (need("class")?, need("find")?, need("put")?, need("breaks")?);
    let file = take(&mut keys, "file").unwrap_or_else(|| own.to_owned());
    let (tests, survives) = (take(&mut keys, "tests"), take(&mut keys, "survives"));
    let is_quick = take(&mut keys, "quick").is_some();
    unknown(&format!("[{name}]"), &keys)?;
    if CLASSES.iter().all(|(own, _)| *own != class) {
        let names: Vec<&str> = CLASSES.iter().map(|(name, _)| *name).collect();
        return Err(format!("[{name}] is of class `{class}`; there are {}", names.join(", ")));
    }
    if breaks.contains('|') || survives.as_ref().is_some_and(|text| text.contains('|')) {
        return Err(format!("[{name}]: `|` would divide a cell of the table"));
    }
    Ok(Mutant { name, class, file, find, put, breaks, tests, survives, is_quick })
}

fn take(keys: &mut Keys, key: &str) -> Option<String> {
    let at = keys.iter().position(|(own, _)| own == key)?;
    Some(keys.remove(at).1)
}

fn unknown(place: &str, keys: &Keys) -> Result<(), Failure> {
    keys.first().map_or(Ok(()), |(key, _)| Err(format!("{place} has `{key}`, which nothing reads")))
}

/// The part of TOML that the files use: sections, and keys with literal texts in `'`, `"` (no escapes) or `'''`.
fn sections(text: &str) -> Result<Vec<(String, Keys)>, Failure> {
    let mut found = vec![(String::new(), Keys::new())];
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            if found.iter().any(|(own, _)| own == name) {
                return Err(format!("[{name}] is there twice"));
            }
            found.push((name.to_owned(), Keys::new()));
            continue;
        }
        let (key, value) = line.split_once('=').ok_or_else(|| format!("cannot read `{line}`"))?;
        let value = match value.trim().strip_prefix("'''") {
            Some(first) => several(first, &mut lines),
            None => quoted(value.trim()).map(str::to_owned),
        };
        let value = value.ok_or_else(|| format!("cannot read `{line}`"))?;
        if let Some((_, keys)) = found.last_mut() {
            keys.push((key.trim().to_owned(), value));
        }
    }
    Ok(found)
}

/// What stands between `'''` and `'''`; a line break right after the first does not count.
fn several<'a>(first: &str, lines: &mut impl Iterator<Item = &'a str>) -> Option<String> {
    if let Some((text, "")) = first.split_once("'''") {
        return Some(text.to_owned());
    }
    let mut text = if first.is_empty() { String::new() } else { format!("{first}\n") };
    loop {
        let line = lines.next()?;
        match line.split_once("'''") {
            Some((rest, "")) => return Some(text + rest),
            Some(_) => return None,
            None => text = text + line + "\n",
        }
    }
}

fn quoted(value: &str) -> Option<&str> {
    let inside = |quote| value.strip_prefix(quote)?.strip_suffix(quote).filter(|text| !text.contains(quote));
    inside('\'').or_else(|| inside('"').filter(|text| !text.contains('\\')))
}

/// An error if a bug no longer fits its source.
pub fn check(kernels: &Path, catalogue: &[Kernel]) -> Result<(), Failure> {
    for kernel in catalogue {
        let sources = build::sources(kernels, &kernel.name)?;
        let text_of = |file: &str| sources.iter().find(|(path, _)| path == file).map(|(_, text)| text);
        let own = format!("{}.cu", kernel.name);
        let trim = kernel.trim.iter().map(|[from, to]| ("trim", &own, from, to));
        let changes = kernel.mutants.iter().map(|m| (m.name.as_str(), &m.file, &m.find, &m.put));
        for (name, file, find, put) in trim.chain(changes) {
            let who = format!("kernels/mutants/{}.toml: {name}", kernel.name);
            let text = text_of(file).ok_or_else(|| format!("{who}: {own} does not include {file}"))?;
            if find == put {
                return Err(format!("{who} changes nothing"));
            }
            match text.matches(find.as_str()).count() {
                1 => {}
                count => {
                    return Err(format!("{who}: its text stands {count} times in {file}, not once:\n{find}"));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "tests = \"rows\"\n# a note\n";

    fn one(keys: &str) -> Result<Kernel, Failure> {
        parse("softmax", &format!("{HEAD}[a]\n{keys}"))
    }

    #[test]
    fn sections_with_literal_texts_are_read() {
        let kernel =
            one("class = 'bound'\nfind = 'x <= \"n\"'\nput = '''\nx\n  y'''\nbreaks = \"b\"\n").unwrap();
        let mutant = &kernel.mutants[0];
        assert_eq!((mutant.find.as_str(), mutant.put.as_str()), ("x <= \"n\"", "x\n  y"));
        assert_eq!((mutant.file.as_str(), mutant.tests(&kernel)), ("softmax.cu", "rows"));
        assert!(!mutant.is_quick && mutant.survives.is_none());
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        let whole = "class = 'bound'\nfind = 'x'\nput = ''\nbreaks = 'b'\n";
        assert!(one(whole).is_ok());
        for (odd, word) in [
            ("class = 'bond'\nfind = 'x'\nput = ''\nbreaks = 'b'\n".to_owned(), "`bond`"),
            ("class = 'bound'\nput = ''\nbreaks = 'b'\n".to_owned(), "`find`"),
            (format!("{whole}fnd = 'y'\n"), "`fnd`"),
            (format!("{whole}[a]\n"), "twice"),
            (format!("{whole}tests = [\"x\"]\n"), "cannot read"),
            (format!("{whole}tests = '''x\n"), "cannot read"),
        ] {
            let failure = one(&odd).unwrap_err();
            assert!(failure.contains(word), "{failure}");
        }
        assert!(parse("a", "trim = 'x'\n").unwrap_err().contains("belong together"));
    }

    #[test]
    fn a_text_that_is_gone_or_stands_twice_is_an_error_that_names_the_bug() {
        let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels");
        let fits = |find: &str, file: &str| {
            let text = format!(
                "{HEAD}[a]\nclass = 'bound'\nfile = '{file}'\nfind = '{find}'\nput = 'z'\nbreaks = 'b'\n"
            );
            check(&kernels, &[parse("softmax", &text).unwrap()])
        };
        assert!(fits("if (r >= a.rows) return;", "softmax.cu").unwrap_err().contains("stands 2 times"));
        assert_eq!(fits("#include \"tile/row.cuh\"", "softmax.cu"), Ok(()));
        assert!(fits("no such text", "softmax.cu").unwrap_err().contains("a: its text stands 0 times"));
        assert!(fits("}", "tile/row.cuh").unwrap_err().contains("not once"));
        assert!(fits("x", "matmul.cu").unwrap_err().contains("does not include matmul.cu"));
    }
}
