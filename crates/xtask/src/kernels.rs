//! `cargo xtask kernels`: CUDA sources to committed PTX, and the table of what that PTX needs of each GPU.
//!
//! Needs `python3` with pip, and on the first run the package index; no GPU and no installed toolkit.

pub mod build;
mod guests;
pub mod pins;
mod resources;
pub mod toolchain;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use pins::Pins;
use toolchain::Toolchain;

/// What stops a run, as a sentence.
pub type Failure = String;

/// Where everything lies, relative to the root of the repository.
pub struct Places {
    /// The root of the repository.
    root: PathBuf,
    /// The crate of the kernels.
    pub kernels: PathBuf,
    /// The installed compilers.
    pub toolchain: PathBuf,
    /// The script that drives NVRTC.
    script: PathBuf,
}

impl Places {
    /// The places of the repository around the current folder.
    pub fn around_current_folder() -> Result<Self, Failure> {
        let here = env::current_dir().map_err(|error| format!("no current folder: {error}"))?;
        let root = here.ancestors().find(|folder| folder.join("kernels/toolchain.toml").exists());
        let root =
            root.ok_or("run it inside the repository: no folder above holds kernels/toolchain.toml")?;
        Ok(Self {
            root: root.to_owned(),
            kernels: root.join("kernels"),
            toolchain: root.join("target/kernels-toolchain"),
            script: root.join("crates/xtask/src/kernels/nvrtc.py"),
        })
    }
}

/// `kernels [--check] [module.. | bench]`: builds the PTX, or holds the committed one to the sources.
pub fn run(arguments: &[String]) -> ExitCode {
    let is_check = arguments.iter().any(|a| a == "--check");
    let modules: Vec<String> = arguments.iter().filter(|a| !a.starts_with("--")).cloned().collect();
    if let Some(odd) = arguments.iter().find(|a| a.starts_with("--") && *a != "--check") {
        eprintln!("xtask kernels: no option is called `{odd}`; it takes --check and names of modules");
        return ExitCode::from(2);
    }
    match all(is_check, modules) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("xtask kernels: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// What stands for the sources of the bench among the names of modules.
const GUESTS: &str = "bench";

fn all(is_check: bool, names: Vec<String>) -> Result<String, Failure> {
    let places = Places::around_current_folder()?;
    let pins = Pins::read(&places.kernels.join("toolchain.toml"))?;
    let known = modules_of(&places.kernels, "cu")?;
    let is_partial = !names.is_empty();
    let (guests, modules): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| name == GUESTS);
    if let Some(odd) = modules.iter().find(|name| !known.contains(name)) {
        return Err(format!("there is no kernels/{odd}.cu"));
    }
    let modules = if is_partial { modules } else { known.clone() };
    let tools = Toolchain::install(&places.toolchain, &pins)?;

    let built = build::compile(&places, &pins, &tools, &modules)?;
    for (module, ptx) in &built {
        build::within_limits(module, ptx, &pins)?;
    }
    let folder = places.kernels.join("built");
    if is_check {
        build::same_as_committed(&folder, &built)?;
        orphans(&folder, &known)?;
    } else {
        for (module, ptx) in &built {
            write(&folder.join(format!("{module}.ptx")), ptx)?;
        }
    }

    let measured = resources::measure(&tools, &pins, &folder, &places.toolchain.join("out"), &modules)?;
    resources::no_spills(&measured, &pins)?;
    let present = resources::present(&folder, &known)?;
    let table = folder.join("resources.toml");
    let committed = fs::read_to_string(&table).unwrap_or_default();
    if is_check {
        resources::same_as_committed(&measured, &committed, &present)?;
    } else {
        let merged = resources::merge(&committed, &measured, &present);
        write(&table, &resources::render(&merged, &pins))?;
    }
    let wants_guests = !is_partial || !guests.is_empty();
    let guests = if wants_guests { guests::build(&places, &pins, &tools, is_check)? } else { 0 };
    let (entries, ways) = (measured.len(), pins.architectures().len());
    let verb = if is_check { "checked" } else { "built" };
    let modules = modules.len();
    Ok(format!(
        "kernels: {verb} {modules} modules, {entries} entries for {ways} architectures; {guests} sources of the bench"
    ))
}

/// Names, without the extension, of the files of a folder that have it; sorted.
pub fn names_of(folder: &Path, extension: &str) -> Result<Vec<String>, Failure> {
    let files = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = files.flatten().map(|file| file.path());
    let matching = paths.filter(|path| path.extension().is_some_and(|own| own == extension));
    let mut names: Vec<String> =
        matching.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// Names of modules: the files of a folder that have the extension, and those of the ladders in it as
/// `ladder/<op>/<name>`.
pub fn modules_of(folder: &Path, extension: &str) -> Result<Vec<String>, Failure> {
    let mut names = names_of(folder, extension)?;
    let ladders = folder.join("ladder");
    let ops = fs::read_dir(&ladders).map_err(|error| format!("{}: {error}", ladders.display()))?;
    for op in ops.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let op_name = op.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        names.extend(names_of(&op, extension)?.iter().map(|name| format!("ladder/{op_name}/{name}")));
    }
    names.sort();
    Ok(names)
}

/// PTX that is left of a source that is gone.
fn orphans(folder: &Path, known: &[String]) -> Result<(), Failure> {
    match modules_of(folder, "ptx")?.into_iter().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(format!("built/{name}.ptx has no source: delete it")),
    }
}

/// Writes a file, and makes its folder if there is none.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder.and_then(|()| fs::write(path, text)).map_err(|error| format!("{}: {error}", path.display()))
}
