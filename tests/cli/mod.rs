//! The `warpsmith` command, run as a process: what it prints, what it leaves on disk, how it ends.

mod bench;
mod bundle;
mod classify;
mod commands;
mod data;
mod decoding;
mod device;
mod families;
mod gguf;
mod interruption;
#[cfg(feature = "emulator")]
mod kernel;
mod printing;
mod refusals;
mod resume;
mod runs;
mod search;
mod selftest;
mod stored;
mod strangers;
mod threads;
mod vectors;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder with a text to learn from, thrown away at the end.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().expect("a temporary folder can be made") };
        let lines = (0..200).map(|i| format!("line {i} says that {} comes after {}.\n", i + 1, i * 7 % 13));
        place.write("text.txt", lines.collect::<String>().as_bytes());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("the temporary folder can be written");
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warpsmith"));
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command().args(words).output().expect("the command starts")
    }

    /// Trains a tiny model into `out`, with `extra` flags.
    fn train(&self, out: &str, extra: &[&str]) -> Output {
        self.run(&[&tiny(out)[..], extra].concat())
    }

    /// As [`Place::train`], which has to go well.
    fn trained(&self, out: &str, extra: &[&str]) -> String {
        succeeded(&self.train(out, extra))
    }
}

/// The flags of a model that trains in a moment, but for `max_iters` and `dropout`.
fn tiny(out: &str) -> Vec<&str> {
    let mut words = vec!["train", "--data", "text.txt", "--out", out];
    words.extend(["--n_layer", "1", "--n_head", "2", "--n_embd", "16", "--block_size", "16"]);
    words.extend(["--batch_size", "4", "--eval_interval", "6", "--eval_iters", "2"]);
    words.extend(["--sample_tokens", "20", "--log_interval", "1", "--warmup_iters", "2"]);
    words.extend(["--always_save_checkpoint", "true", "--lr_decay_iters", "12", "--device", "cpu"]);
    words
}

/// What a run of 12 steps without dropout adds to [`tiny`].
const PLAIN: [&str; 4] = ["--max_iters", "12", "--dropout", "0"];

/// Presses the stop key.
#[cfg(unix)]
fn interrupt(child: &std::process::Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "the signal cannot be sent");
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The standard output of a command that ended with 0 and said nothing of an error.
fn succeeded(output: &Output) -> String {
    let told = stderr(output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(!told.contains("error:") && !told.contains("panicked"), "{told}");
    stdout(output)
}

/// The one `error:` line of a command that had to fail with `code`.
fn refused(output: &Output, code: i32) -> String {
    let told = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{told}{}", stdout(output));
    assert!(!told.contains("panicked"), "{told}");
    let errors: Vec<&str> = told.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(errors.len(), 1, "{told}");
    errors[0].to_string()
}

/// The bytes that decide how a run goes on: weights and moments after `step` steps.
fn state_at(run: &Path, step: usize) -> (Vec<u8>, Vec<u8>) {
    let read = |name: &str| {
        let path = run.join(format!("checkpoint-{step}")).join(name);
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    (read("model.safetensors"), read("optimizer.safetensors"))
}

/// The steps of the finished checkpoints of a run, in order.
fn checkpoints(run: &Path) -> Vec<usize> {
    let entries = std::fs::read_dir(run).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut steps: Vec<usize> =
        names.filter_map(|name| name.strip_prefix("checkpoint-")?.parse().ok()).collect();
    steps.sort_unstable();
    steps
}
