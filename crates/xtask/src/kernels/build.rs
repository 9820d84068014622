//! From sources to PTX.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::toolchain::{PYTHON, Toolchain, run};
use super::{Failure, Pins, Places, write};
use crate::parallel;

/// Compiles the modules, as many at a time as there are cores; each with its PTX, headed by the hashes of the sources
/// that it came from.
///
/// What this machine has made of the same sources with the same compiler and options is not made again: it lies beside
/// the compiler, so that deleting that folder makes everything anew, and no file that is committed can stand in for it.
pub fn compile(
    places: &Places,
    pins: &Pins,
    tools: &Toolchain,
    modules: &[String],
) -> Result<Vec<(String, String)>, Failure> {
    let out = places.toolchain.join("out");
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    // The longest first, by what they were before, so that no core is left with a long one at the end.
    let size = |module: &String| {
        fs::metadata(places.kernels.join(format!("built/{module}.ptx"))).map_or(u64::MAX, |file| file.len())
    };
    let mut jobs = modules.to_vec();
    jobs.sort_by_key(|module| (std::cmp::Reverse(size(module)), module.clone()));
    let one = |module: &String| {
        let header = header(&places.kernels, module, pins)?;
        let script = fs::read(&places.script).map_err(|e| format!("{}: {e}", places.script.display()))?;
        let (ptx, made_of) = (out.join(format!("{module}.ptx")), out.join(format!("{module}.made-of")));
        let inputs = format!("{header}// script {:016x}\n", hash(&script));
        let is_made = ptx.exists() && fs::read_to_string(&made_of).is_ok_and(|known| known == inputs);
        if !is_made {
            // Gone until the new one is whole; and a module of a ladder lies in a folder of its own.
            let _ = fs::remove_file(&made_of);
            let folder = ptx.parent().unwrap_or(&out);
            fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            let log = translate(places, tools, &places.kernels, &out, module)?;
            if !log.is_empty() {
                return Err(format!("the compiler warns, and warnings are errors here:\n{log}"));
            }
            write(&made_of, &inputs)?;
        }
        let text = fs::read_to_string(&ptx).map_err(|error| format!("{}: {error}", ptx.display()))?;
        Ok((module.clone(), header + &text))
    };
    let mut built: Vec<(String, String)> = parallel::map(&jobs, one).into_iter().collect::<Result<_, _>>()?;
    built.sort();
    Ok(built)
}

/// Compiles one module of the folder `sources` into the folder `out`; what the compiler says of it.
pub fn translate(
    places: &Places,
    tools: &Toolchain,
    sources: &Path,
    out: &Path,
    module: &str,
) -> Result<String, Failure> {
    run(Command::new(PYTHON).arg(&places.script).arg(&tools.nvrtc).arg(sources).arg(out).arg(module))
}

/// The lines that say from what the PTX was made.
pub fn header(kernels: &Path, module: &str, pins: &Pins) -> Result<String, Failure> {
    let mut lines = String::from("// Written by `cargo xtask kernels`; do not edit.\n");
    for requirement in pins.requirements("compile") {
        lines += &format!("// compiler {requirement}\n");
    }
    for (path, text) in sources(kernels, module)? {
        lines += &format!("// source {:016x} {path}\n", hash(text.as_bytes()));
    }
    Ok(lines)
}

/// A module's source and all that it includes, in the order of first mention.
pub fn sources(kernels: &Path, module: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut left = vec![format!("{module}.cu")];
    while let Some(path) = left.pop() {
        if found.iter().any(|(own, _)| *own == path) {
            continue;
        }
        let text = fs::read_to_string(kernels.join(&path)).map_err(|error| format!("{path}: {error}"))?;
        left.extend(includes(&text));
        found.push((path, text));
    }
    Ok(found)
}

fn includes(text: &str) -> impl Iterator<Item = String> {
    let named = |line: &str| Some(line.strip_prefix("#include \"")?.split_once('"')?.0.to_owned());
    text.lines().filter_map(named)
}

/// FNV-1a in 64 bits: enough to notice a change, and a dozen lines less than anything else.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// An error if the PTX asks for a newer driver or GPU than the limits allow.
pub fn within_limits(module: &str, ptx: &str, pins: &Pins) -> Result<(), Failure> {
    for (key, limit) in pins.section("limits") {
        let found = ptx.lines().find_map(|line| line.strip_prefix(&format!(".{key} ")));
        let found = found.ok_or_else(|| format!("{module}.ptx has no .{key}"))?.trim();
        if found != limit {
            return Err(format!("{module}.ptx is of .{key} {found}, not the promised {limit}"));
        }
    }
    Ok(())
}

/// An error if the committed PTX is not what the compiler makes of the sources.
pub fn same_as_committed(folder: &Path, built: &[(String, String)]) -> Result<(), Failure> {
    for (module, ptx) in built {
        let path = folder.join(format!("{module}.ptx"));
        let committed = fs::read_to_string(&path).unwrap_or_default();
        if committed != *ptx {
            let pairs = committed.lines().zip(ptx.lines());
            let line = 1 + pairs.take_while(|(a, b)| a == b).count();
            let what = "is not what the compiler makes of its source: run `cargo xtask kernels`";
            return Err(format!("{}, line {line}, {what}", path.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_gives_the_published_answers() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn includes_of_ours_are_found() {
        let text = "#pragma once\n#include \"tile/a.cuh\"\n// #include \"b\"\n#include <c>\n";
        assert_eq!(includes(text).collect::<Vec<_>>(), ["tile/a.cuh"]);
    }

    #[test]
    fn ptx_for_newer_drivers_or_gpus_is_refused() {
        let pins = Pins::parse("[limits]\nversion = \"8.4\"\ntarget = \"sm_80\"\n").unwrap();
        assert!(within_limits("a", ".version 8.4\n.target sm_80\n", &pins).is_ok());
        assert!(within_limits("a", ".version 9.0\n.target sm_80\n", &pins).is_err());
        assert!(within_limits("a", ".version 8.4\n.target sm_90a\n", &pins).is_err());
        assert!(within_limits("a", ".target sm_80\n", &pins).is_err());
    }
}
