//! `warpsmith runs`: the runs of a folder, and two models or two files of answers held against each other.

mod answers;
mod compare;
mod when;

use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use serde_json::json;
use warpsmith::train::TrainConfig;
use warpsmith::train::runs::{self, RunSummary};

use super::{Failure, flags, table};

/// The flags.
pub fn command() -> Command {
    let list = Command::new("list")
        .about("The runs in a folder and the folders in it: what, how far, how good")
        .arg(Arg::new("dir").value_name("DIR").default_value("runs").help("Where to look."))
        .arg(flags::json("Print one JSON object for each run."));
    Command::new("runs")
        .about("Lists run folders; holds two models against each other")
        .subcommand_required(true)
        .subcommands([list, compare::command()])
}

/// `warpsmith runs`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    match args.subcommand() {
        Some(("compare", args)) => compare::run(args),
        Some((_, args)) => list(args),
        None => Ok(()),
    }
}

fn list(args: &ArgMatches) -> Result<(), Failure> {
    let dir = Path::new(args.get_one::<String>("dir").map_or("", String::as_str));
    let found = runs::find(dir)?;
    if found.is_empty() {
        return Err(Failure::Failed(format!(
            "{}: no run in it: a run folder has config.toml and log.jsonl",
            dir.display()
        )));
    }
    let summaries: Vec<_> = found.into_iter().map(|path| (runs::summary(&path), path)).collect();
    if args.get_flag("json") {
        for (summary, path) in &summaries {
            say!("{}", as_json(path, summary))?;
        }
        return Ok(());
    }
    let head = [
        "run",
        "model",
        "parameters",
        "steps",
        "val loss",
        "bits per byte",
        "time (s)",
        "changed (UTC)",
        "state",
    ];
    let rows = summaries.iter().map(|(summary, path)| row(dir, path, summary)).collect();
    put!("{}", table::markdown(head.map(String::from).to_vec(), rows))?;
    Ok(())
}

type Summary = Result<RunSummary, warpsmith::train::Error>;

fn row(dir: &Path, path: &Path, summary: &Summary) -> Vec<String> {
    let within = path.strip_prefix(dir).ok().filter(|within| !within.as_os_str().is_empty());
    let mut row = vec![within.unwrap_or(path).display().to_string()];
    match summary {
        Err(error) => {
            row.extend(vec!["-".to_string(); 7]);
            row.push(error.to_string());
        }
        Ok(run) => {
            let number = |number: Option<f64>| number.map_or("-".into(), |number| format!("{number:.4}"));
            row.extend([
                shape(&run.config),
                run.parameters.map_or("-".into(), |numbers| numbers.to_string()),
                format!("{}/{}", run.steps, run.config.max_iters),
                number(run.best_val),
                number(run.best_bits_per_byte),
                format!("{:.1}", run.seconds),
                when::utc(run.changed),
                run.state.words().to_string(),
            ]);
        }
    }
    row
}

/// What a model is, in few characters.
fn shape(config: &TrainConfig) -> String {
    let TrainConfig { n_layer, n_head, n_embd, block_size, .. } = config;
    format!("gpt {n_layer} x {n_embd}, {n_head} heads, T {block_size}")
}

fn as_json(path: &Path, summary: &Summary) -> serde_json::Value {
    match summary {
        Err(error) => json!({ "run": path, "problem": error.to_string() }),
        Ok(run) => json!({
            "run": path, "model": shape(&run.config), "parameters": run.parameters, "steps": run.steps,
            "max_iters": run.config.max_iters, "val_loss": run.best_val, "bits_per_byte": run.best_bits_per_byte,
            "seconds": run.seconds, "changed": when::utc(run.changed), "state": run.state.words(),
        }),
    }
}
