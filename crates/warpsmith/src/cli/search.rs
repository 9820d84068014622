//! `warpsmith search`: settings of `warpsmith train`, tried one after the other.

use std::path::Path;
use std::sync::atomic::Ordering;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;
use warpsmith::selection::sampler::Sampler;
use warpsmith::train::search::{self, Plan, Record, SearchSpace, Study};

use super::train::{data, stop_key};
use super::{Failure, device, flags};

/// Trials unless it is said, of samplers that have no end.
const TRIALS: usize = 20;

/// The flags.
pub fn command() -> Command {
    let number = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("N").value_parser(value_parser!(usize)).help(help)
    };
    Command::new("search")
        .about("Searches settings of `train`: grid, random or TPE, the same budget for each trial")
        .after_help(
            "SPACE.toml is a configuration in which some values are lists or ranges:\n  \
             learning_rate = { min = 1e-4, max = 1e-2, log = true }\n  n_layer = { min = 1, max = 4 }\n  \
             optimizer = [\"adamw\", \"sgd\"]\nA grid takes `points = N` values of a range. Every trial makes max_iters \
             steps, or learns from --tokens.",
        )
        .arg(Arg::new("space").value_name("SPACE.toml").required(true).help("What the settings may be."))
        .arg(
            Arg::new("out").long("out").value_name("DIR").default_value("study").help("The folder of the study."),
        )
        .arg(number("trials", "Trials in all, those of a resumed study included [default: 20; a grid: all]."))
        .arg(
            Arg::new("sampler")
                .long("sampler")
                .value_name(Sampler::WORDS.join("|"))
                .value_parser(Sampler::WORDS)
                .default_value("tpe")
                .help("How points are chosen."),
        )
        .arg(flags::seed("The same seed, the same trials."))
        .arg(
            Arg::new("tokens")
                .long("tokens")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .help("Tokens that each trial learns from; step counts of the space scale with it."),
        )
        .arg(number("folds", "Cross-validates each trial over so many parts of the text: that many runs."))
        .arg(
            Arg::new("resume")
                .long("resume")
                .action(ArgAction::SetTrue)
                .help("Go on with the study in --out, with the trials that would have come."),
        )
        .arg(flags::json("Print one JSON object at the end; what happens goes to standard error."))
}

/// `warpsmith search`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let text = |name: &str| args.get_one::<String>(name).map_or("", String::as_str);
    let space = SearchSpace::read(Path::new(text("space")))?;
    let plan = Plan {
        sampler: text("sampler").to_string(),
        seed: flags::seed_of(args),
        tokens: args.get_one("tokens").copied(),
        folds: args.get_one("folds").copied().unwrap_or(0),
    };
    let dir = Path::new(text("out"));
    // What cannot be learned from is said before a folder is made.
    let (train_data, note) = data::load(space.base(), false)?;
    if plan.folds > 0 {
        let data = Some(&space.base().data).filter(|data| !data.is_empty()).map_or("--folds", String::as_str);
        let problem = |error| Failure::Failed(format!("{data}: {error}"));
        train_data.fold(plan.folds, 0).map_err(problem)?;
    }
    let device = device::choose(space.base().device)?;
    let study = if args.get_flag("resume") {
        Study::resume(dir, space, plan)?
    } else {
        Study::begin(dir, space, plan)?
    };
    let mut search = Search { study, json: args.get_flag("json") };
    let trials = search.trials(args.get_one("trials").copied())?;
    search.say(&note);
    search.say(&format!("budget: {}", search.budget()));
    let stop = stop_key("step");
    while search.study.records().len() < trials {
        let Some((number, point)) = search.study.next() else { break };
        let config = search.study.config(number, &point)?;
        let folds = search.study.plan().folds;
        let result = match config.validate() {
            Err(error) => Some(Err(error.to_string())),
            Ok(()) => search::run(&config, &train_data, folds, &device, &stop, &mut |_| {})?,
        };
        let Some(result) = result else { break };
        let line = line(search.study.record(&point, result)?, trials);
        search.say(&line);
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    search.end(trials)
}

/// A study that is told of.
struct Search {
    study: Study,
    json: bool,
}

