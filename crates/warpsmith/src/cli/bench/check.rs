//! `bench --check`: a kernel of the user's under the emulator, in processes of their own, since a fault ends a device.

use std::process::{Command, Stdio};

use clap::ArgMatches;
use warpsmith_bench::record::{Record, Row, Status};
use warpsmith_bench::tasks::Case;

use crate::cli::Failure;

/// Orders of blocks and warps. A kernel that is right is right under each.
const SCHEDULES: [&str; 3] = ["forward", "reverse", "7"];

/// Runs the kernel on the task's awkward shapes under each schedule, each buffer an allocation of its own with nothing
/// beside it. The row of the first refusal, under the case's own shape; `None` if all went well.
pub fn check(args: &ArgMatches, kernel: &str, case: &Case) -> Result<Option<Row>, Failure> {
    for schedule in SCHEDULES {
        let record = child(args, kernel, case, schedule)?;
        let refused = record.rows.into_iter().find(|row| row.status == Status::Refused);
        if let Some(mut row) = refused {
            let reason = row.reason.take().unwrap_or_default();
            row.reason =
                Some(format!("under the emulator (order of blocks and warps: {schedule}), {reason}"));
            row.shape = case.work.to_string();
            return Ok(Some(row));
        }
    }
    Ok(None)
}

fn child(args: &ArgMatches, kernel: &str, case: &Case, schedule: &str) -> Result<Record, Failure> {
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
    command.env("WARPSMITH_ARENA", "off").stdin(Stdio::null());
    let done = command.output()?;
    // A refusal ends the child with an error too, but it has printed its record by then.
    serde_json::from_slice(&done.stdout).map_err(|_| {
        let told = String::from_utf8_lossy(&done.stderr);
        let error = told.lines().find(|line| line.starts_with("error:")).unwrap_or("it said nothing");
        Failure::Failed(format!("--check: {}", error.trim_start_matches("error:").trim()))
    })
}
