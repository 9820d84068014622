//! `cargo xtask bundle`: one folder that holds a GPU machine without Rust to what the CPU computes.
//!
//! The folder has the stripped release program with its kernels inside, the emulator's library, and `run.sh`, which
//! runs everything in one command and leaves JSON. Before it is called done it is copied elsewhere and tried with an
//! empty environment.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

/// What stops a run, as a sentence.
type Failure = String;

/// The most that the folder may hold, in bytes.
const LIMIT: u64 = 40 << 20;
/// The newest symbols of glibc that the programs may ask for: those of Debian 12, Ubuntu 22.04 and RHEL 9, which the driver's
/// machines have.
const GLIBC: [u32; 2] = [2, 34];
const SCRIPT: &str = include_str!("bundle/run.sh");
const LIBRARY: &str = "libwarpsmith_emulator.so";

/// What goes into the folder.
struct Parts {
    /// The command.
    program: PathBuf,
    /// The emulator's shared library.
    library: PathBuf,
    /// What the program was built from.
    commit: String,
}

/// `bundle [--out DIR]`.
pub fn run(arguments: &[String]) -> ExitCode {
    let out = match arguments {
        [] => PathBuf::from("target/warpsmith-bundle"),
        [flag, folder] if flag == "--out" => PathBuf::from(folder),
        _ => {
            eprintln!("xtask bundle: it takes --out DIR and nothing else");
            return ExitCode::from(2);
        }
    };
    match build().and_then(|parts| bundle(&parts, &out)) {
        Ok(bytes) => {
            println!(
                "bundle: {} holds {:.1} MiB; run its run.sh",
                out.display(),
                bytes as f64 / f64::from(1 << 20)
            );
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("xtask bundle: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the program and the emulator in the profile `bundle`.
fn build() -> Result<Parts, Failure> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--profile", "bundle", "-p", "warpsmith", "-p", "warpsmith-emulator"]);
    let status = command.status().map_err(|error| format!("cargo does not start: {error}"))?;
    if !status.success() {
        return Err("the program does not build; cargo says why above".into());
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let built = target.join("bundle");
    Ok(Parts { program: built.join("warpsmith"), library: built.join(LIBRARY), commit: commit() })
}

/// What the working tree is at, with a mark if it was changed since.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|o| o.status.success())?;
        String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".into() };
    let is_changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|text| !text.is_empty());
    if is_changed { format!("{commit}+changes") } else { commit }
}

/// Makes the folder anew, tries it elsewhere, and says how many bytes it holds.
fn bundle(parts: &Parts, out: &Path) -> Result<u64, Failure> {
    if out.exists() && !out.join("run.sh").exists() {
        return Err(format!("{} is there and is no bundle: name another folder", out.display()));
    }
    let _ = fs::remove_dir_all(out);
    fs::create_dir_all(out).map_err(|error| told(out, &error))?;
    copy(&parts.program, &out.join("warpsmith"))?;
    copy(&parts.library, &out.join(LIBRARY))?;
    write(&out.join("run.sh"), SCRIPT)?;
    write(&out.join("COMMIT"), &format!("{}\n", parts.commit))?;
    make_executable(&out.join("run.sh"))?;
    let bytes = size(out)?;
    if bytes > LIMIT {
        return Err(format!("{} holds {bytes} bytes, and may hold {LIMIT}", out.display()));
    }
    for name in ["warpsmith", LIBRARY] {
        check_glibc(&out.join(name))?;
    }
    try_elsewhere(out)?;
    Ok(bytes)
}

/// An error if a program asks for symbols of a newer glibc than [`GLIBC`].
fn check_glibc(program: &Path) -> Result<(), Failure> {
    let bytes = fs::read(program).map_err(|error| told(program, &error))?;
    match newest_glibc(&bytes) {
        Some(newest) if newest > GLIBC => {
            let [newest, floor] = [newest, GLIBC].map(|[major, minor]| format!("{major}.{minor}"));
            Err(format!(
                "{} asks for glibc {newest}, and a machine may have {floor}: build it on an older system",
                program.display()
            ))
        }
        _ => Ok(()),
    }
}

/// The newest version among the names `GLIBC_<major>.<minor>` in a program, each of which ends with a zero byte: the versions of
/// the symbols that it links.
fn newest_glibc(program: &[u8]) -> Option<[u32; 2]> {
    const NAME: &[u8] = b"GLIBC_";
    let starts = program.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let version = |(start, _): (usize, &[u8])| {
        let rest = &program[start + NAME.len()..];
        let text = std::str::from_utf8(&rest[..rest.iter().position(|&byte| byte == 0)?]).ok()?;
        let mut numbers = text.splitn(3, '.').map(str::parse::<u32>);
        Some([numbers.next()?.ok()?, numbers.next()?.ok()?])
    };
    starts.filter_map(version).max()
}

/// Copies the folder away from what it was built from and runs its first steps there, on the CPU, with an empty
/// environment.
fn try_elsewhere(bundle: &Path) -> Result<(), Failure> {
    let away = tempfile::tempdir().map_err(|error| told(&env::temp_dir(), &error))?;
    copy_folder(bundle, away.path())?;
    try_in(away.path())
}

fn try_in(folder: &Path) -> Result<(), Failure> {
    let mut command = Command::new(folder.join("run.sh"));
    command.args(["--device", "cpu", "--steps", "doctor,selftest", "--small"]);
    let output = command.env_clear().current_dir("/").output().map_err(|error| told(folder, &error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    Err(format!("the folder does not run elsewhere:\n{}{}", said[0], said[1]))
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to).map_err(|error| told(to, &error))?;
    for entry in fs::read_dir(from).map_err(|error| told(from, &error))? {
        let path = entry.map_err(|error| told(from, &error))?.path();
        let name = path.file_name().ok_or("a file without a name")?;
        copy(&path, &to.join(name))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::copy(from, to).map(drop).map_err(|error| told(from, &error))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| told(path, &error))
}

#[cfg(unix)]
fn make_executable(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(|error| told(path, &error))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<(), Failure> {
    Err("bundles are made on Linux, for Linux".into())
}

/// The bytes of all files of a flat folder.
fn size(folder: &Path) -> Result<u64, Failure> {
    let files = fs::read_dir(folder).map_err(|error| told(folder, &error))?;
    files
        .map(|file| file.and_then(|file| file.metadata()).map(|m| m.len()))
        .sum::<Result<u64, _>>()
        .map_err(|error| told(folder, &error))
}

fn told(path: &Path, error: &std::io::Error) -> Failure {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests;
