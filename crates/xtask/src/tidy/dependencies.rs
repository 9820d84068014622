//! Dependencies: which crate may know which.

use super::{Offence, tree::File, tree::Tree};

/// Layers from the bottom up; a crate may use only crates of a lower layer. Those on one line do not know each other.
const LAYERS: &[&[&str]] = &[
    &["warpsmith-damage"],
    &["warpsmith-gguf", "warpsmith-metrics"],
    &["warpsmith-kernels"],
    &["warpsmith-tensor"],
    &["warpsmith-autograd", "warpsmith-selection"],
    &["warpsmith-ops"],
    &["warpsmith-model", "warpsmith-text", "warpsmith-conformance"],
    &["warpsmith-data"],
    &["warpsmith-train"],
    &["warpsmith-serve", "warpsmith-bench"],
    &["warpsmith"],
];

/// Crates outside the layers: the emulator stands where the driver does, the chores build and check the rest.
const OUTSIDE: &[&str] = &["warpsmith-emulator", "warpsmith-emulator-loader", "warpsmith-xtask"];

/// Dependencies that point up or sideways, and crates whose layer is not known.
pub fn layers(tree: &Tree) -> Vec<Offence> {
    let mut found = Vec::new();
    for manifest in tree.manifests() {
        let Some(name) = package(manifest) else { continue };
        let layer = layer_of(&name);
        if layer.is_none() && !OUTSIDE.contains(&name.as_str()) {
            found.push(Offence::at(&manifest.path, 1, format!("{name} has no layer: give it one in LAYERS")));
        }
        for dependency in dependencies(manifest) {
            found.extend(
                complaint(&name, &dependency).map(|m| Offence::at(&manifest.path, dependency.line, m)),
            );
        }
    }
    found
}

fn complaint(name: &str, dependency: &Dependency) -> Option<String> {
    let to = dependency.name.as_str();
    if to == "warpsmith-emulator" {
        let may = dependency.is_dev || name == "warpsmith";
        return (!may).then(|| format!("{name} may use the emulator in its tests only"));
    }
    // It knows nothing itself: the command finds the emulator by it, and the emulator hands it on to tests.
    if to == "warpsmith-emulator-loader" {
        let may = matches!(name, "warpsmith" | "warpsmith-emulator");
        return (!may).then(|| format!("{name} may not look for the emulator: the command and tests do"));
    }
    let is_ours = to == "warpsmith" || to.starts_with("warpsmith-");
    let (from, to_layer) = (layer_of(name), layer_of(to));
    // The emulator may know nothing of the engine, or the engine would be tested against itself.
    let goes_down = matches!((from, to_layer), (Some(from), Some(to)) if to < from);
    // Its benches run kernels that ship; these are texts, and test nothing.
    let is_bench = name == "warpsmith-emulator" && to == "warpsmith-kernels" && dependency.is_dev;
    (is_ours && !goes_down && !is_bench)
        .then(|| format!("{name} may not depend on {to}: the layers go the other way"))
}

/// Every mention of cudarc, in manifests and in code, outside crates/tensor and the emulator's tests, which hold the
/// emulator to what cudarc asks of a driver.
pub fn cudarc(tree: &Tree) -> Vec<Offence> {
    let message = "only crates/tensor and the tests of crates/emulator may name cudarc";
    let is_owner =
        |path: &str| path.starts_with("crates/tensor/") || path.starts_with("crates/emulator/tests/");
    let mut found = Vec::new();
    for manifest in tree.manifests().filter(|file| !is_owner(&file.path)) {
        let is_tester = manifest.path == "crates/emulator/Cargo.toml";
        let named = dependencies(manifest)
            .into_iter()
            .filter(|dependency| dependency.name == "cudarc" && !(is_tester && dependency.is_dev));
        found.extend(named.map(|dependency| Offence::at(&manifest.path, dependency.line, message)));
    }
    for (file, source) in tree.rust().filter(|(file, _)| !is_owner(&file.path)) {
        let uses =
            |code: &str| ["cudarc::", "use cudarc", "crate cudarc"].iter().any(|way| code.contains(way));
        let named = source.code_lines().filter(|(_, code)| uses(code));
        found.extend(named.map(|(line, _)| Offence::at(&file.path, line, message)));
    }
    found
}

