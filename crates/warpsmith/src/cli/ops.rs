//! `warpsmith ops`: the table of all ops, from the registry.

use clap::{ArgMatches, Command};
use serde_json::json;
use warpsmith::ops::op_table;

use super::{Failure, flags};

/// The flags.
pub fn command() -> Command {
    Command::new("ops")
        .about("All ops: dtypes, devices, gradient, traffic")
        .arg(flags::json("Print one JSON array."))
}

/// `warpsmith ops`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let table = op_table();
    if args.get_flag("json") {
        let rows: Vec<_> = table
            .iter()
            .map(|row| {
                json!({
                    "name": row.name,
                    "summary": row.summary,
                    "dtypes": row.dtypes,
                    "devices": row.devices,
                    "gradient": row.gradient,
                    "forward": { "read": row.read, "written": row.written, "flops": row.flops },
                    "backward": row.backward,
                })
            })
            .collect();
        say!("{}", serde_json::to_string_pretty(&rows)?)?;
        return Ok(());
    }
    say!("{:<24} {:<9} {:<34} {:<24} backward", "op", "gradient", "bytes read", "bytes written")?;
    for row in &table {
        say!("{:<24} {:<9} {:<34} {:<24} {}", row.name, row.gradient, row.read, row.written, row.backward)?;
    }
    say!("\ns: bytes per element. N: elements of the first input. {} ops on: cpu.", table.len())?;
    Ok(())
}
