//! `warpsmith ops`: the table of all ops, from the registry.

use clap::{ArgMatches, Command};
use serde_json::json;
use warpsmith::ops::{OpRow, op_table};

use super::{Failure, flags, table};

/// The flags.
pub fn command() -> Command {
    Command::new("ops")
        .about("All ops: dtypes, devices, gradient, traffic")
        .arg(flags::json("Print one JSON array."))
}

/// `warpsmith ops`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let ops = op_table();
    if args.get_flag("json") {
        let rows: Vec<_> = ops
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
    let head = ["op", "dtypes", "devices", "gradient", "bytes read", "bytes written", "flops", "backward"];
    let cells = |row: OpRow| {
        vec![row.name, row.dtypes, row.devices, row.gradient, row.read, row.written, row.flops, row.backward]
    };
    let count = ops.len();
    put!("{}", table::markdown(head.map(String::from).into(), ops.into_iter().map(cells).collect()))?;
    say!(
        "\n{count} ops.\n\
         dtypes    the floats that an op takes\n\
         gradient  constant: none by definition; refused: asking for it is an error\n\
         backward  the kernel that computes the gradient, and its traffic; composed: of ops of this table\n\
         bytes and flops are those of one call, each tensor counted once: s bytes per element, i per index, N elements of the first \
         input; other letters as crates/ops/src/OP.rs explains them"
    )
}