impl Search {
    /// How many trials there are to be.
    fn trials(&self, asked: Option<usize>) -> Result<usize, Failure> {
        if asked == Some(0) {
            return Err(Failure::Usage("--trials must be at least 1".into()));
        }
        Ok(match (self.study.points()?, asked) {
            (Some(points), asked) => asked.unwrap_or(points).min(points),
            (None, asked) => asked.unwrap_or(TRIALS),
        })
    }

    /// What every trial has, in words.
    fn budget(&self) -> String {
        let base = self.study.space().base();
        let each = match self.study.plan().tokens {
            Some(tokens) => format!("{tokens} tokens to learn from (whole steps of them)"),
            None => format!("{} steps of {} tokens", base.max_iters, base.tokens_per_step()),
        };
        match self.study.plan().folds {
            0 => format!("{each} for each trial"),
            folds => format!("{each} for each of the {folds} folds of each trial"),
        }
    }

    fn say(&self, line: &str) {
        if self.json { note!("{line}") } else { show!("{line}") }
    }

    fn end(&self, trials: usize) -> Result<(), Failure> {
        let (study, done) = (&self.study, self.study.records().len());
        if self.json {
            let config = study.best().map(|_| study.best_config().display().to_string());
            let json = json!({
                "plan": study.plan(), "budget": self.budget(), "trials": study.records(), "asked": trials,
                "best": study.best().map(|best| best.trial), "config": config,
            });
            say!("{json}")?;
        } else {
            put!("\n{}", table(study))?;
            say!("\n{done} of {trials} trials; budget: {}", self.budget())?;
            if let Some(best) = study.best() {
                say!(
                    "best: trial {}; warpsmith train --config {}",
                    best.trial,
                    study.best_config().display()
                )?;
            }
        }
        match study.best() {
            None if done == trials => Err(Failure::Failed("no trial came to its end".into())),
            _ => Ok(()),
        }
    }
}

/// A trial as it ends.
fn line(record: &Record, trials: usize) -> String {
    let settings: Vec<String> =
        record.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let came = match (&record.measured, &record.problem) {
        (Some(measured), _) => format!("val loss {} | {:.1} s", loss(record), measured.seconds),
        (None, problem) => problem.clone().unwrap_or_default(),
    };
    let number = record.trial;
    format!("trial {number} ({}/{trials}) | {came} | {}", number + 1, settings.join(", "))
}

/// The validation loss, with its deviation over folds.
fn loss(record: &Record) -> String {
    match &record.measured {
        Some(measured) => match measured.sd {
            Some(sd) => format!("{:.4} ± {sd:.4}", measured.val_loss),
            None => format!("{:.4}", measured.val_loss),
        },
        None => "-".into(),
    }
}

/// All trials, the best first, as a Markdown table.
fn table(study: &Study) -> String {
    let names: Vec<&str> = study.space().space().parameters().iter().map(|(name, _)| name.as_str()).collect();
    let mut head = vec!["trial"];
    head.extend(&names);
    head.extend(["val loss", "parameters", "time (s)"]);
    let mut records: Vec<&Record> = study.records().iter().collect();
    let key = |record: &Record| record.val_loss().unwrap_or(f64::INFINITY);
    records.sort_by(|a, b| key(a).total_cmp(&key(b)));
    let row = |record: &&Record| {
        let mut row = vec![record.trial.to_string()];
        row.extend(names.iter().map(|name| record.settings.get(*name).map_or("".into(), short)));
        let measured = record.measured.as_ref();
        row.push(measured.map_or_else(|| record.problem.clone().unwrap_or_default(), |_| loss(record)));
        row.push(measured.map_or("-".into(), |measured| measured.parameters.to_string()));
        row.push(measured.map_or("-".into(), |measured| format!("{:.1}", measured.seconds)));
        row
    };
    let head = head.into_iter().map(String::from).collect();
    super::table::markdown(head, records.iter().map(row).collect())
}

/// A value in few characters.
fn short(value: &serde_json::Value) -> String {
    match value.as_f64() {
        Some(number) if value.is_f64() && (number.abs() < 1e-2 || number.abs() >= 1e4) => {
            format!("{number:.3e}")
        }
        Some(number) if value.is_f64() => format!("{number:.4}"),
        _ => value.as_str().map_or_else(|| value.to_string(), String::from),
    }
}
