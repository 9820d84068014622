//! The files that the rules look at, read once.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use super::rust::Source;

/// Folders that hold nothing written by hand.
const LEFT_OUT: &[&str] = &["target", "runs", "__pycache__"];
/// The hidden folders that do; every other one belongs to some tool.
const HIDDEN: &[&str] = &[".cargo", ".ci", ".github"];

/// What is read as text; everything else (weights, pictures) is data.
const TEXT: &[&str] = &[
    "rs", "cu", "cuh", "ptx", "h", "toml", "md", "py", "sh", "yml", "yaml", "json", "html", "css", "js",
    "txt", "lock",
];

/// One text file.
pub struct File {
    /// Relative to the root, with `/` between the parts.
    pub path: String,
    /// The whole text.
    pub text: String,
    /// The text divided into code and comments, for Rust files.
    pub rust: Option<Source>,
}

impl File {
    fn new(path: String, text: String) -> Self {
        let rust = path.ends_with(".rs").then(|| Source::parse(&text));
        File { path, text, rust }
    }

    /// The part of the file name behind the last dot.
    pub fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// True for files that only tests use: below a `tests` folder, or a module file called `tests.rs`.
    pub fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }
}

/// All text files of the workspace, in the order of their paths.
pub struct Tree {
    /// The files.
    pub files: Vec<File>,
    /// Paths of everything else that exists, so that links to data and folders can be resolved.
    others: Vec<String>,
}

impl Tree {
    /// Reads the workspace that contains the current folder.
    pub fn around_current_folder() -> io::Result<Self> {
        let here = env::current_dir()?;
        let root = here.ancestors().find(|folder| folder.join("crates/xtask/Cargo.toml").exists());
        let root = root.ok_or_else(|| {
            let place = here.display();
            io::Error::other(format!(
                "no folder at or above {place} holds crates/xtask; run it inside the repository"
            ))
        })?;
        Self::read(root)
    }

    fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Tree { files: Vec::new(), others: Vec::new() };
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root.join(&folder))? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = folder.join(&name);
                if entry.file_type()?.is_dir() {
                    // Cargo marks its build folders, wherever they lie, with this file.
                    let is_generated = entry.path().join("CACHEDIR.TAG").exists();
                    let is_tools = name.starts_with('.') && !HIDDEN.contains(&name.as_str());
                    if !(is_generated || is_tools || LEFT_OUT.contains(&name.as_str())) {
                        tree.others.push(slashed(&path));
                        folders.push(path);
                    }
                } else {
                    tree.add(slashed(&path), &entry.path())?;
                }
            }
        }
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    fn add(&mut self, path: String, on_disk: &Path) -> io::Result<()> {
        let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
        let is_script = path.starts_with(".ci/");
        if is_script || TEXT.contains(&extension) {
            let bytes = fs::read(on_disk)?;
            if let Ok(text) = String::from_utf8(bytes) {
                self.files.push(File::new(path, text));
                return Ok(());
            }
        }
        self.others.push(path);
        Ok(())
    }

    /// True if a file or a folder of this path exists.
    pub fn has(&self, path: &str) -> bool {
        path.is_empty()
            || self.others.iter().any(|other| other == path)
            || self.files.iter().any(|file| {
                file.path == path || file.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
            })
    }

    /// The file of this path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust files with their parsed sources.
    pub fn rust(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.files.iter().filter_map(|file| Some((file, file.rust.as_ref()?)))
    }

    /// The manifests of the root package and of the crates.
    pub fn manifests(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| {
            let folder = file.path.strip_suffix("Cargo.toml");
            folder.is_some_and(|f| matches!(f, "" | "kernels/") || f.starts_with("crates/"))
        })
    }

    /// A tree in memory, for the tests of the rules.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| File::new((*path).into(), (*text).into())).collect();
        Tree { files, others: Vec::new() }
    }
}

fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_exists_if_a_file_lies_in_it() {
        let tree = Tree::of(&[("crates/ops/src/add.rs", "")]);
        assert!(tree.has("crates/ops") && tree.has("crates/ops/src/add.rs") && tree.has(""));
        assert!(!tree.has("crates/op") && !tree.has("crates/ops/src/sub.rs"));
    }

    #[test]
    fn build_folders_are_left_out_and_data_is_only_listed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (path, text) in [
            ("a/lib.rs", "fn f() {}"),
            ("a/out/CACHEDIR.TAG", ""),
            ("a/out/gen.rs", ""),
            ("target/x.rs", ""),
            (".venv/y.rs", ""),
            ("w.bin", ""),
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let tree = Tree::read(root).unwrap();
        let paths: Vec<&str> = tree.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["a/lib.rs"]);
        assert!(tree.has("w.bin") && !tree.has("target/x.rs") && !tree.has("a/out"));
    }
}
