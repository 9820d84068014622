//! Gathers this repository's own text into `$OUT_DIR/corpus.txt`, the corpus that the command has when it is given
//! none: prose, sources and kernels, each file under a header line with its path.
//!
//! What is left out: tests, the crates that test and measure the engine, hidden folders, built artefacts, files above
//! 200 KB, files that are not nearly all ASCII, and whatever would take the whole above 3.5 MB. A folder that is not
//! there adds nothing.
//!
//! The prose of the root comes first. Then come the files of all folders side by side, as if each folder were laid along
//! the whole text: its end, which is held out for validation, is of the same kinds as what is learned from, and what a
//! limit cuts off is the last of every folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const FOLDERS: [&str; 5] = ["benches", "crates", "docs", "examples", "kernels"];
const FILES: [&str; 2] = ["ARCHITECTURE.md", "README.md"];
const EXTENSIONS: [&str; 4] = ["cu", "cuh", "md", "rs"];
/// Folders of things that programs wrote, of tests, and of crates that test and measure.
const LEFT_OUT: [&str; 9] =
    ["bench", "built", "conformance", "damage", "emulator", "emulator-loader", "target", "tests", "xtask"];
/// Where a file's own tests begin.
const TESTS: &str = "\n#[cfg(test)]\nmod tests";
const MAX_FILE_BYTES: usize = 200_000;
const MAX_CORPUS_BYTES: usize = 3_500_000;
/// A file is taken if at most one byte in this many is not ASCII.
const ASCII_SHARE: usize = 20;

fn main() -> io::Result<()> {
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).ok_or(io::ErrorKind::NotFound);
    let root = variable("CARGO_MANIFEST_DIR")?;
    println!("cargo::rerun-if-changed=crates/warpsmith/build.rs");
    let mut paths: Vec<PathBuf> =
        FILES.map(PathBuf::from).into_iter().filter(|file| root.join(file).exists()).collect();
    for file in &paths {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    for folder in FOLDERS {
        list(&root, Path::new(folder), &mut paths)?;
    }
    // As strings with `/`, so that the order is the same on every system.
    let mut names: Vec<String> = paths.iter().map(|path| path.to_string_lossy().replace('\\', "/")).collect();
    names.sort();
    fs::write(variable("OUT_DIR")?.join("corpus.txt"), gather(&root, &side_by_side(&names)))
}

/// Sorted names in the order of the corpus: by how far along their folder they are.
fn side_by_side(names: &[String]) -> Vec<&String> {
    let mut folders: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for name in names {
        folders.entry(folder_of(name)).or_default().push(name);
    }
    let mut placed = Vec::new();
    for files in folders.values() {
        // The middle of each file's share of the folder, in integers so that the order is the same everywhere.
        let place = |index: usize| (2 * index + 1) * 1_000_000 / files.len();
        placed
            .extend(files.iter().enumerate().map(|(index, file)| (file.contains('/'), place(index), *file)));
    }
    placed.sort();
    placed.into_iter().map(|(_, _, file)| file).collect()
}

/// The crate or the folder of the root that a file belongs to.
fn folder_of(name: &str) -> &str {
    let depth = if name.starts_with("crates/") { 1 } else { 0 };
    name.match_indices('/').nth(depth).map_or("", |(end, _)| &name[..end])
}

/// Lists the source files below `folder`, and asks to be run again when one is added, removed or changed.
fn list(root: &Path, folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return Ok(()) };
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = folder.join(&name);
        if name.starts_with('.') || name == "tests.rs" || LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            list(root, &path, paths)?;
        } else if path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
        {
            paths.push(path);
        }
    }
    Ok(())
}

fn gather(root: &Path, names: &[&String]) -> String {
    let mut corpus = String::new();
    for name in names {
        let Ok(text) = fs::read_to_string(root.join(name)) else { continue };
        let text = text.split(TESTS).next().unwrap_or_default();
        let entry = format!("=== {name} ===\n{}\n\n", text.trim());
        let foreign = text.bytes().filter(|byte| !byte.is_ascii()).count();
        if text.len() <= MAX_FILE_BYTES
            && foreign * ASCII_SHARE <= text.len()
            && corpus.len() + entry.len() <= MAX_CORPUS_BYTES
        {
            corpus.push_str(&entry);
        }
    }
    corpus
}
