//! `bench --check`: a kernel of the user's under the emulator, in processes of their own, since a fault ends a device.

use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use warpsmith_bench::record::{Record, Row, Status};
use warpsmith_bench::session::refused;
use warpsmith_bench::tasks::Case;

use super::patience;
use crate::cli::Failure;

/// Orders of blocks and warps. A kernel that is right is right under each.
const SCHEDULES: [&str; 3] = ["forward", "reverse", "7"];

/// Runs the kernel `entry` on the task's awkward shapes under each schedule, each buffer an allocation of its own with nothing
/// beside it. The row of the first refusal, or of what it does not do, under the case's own shape; `None` if all went well.
pub fn check(args: &ArgMatches, kernel: &str, entry: &str, case: &Case) -> Result<Option<Row>, Failure> {
    for schedule in SCHEDULES {
        let rows = match child(args, kernel, case, schedule)? {
            Some(record) => record.rows,
            None => {
                let limit = patience(args).as_secs();
                let reason = format!(
                    "it did not end in {limit} s: a loop without an end, or --timeout gives it longer"
                );
                vec![refused(case, entry.into(), reason)]
            }
        };
        let found = rows.into_iter().find(|row| row.status != Status::Ok);
        if let Some(mut row) = found {
            if row.status == Status::Refused {
                let reason = row.reason.take().unwrap_or_default();
                row.reason =
                    Some(format!("under the emulator (order of blocks and warps: {schedule}), {reason}"));
            }
            row.shape = case.work.to_string();
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// The record of a run under one schedule; `None` if it did not end in time.
fn child(args: &ArgMatches, kernel: &str, case: &Case, schedule: &str) -> Result<Option<Record>, Failure> {
    // A stranger is proven on all awkward shapes before the case that it is asked for; a fault on one of them is the last
    // thing that a device does, so there is no second case.
    let shape = case.work.awkward().first().map_or_else(|| case.work.to_string(), ToString::to_string);
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", case.work.task(), "--device", "emulated", "--no-ceilings", "--output", "json"]);
    command.args(["--pass", case.pass.name(), "--dtype", case.dtype.name(), "--shapes", &shape]);
    command.args(["--kernel", kernel, "--only-kernels"]);
    if let Some(line) = args.get_one::<String>("launch") {
        command.args(["--launch", line]);
    }
    command.env("WARPSMITH_EMULATOR_SCHEDULE", schedule).env("WARPSMITH_EMULATOR_CHECKS", "all");
    // The launch that faults says so itself.
    command.env("WARPSMITH_LAUNCH_BLOCKING", "1").env("WARPSMITH_ARENA", "off").stdin(Stdio::null());
    let Some(done) = output_within(&mut command, patience(args))? else { return Ok(None) };
    // A refusal ends the child with an error too, but it has printed its record by then.
    serde_json::from_slice(&done.stdout).map(Some).map_err(|_| {
        let told = String::from_utf8_lossy(&done.stderr);
        let error = told.lines().find(|line| line.starts_with("error:")).unwrap_or("it said nothing");
        Failure::Failed(format!("--check: {}", error.trim_start_matches("error:").trim()))
    })
}

/// What a command prints and how it ends; `None` if it takes longer than that, and is ended.
fn output_within(command: &mut Command, limit: Duration) -> std::io::Result<Option<Output>> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // Read meanwhile: who cannot write does not end.
    let (stdout, stderr) = (child.stdout.take().map(drained), child.stderr.take().map(drained));
    let until = Instant::now() + limit;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() > until => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let all = |reader: Option<JoinHandle<Vec<u8>>>| reader.and_then(|r| r.join().ok()).unwrap_or_default();
    Ok(Some(Output { status, stdout: all(stdout), stderr: all(stderr) }))
}

/// A pipe's text, read in a thread of its own.
fn drained(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        // What has come until the pipe broke is what there is.
        let _ = pipe.read_to_end(&mut text);
        text
    })
}
