//! A bug put into a copy of the sources, and that compiled.

use std::fs;
use std::path::{Path, PathBuf};

use super::Failure;
use super::catalogue::{Kernel, Mutant};
use crate::kernels::toolchain::Toolchain;
use crate::kernels::{Places, build, write};

/// Compiles the module with the bug; the path of its PTX.
pub fn compile(
    places: &Places,
    tools: &Toolchain,
    kernel: &Kernel,
    mutant: &Mutant,
) -> Result<PathBuf, Failure> {
    let folder = places.toolchain.join(format!("mutants/{}.{}", kernel.name, mutant.name));
    let own = format!("{}.cu", kernel.name);
    for (path, mut text) in build::sources(&places.kernels, &kernel.name)? {
        if let Some([from, to]) = kernel.trim.as_ref().filter(|_| path == own) {
            text = text.replace(from, to);
        }
        if path == mutant.file {
            text = text.replace(&mutant.find, &mutant.put);
        }
        put(&folder.join(path), &text)?;
    }
    // Warnings are what such a bug may well cause.
    build::translate(places, tools, &folder, &folder, &kernel.name)?;
    Ok(folder.join(format!("{}.ptx", kernel.name)))
}

fn put(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    write(path, text)
}
