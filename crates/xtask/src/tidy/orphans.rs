//! Orphans: a Rust file that no `mod` names is not compiled, and the tests in it are not run.

use super::{Offence, tree::File, tree::Tree};

/// Files of Rust that neither begin a crate nor are named by one that does, or is named itself.
pub fn check(tree: &Tree) -> Vec<Offence> {
    let found = tree.rust().filter(|(file, _)| !is_root(tree, &file.path) && !is_named(tree, &file.path));
    let message = "no file names this one by `mod`, so that it is not compiled: name it, or remove it";
    found.map(|(file, _)| Offence::at(&file.path, 1, message)).collect()
}

/// Whether Cargo looks for a crate there.
fn is_root(tree: &Tree, path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let (name, folders) = parts.split_last().unwrap_or((&"", &[]));
    let of_its_own = |kind: &str| {
        let is_main = *name == "main.rs" && folders.len() > 1 && folders[folders.len() - 2] == kind;
        folders.last() == Some(&kind) || is_main
    };
    matches!((folders.last(), *name), (Some(&"src"), "lib.rs" | "main.rs") | (_, "build.rs"))
        || ["bin", "tests", "examples", "benches"].into_iter().any(of_its_own)
        || manifests(tree).any(|manifest| is_quoted(manifest, path))
}

/// Whether a file names it: as a module of its own folder's, or by a path.
fn is_named(tree: &Tree, path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    // `a/mod.rs` is the module `a`, named where `a.rs` would be.
    let module = if name == "mod.rs" { folder } else { path.strip_suffix(".rs").unwrap_or(path) };
    let (folder, stem) = module.rsplit_once('/').unwrap_or(("", module));
    let declares = |line: &str| {
        let words = line.trim().trim_end_matches(['{', ' ']);
        words.split_once("mod ").is_some_and(|(_, name)| name.trim() == format!("{stem};"))
    };
    tree.rust().any(|(file, source)| {
        let is_parent = file.path.strip_suffix(".rs").is_some_and(|parent| {
            let is_beside = parent.rsplit_once('/').is_some_and(|(beside, _)| beside == folder);
            parent == folder || is_beside && begins_a_folder(tree, &file.path)
        });
        // The registry of ops is a macro that makes a module of each name in a list.
        let lists = source.code_lines().any(|(_, code)| code.contains("mod $"));
        let names = |code: &str| declares(code) || lists && code.trim() == format!("{stem},");
        (is_parent && source.code_lines().any(|(_, code)| names(code)))
            || (file.path != path && is_quoted(file, path))
    })
}

/// Whether the modules of a file lie beside it, and not in a folder of its name.
fn begins_a_folder(tree: &Tree, path: &str) -> bool {
    path.ends_with("/mod.rs") || is_root(tree, path)
}

/// Whether `#[path = ".."]`, `include!("..")` or a manifest says where it lies: the end of the path, in quotes.
fn is_quoted(file: &File, path: &str) -> bool {
    let ways = ["path = \"", "include!(\""];
    let quoted = |line: &str| {
        let said = ways.iter().find_map(|way| line.split_once(way)?.1.split('"').next());
        let said = said.map(|said| said.trim_start_matches("../").trim_start_matches("./"));
        said.is_some_and(|said| path == said || path.ends_with(&format!("/{said}")))
    };
    file.text.lines().any(quoted)
}

fn manifests(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.path.ends_with("Cargo.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orphans(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|offence| offence.path).collect()
    }

    #[test]
    fn files_that_nobody_names_are_found() {
        let files = [
            ("crates/a/src/lib.rs", "mod b;\n// mod c;\nmod d { }\nconst S: &str = \"mod e;\";"),
            ("crates/a/src/b.rs", "mod deep;"),
            ("crates/a/src/b/deep.rs", ""),
            ("crates/a/src/b/other.rs", ""),
            ("crates/a/src/c.rs", ""),
            ("crates/a/src/deep.rs", ""),
            ("crates/a/src/e.rs", ""),
            ("crates/a/tests/cli/main.rs", "mod x;"),
            ("crates/a/tests/cli/x.rs", ""),
            ("crates/a/tests/cli/y.rs", ""),
        ];
        let found = ["b/other.rs", "c.rs", "deep.rs", "e.rs"].map(|name| format!("crates/a/src/{name}"));
        let found = found.into_iter().chain(["crates/a/tests/cli/y.rs".into()]).collect::<Vec<_>>();
        assert_eq!(orphans(&files), found);
    }

    #[test]
    fn roots_folders_and_paths_are_known() {
        let files = [
            ("crates/a/build.rs", ""),
            ("crates/a/src/main.rs", "pub(crate) mod f;\n#[path = \"../../b/odd.rs\"]\nmod odd;"),
            ("crates/a/src/f/mod.rs", "mod g;"),
            ("crates/a/src/f/g.rs", ""),
            (
                "crates/c/src/lib.rs",
                "macro_rules! all { ($($m:ident,)*) => { $(mod $m;)* } }\nall! {\n    h,\n}",
            ),
            ("crates/c/src/h.rs", ""),
            ("crates/b/odd.rs", ""),
            ("crates/a/src/bin/tool.rs", ""),
            ("crates/a/tests/one.rs", ""),
            ("examples/two.rs", ""),
            ("examples/big/main.rs", "mod part;"),
            ("examples/big/part.rs", ""),
            ("fuzz/Cargo.toml", "[[bin]]\npath = \"targets/t.rs\"\n"),
            ("fuzz/targets/t.rs", ""),
        ];
        assert_eq!(orphans(&files), Vec::<String>::new());
    }
}
