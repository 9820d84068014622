//! CUDA sources that are no kernels of the engine: those that users begin from, and mistakes for the bench's tests. They
//! are built as the kernels are, so that what is told to work has run.

use std::fs;
use std::path::Path;

use super::toolchain::Toolchain;
use super::{Failure, Pins, Places, build, names_of, write};

/// Where sources lie, and where their PTX goes, from the root of the repository.
const FOLDERS: [(&str, &str); 2] = [
    ("crates/bench/starters", "crates/bench/tests/kernels/starters"),
    ("crates/bench/tests/kernels", "crates/bench/tests/kernels"),
];

/// Compiles them all, or holds what is committed to its sources; how many there are.
pub fn build(places: &Places, pins: &Pins, tools: &Toolchain, is_check: bool) -> Result<usize, Failure> {
    let out = places.toolchain.join("out/guests");
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let mut count = 0;
    for (from, to) in FOLDERS {
        let folder = places.root.join(to);
        for name in names_of(&places.root.join(from), "cu")? {
            let ptx = compile(places, pins, tools, &out, from, &name)?;
            if is_check {
                build::same_as_committed(&folder, &[(name, ptx)])?;
            } else {
                write(&folder.join(format!("{name}.ptx")), &ptx)?;
            }
            count += 1;
        }
    }
    Ok(count)
}

/// The PTX of one source of the folder `from`, by way of the folder `out`.
fn compile(
    places: &Places,
    pins: &Pins,
    tools: &Toolchain,
    out: &Path,
    from: &str,
    name: &str,
) -> Result<String, Failure> {
    let sources = places.root.join(from);
    let log = build::translate(places, tools, &sources, out, name)?;
    if !log.is_empty() {
        return Err(format!("the compiler warns of {from}/{name}.cu:\n{log}"));
    }
    let made = out.join(format!("{name}.ptx"));
    let text = fs::read_to_string(&made).map_err(|error| format!("{}: {error}", made.display()))?;
    // The script names all sources as if they were kernels.
    let text = text.replace("\"kernels/", &format!("\"{from}/"));
    let ptx = build::header(&sources, name, pins)? + &text;
    build::within_limits(name, &ptx, pins)?;
    Ok(ptx)
}
