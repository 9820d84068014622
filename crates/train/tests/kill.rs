//! `kill -9` at any moment of a run that saves without pause: what was reported as saved is found, whole, and the run
//! goes on from there.
//!
//! The test starts itself as the process to kill.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use warpsmith_train::atomic::{Found, find_latest, prune, write_checkpoint};
use warpsmith_train::log::{LogWriter, Record, read_log};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const ROUNDS: u64 = 60;
/// Fewer kills in mid-save than this would show little.
const IN_MID_SAVE: usize = 10;

fn main() -> Outcome {
    let arguments: Vec<String> = env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("save-without-pause") => save_without_pause(Path::new(&arguments[2])),
        _ => kill_and_look(),
    }
}

/// The content of the one file of a checkpoint: long enough to be written in pieces, different for each step.
fn content(step: usize) -> Vec<u8> {
    (0..200_000usize).map(|i| ((i * (step + 1)) >> 4) as u8).collect()
}

fn save_without_pause(dir: &Path) -> Outcome {
    let start = find_latest(dir)?.found.map_or(0, |found| found.manifest.step);
    let (mut log, _) = LogWriter::resume(&dir.join("log.jsonl"), start)?;
    for step in start + 1.. {
        log.append(&Record { step, train_loss: Some(1.0 / step as f64), ..Record::default() })?;
        write_checkpoint(dir, step, |files| {
            files.write("model.bin", |out| {
                content(step).chunks(1000).try_for_each(|piece| {
                    // So that most of the time goes by in mid-save, and most kills fall there.
                    thread::sleep(Duration::from_micros(100));
                    out.write_all(piece)
                })
            })
        })?;
        println!("{step}");
        prune(dir, 2)?;
    }
    Ok(())
}

fn kill_and_look() -> Outcome {
    let root = tempfile::tempdir()?;
    let mut in_mid_save = 0;
    for round in 0..ROUNDS {
        let (reported, process) = run_and_kill(root.path(), round)?;
        in_mid_save += usize::from(holds_unfinished(root.path(), process)?);
        check(root.path(), reported).map_err(|error| format!("round {round}: {error}"))?;
    }
    println!("{ROUNDS} kills, {in_mid_save} of them in mid-save: no checkpoint lost");
    if in_mid_save < IN_MID_SAVE {
        return Err(
            format!("{in_mid_save} of {ROUNDS} kills fell in mid-save, fewer than {IN_MID_SAVE}").into()
        );
    }
    Ok(())
}

/// Runs until one step is reported and a little longer, kills, and returns the last step that was reported, and the number of the
/// process.
fn run_and_kill(dir: &Path, round: u64) -> Outcome<(usize, u32)> {
    let mut child = Command::new(env::current_exe()?)
        .arg("save-without-pause")
        .arg(dir)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
    let mut reported: usize = lines.next().ok_or("the run ended before its first save")??.parse()?;
    // Moments spread over a few saves; which one it is does not matter to the checks.
    thread::sleep(Duration::from_micros(round * 7919 % 40_000));
    child.kill()?;
    child.wait()?;
    for line in lines {
        reported = line?.parse()?;
    }
    Ok((reported, child.id()))
}

/// Whether this process left a save unfinished; what an earlier one left may still be there.
fn holds_unfinished(dir: &Path, process: u32) -> Outcome<bool> {
    for entry in fs::read_dir(dir)? {
        if entry?.file_name().to_string_lossy().contains(&format!(".tmp-{process}-")) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn check(dir: &Path, reported: usize) -> Outcome {
    let Found { path, manifest } = find_latest(dir)?.found.ok_or("no checkpoint found")?;
    // The step after the last one reported may have been saved, and killed before its report.
    if manifest.step != reported && manifest.step != reported + 1 {
        return Err(format!("step {reported} was reported, step {} found", manifest.step).into());
    }
    if fs::read(path.join("model.bin"))? != content(manifest.step) {
        return Err(format!("{} holds other bytes than were saved", path.display()).into());
    }
    let steps: Vec<usize> = read_log(&dir.join("log.jsonl"))?.iter().map(|record| record.step).collect();
    let every = (1..=steps.len()).collect::<Vec<_>>();
    if steps != every || steps.len() < manifest.step {
        return Err(format!("the log holds the steps {steps:?}, step {} was saved", manifest.step).into());
    }
    Ok(())
}
