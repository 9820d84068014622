//! What can be checked of the table of entries and of the committed PTX with no toolchain.

mod twins;

use crate::{Entry, Module, entries};
use std::collections::BTreeMap;
use std::path::Path;

/// The value after `key` on the first line of the PTX that starts with it.
fn directive<'a>(ptx: &'a str, key: &str) -> &'a str {
    ptx.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("").trim()
}

/// Name and parameter sizes of every entry of a PTX text.
fn declared(ptx: &str) -> BTreeMap<&str, Vec<usize>> {
    let mut found = BTreeMap::new();
    for (head, rest) in ptx.split(".entry ").skip(1).filter_map(|text| text.split_once('(')) {
        let (list, _) = rest.split_once(')').unwrap();
        let sizes = list.split(',').map(|param| match param.split_once('[') {
            Some((_, size)) => size.trim_end().trim_end_matches(']').parse().unwrap(),
            None => panic!("{head} has a parameter that is no struct: {param}"),
        });
        found.insert(head.trim(), sizes.collect());
    }
    found
}

fn modules() -> Vec<&'static Module> {
    let mut modules: Vec<&Module> = entries().iter().map(|entry| entry.module).collect();
    modules.sort_by_key(|module| module.name);
    modules.dedup_by_key(|module| module.name);
    modules
}

#[test]
fn every_entry_takes_one_struct_of_the_size_of_its_rust_twin() {
    for module in modules() {
        let mut declared = declared(module.ptx());
        let of_module = |entry: &&Entry| entry.module.name == module.name;
        for entry in entries().into_iter().filter(of_module) {
            let sizes = declared.remove(entry.name);
            assert_eq!(sizes, Some(vec![entry.param_bytes]), "{} in {}.ptx", entry.name, module.name);
        }
        assert!(declared.is_empty(), "{}.ptx has entries that no table names: {declared:?}", module.name);
    }
}

#[test]
fn names_are_unique_and_end_in_a_dtype() {
    let names: Vec<&str> = entries().iter().map(|entry| entry.name).collect();
    let unique: std::collections::BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(unique.len(), names.len());
    for name in names {
        assert!(name.split('_').count() >= 3, "{name} is not <op>_<pass>_<dtype>");
    }
}

/// The driver floor: PTX 8.4 is what the 550 series takes, and sm_80 what the portable tier promises.
#[test]
fn the_ptx_stays_within_the_driver_floor() {
    for module in modules() {
        let (major, minor) = directive(module.ptx(), ".version").split_once('.').unwrap();
        let version: (u32, u32) = (major.parse().unwrap(), minor.parse().unwrap());
        assert!(version <= (8, 4), "{}.ptx is of version {version:?}", module.name);
        let target: u32 = directive(module.ptx(), ".target sm_").parse().unwrap();
        assert!(target <= 80, "{}.ptx is for sm_{target}", module.name);
    }
}

/// FNV-1a in 64 bits, as `cargo xtask kernels` writes it.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn the_ptx_is_of_the_sources_beside_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for module in modules() {
        let lines = module.ptx().lines().map_while(|line| line.strip_prefix("// "));
        let sources: Vec<_> =
            lines.filter_map(|line| line.strip_prefix("source ")?.split_once(' ')).collect();
        assert!(sources.iter().any(|(_, path)| *path == format!("{}.cu", module.name)), "{}", module.name);
        for (expected, path) in sources {
            let text = std::fs::read(root.join(path)).unwrap();
            let found = format!("{:016x}", hash(&text));
            assert_eq!(found, expected, "{path} has changed: run `cargo xtask kernels`");
        }
    }
}

/// Sums of floats in whatever order blocks come: the bits of a result would be another each time. The minimum of whole numbers
/// is the same in any order.
#[test]
fn nothing_adds_floats_atomically() {
    let mut seen = Vec::new();
    for module in modules() {
        for word in
            module.ptx().lines().filter_map(|line| line.split_whitespace().find(|w| !w.starts_with('@')))
        {
            if word.starts_with("atom.") || word.starts_with("red.") {
                seen.push(word);
            }
        }
    }
    assert!(!seen.is_empty(), "wrong indices are reported by an atomic minimum");
    let keeps = |word: &&&str| word.contains(".min.") && word.contains(".u64");
    assert_eq!(seen.iter().filter(keeps).count(), seen.len(), "{seen:?}");
}

#[test]
fn line_tables_name_sources_of_this_repository_alone() {
    for module in modules() {
        let named =
            module.ptx().lines().filter_map(|line| line.trim().strip_prefix(".file\t")?.split('"').nth(1));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for path in named {
            let own = path.strip_prefix("kernels/").filter(|path| root.join(path).exists());
            assert!(own.is_some(), "{}.ptx names {path}", module.name);
        }
    }
}

#[test]
fn every_built_file_belongs_to_a_kernel() {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("built");
    let mut names = Vec::new();
    let mut folders = vec![built.clone()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                names.push(path.strip_prefix(&built).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let known = modules();
    for name in names.iter().filter(|name| name.ends_with(".ptx")) {
        assert!(known.iter().any(|module| format!("{}.ptx", module.name) == *name), "{name} is nobody's");
    }
}
