//! Packs the committed PTX of `built/` into `$OUT_DIR`, each file as a DEFLATE stream: 15 MB of text become 3 MB in every
//! program that holds the kernels. `Module::ptx` (`src/module.rs`) unpacks one when it is asked for.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Higher levels take twice as long and gain one part in a hundred.
const LEVEL: u8 = 6;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=built");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    pack(Path::new("built"), &out)
}

/// Packs `<folder>/<name>.ptx` into `<out>/<name>.ptx.deflate`, and folders below into folders below.
fn pack(folder: &Path, out: &Path) -> io::Result<()> {
    fs::create_dir_all(out)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            pack(&path, &out.join(name))?;
        } else if name.ends_with(".ptx") {
            let packed = miniz_oxide::deflate::compress_to_vec(&fs::read(&path)?, LEVEL);
            fs::write(out.join(name + ".deflate"), packed)?;
        }
    }
    Ok(())
}
