//! The compilers, installed from the Python package index into a folder of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Failure, pins::Pins};

/// Where the tools are.
pub struct Toolchain {
    /// The compiler from CUDA C++ to PTX, a shared library.
    pub nvrtc: PathBuf,
    /// The assembler from PTX to machine code.
    pub ptxas: PathBuf,
}

/// What runs the installer and the compile script.
pub const PYTHON: &str = "python3";

impl Toolchain {
    /// Installs what is pinned, unless it is there.
    pub fn install(folder: &Path, pins: &Pins) -> Result<Self, Failure> {
        let wanted = [pins.requirements("compile"), pins.requirements("assemble")].concat();
        let stamp = folder.join("installed");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted.join("\n")) {
            return Self::find(folder);
        }
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let mut pip = Command::new(PYTHON);
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]);
        pip.args(["--disable-pip-version-check", "--root-user-action", "ignore", "--target"]);
        run(pip.arg(folder).args(&wanted)).map_err(|failure| {
            format!(
                "cannot install the pinned compilers ({}): {failure}\n\
                 this chore needs {PYTHON} with pip, and the Python package index; nothing else here does",
                wanted.join(", ")
            )
        })?;
        let tools = Self::find(folder)?;
        fs::write(&stamp, wanted.join("\n")).map_err(|error| format!("{}: {error}", stamp.display()))?;
        Ok(tools)
    }

    fn find(folder: &Path) -> Result<Self, Failure> {
        let found = |name: &str| {
            find_file(folder, name).ok_or_else(|| format!("{} holds no {name}*", folder.display()))
        };
        Ok(Self { nvrtc: found("libnvrtc.so")?, ptxas: found("ptxas")? })
    }
}

/// The first file below `folder` whose name begins with `name`.
fn find_file(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|own| own.to_string_lossy().starts_with(name)) {
                return Some(path);
            }
        }
    }
    None
}

/// Runs a command to its end; what it printed, or why it failed.
pub fn run(command: &mut Command) -> Result<String, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program} does not start: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let printed = [text(&output.stdout), text(&output.stderr)].join("\n").trim().to_owned();
    match output.status.success() {
        true => Ok(printed),
        false => Err(format!("{program} failed ({}): {printed}", output.status)),
    }
}