/// Crates that `default-members` of the root manifest leaves out.
pub fn members(tree: &Tree) -> Vec<Offence> {
    let Some(root) = tree.file("Cargo.toml") else { return Vec::new() };
    let list = root.text.split_once("default-members").and_then(|(_, rest)| rest.split_once(']'));
    let list = list.map_or("", |(list, _)| list);
    let line = 1 + root.text.split("default-members").next().map_or(0, |before| before.matches('\n').count());
    let mut found = Vec::new();
    for manifest in tree.manifests() {
        let Some(folder) = manifest.path.strip_suffix("/Cargo.toml") else { continue };
        if !list.contains(&format!("\"{folder}\"")) {
            let message = format!("default-members lacks {folder}: `cargo test` would pass it by");
            found.push(Offence::at(&root.path, line, message));
        }
    }
    found
}

fn layer_of(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

struct Dependency {
    name: String,
    line: usize,
    is_dev: bool,
}

/// The name of the package, if the manifest declares one.
fn package(manifest: &File) -> Option<String> {
    entries(manifest)
        .into_iter()
        .find(|entry| entry.section == "package" && entry.key == "name")
        .map(|e| e.value)
}

/// What the manifest's package depends on: for use, for building, for testing, on whatever target.
/// The table of the workspace only offers versions, so it does not count.
fn dependencies(manifest: &File) -> Vec<Dependency> {
    let mut found: Vec<Dependency> = Vec::new();
    for entry in entries(manifest) {
        let section = entry.section.rsplit_once("'.").map_or(entry.section.as_str(), |(_, section)| section);
        let Some((kind, of)) = section.split_once("dependencies") else { continue };
        if !matches!(kind, "" | "dev-" | "build-") {
            continue;
        }
        // Three spellings: `name = ..`, `name.workspace = true`, and a section `[dependencies.name]`.
        let key = of.strip_prefix('.').unwrap_or(&entry.key);
        let name = renamed(&entry.value).unwrap_or(key).to_owned();
        let line = entry.line;
        found.push(Dependency { name, line, is_dev: kind == "dev-" });
    }
    found.dedup_by(|a, b| a.name == b.name && a.is_dev == b.is_dev);
    found
}

/// The package behind a renaming dependency, `x = { package = "name", .. }`.
fn renamed(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("package")?;
    rest.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?.split('"').next()
}

/// One `key = value` line of a manifest with its section.
struct Entry {
    section: String,
    key: String,
    value: String,
    line: usize,
}

/// Reads the part of TOML that manifests here use: sections, and a key with its value on one line.
fn entries(manifest: &File) -> Vec<Entry> {
    let mut section = String::new();
    let mut found = Vec::new();
    for (index, line) in manifest.text.lines().enumerate() {
        let line_text = line.trim();
        if let Some(header) = line_text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            section = header.0.trim_matches(['[', ']']).to_owned();
            if section.split_once("dependencies.").is_some() {
                found.push(Entry {
                    section: section.clone(),
                    key: String::new(),
                    value: String::new(),
                    line: index + 1,
                });
            }
        } else if let Some((key, value)) = line_text.split_once('=').filter(|_| !line_text.starts_with('#')) {
            let key = key.trim().split('.').next().unwrap_or("").trim_matches('"').to_owned();
            let value = value.trim().trim_matches('"').to_owned();
            found.push(Entry { section: section.clone(), key, value, line: index + 1 });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, rest: &str) -> String {
        format!("[package]\nname = \"warpsmith-{name}\"\n\n{rest}")
    }

    fn layer_lines(name: &str, rest: &str) -> Vec<usize> {
        let path = format!("crates/{name}/Cargo.toml");
        layers(&Tree::of(&[(&path, &manifest(name, rest))])).iter().map(|o| o.line).collect()
    }

    #[test]
    fn dependencies_up_or_sideways_are_found_in_every_spelling() {
        assert_eq!(layer_lines("autograd", "[dependencies]\nwarpsmith-ops.workspace = true"), [5]);
        assert_eq!(layer_lines("autograd", "[dependencies]\nwarpsmith-ops = { path = \"../ops\" }"), [5]);
        assert_eq!(layer_lines("autograd", "[dependencies.warpsmith-ops]\npath = \"../ops\""), [4]);
        assert_eq!(layer_lines("autograd", "[dev-dependencies]\nwarpsmith-ops.workspace = true"), [5]);
        assert_eq!(layer_lines("autograd", "[build-dependencies]\nwarpsmith.workspace = true"), [5]);
        assert_eq!(
            layer_lines("autograd", "[target.'cfg(unix)'.dependencies]\nwarpsmith-ops.workspace = true"),
            [5]
        );
        assert_eq!(layer_lines("autograd", "[dependencies]\nx = { package = \"warpsmith-ops\" }"), [5]);
        assert_eq!(layer_lines("text", "[dependencies]\nwarpsmith-model.workspace = true"), [5]);
        assert_eq!(layer_lines("xtask", "[dependencies]\nwarpsmith-tensor.workspace = true"), [5]);
    }

    #[test]
    fn dependencies_down_and_on_others_pass() {
        let below = "[dependencies]\nwarpsmith-tensor.workspace = true\nwarpsmith-ops.workspace = true\nrayon = \"1\"";
        assert_eq!(layer_lines("model", below), []);
        assert_eq!(layer_lines("autograd", "[workspace.dependencies]\nwarpsmith-ops = { path = \"x\" }"), []);
    }

    #[test]
    fn the_emulator_is_for_tests_and_the_command() {
        assert_eq!(layer_lines("ops", "[dependencies]\nwarpsmith-emulator.workspace = true"), [5]);
        assert_eq!(layer_lines("ops", "[dev-dependencies]\nwarpsmith-emulator.workspace = true"), []);
        assert_eq!(layer_lines("emulator", "[dependencies]\nwarpsmith-tensor.workspace = true"), [5]);
        assert_eq!(layer_lines("emulator", "[dependencies]\nwarpsmith-kernels.workspace = true"), [5]);
        assert_eq!(layer_lines("emulator", "[dev-dependencies]\nwarpsmith-kernels.workspace = true"), []);
        let facade = "[package]\nname = \"warpsmith\"\n[dependencies]\nwarpsmith-emulator.workspace = true";
        assert_eq!(layers(&Tree::of(&[("Cargo.toml", facade)])), []);
        assert_eq!(layer_lines("ops", "[dependencies]\nwarpsmith-emulator-loader.workspace = true"), [5]);
        assert_eq!(layer_lines("emulator", "[dependencies]\nwarpsmith-emulator-loader.workspace = true"), []);
    }

    #[test]
    fn a_crate_without_a_layer_is_found() {
        assert_eq!(layer_lines("novel", ""), [1]);
    }

    #[test]
    fn cudarc_is_found_outside_tensor() {
        let uses = "[dependencies]\ncudarc = \"=0.18.1\"";
        let code = "use cudarc::driver;\n// cudarc\n";
        let files = |folder: &str| {
            let manifest_path = format!("crates/{folder}/Cargo.toml");
            let code_path = format!("crates/{folder}/src/lib.rs");
            cudarc(&Tree::of(&[(&manifest_path, &manifest(folder, uses)), (&code_path, code)])).len()
        };
        assert_eq!(files("tensor"), 0);
        assert_eq!(files("ops"), 2);
        assert_eq!(files("emulator"), 2);
        let tests = [
            ("crates/emulator/Cargo.toml", "[dev-dependencies]\ncudarc = \"=0.18.1\""),
            ("crates/emulator/tests/driver/main.rs", code),
        ];
        assert_eq!(cudarc(&Tree::of(&tests)), []);
    }

    #[test]
    fn a_crate_that_plain_cargo_test_passes_by_is_found() {
        let root = "[workspace]\ndefault-members = [\n  \".\", \"crates/ops\",\n]\n";
        let tree = [("Cargo.toml", root), ("crates/ops/Cargo.toml", ""), ("crates/model/Cargo.toml", "")];
        let found = members(&Tree::of(&tree));
        assert_eq!((found.len(), found[0].line), (1, 2));
        assert!(found[0].message.contains("crates/model"));
    }
}
