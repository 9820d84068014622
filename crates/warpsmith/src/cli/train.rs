//! `warpsmith train`, and the main job that runs when no command is given.

pub mod data;
mod next;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Arg, ArgMatches, Command};
use warpsmith::text::Corpus;
use warpsmith::train::atomic::find_latest;
use warpsmith::train::config::{IGNORED, InitFrom, Kind};
use warpsmith::train::runs::{self, State};
use warpsmith::train::{Ending, Outcome, Run, TrainConfig, TrainData, Trainer, checkpoint};

use super::progress::Progress;
use super::{Failure, device};

/// The folder of the main job.
const QUICK: &str = "runs/quick";

/// The flags, derived from the table of settings.
pub fn command() -> Command {
    let settings = TrainConfig::fields().iter().map(|field| {
        let arg = Arg::new(field.name).long(field.name).value_name(value_name(field.kind)).help(field.help);
        let arg = arg.help_heading(field.group).alias(field.name.replace('_', "-"));
        match (field.kind, field.name) {
            (Kind::Bool, _) => arg.num_args(0..=1).default_missing_value("true"),
            (_, "out_dir") => arg.visible_alias("out"),
            _ => arg,
        }
        .allow_hyphen_values(field.kind != Kind::Bool)
    });
    let ignored = IGNORED.iter().map(|(name, _)| Arg::new(*name).long(*name).num_args(0..=1).hide(true));
    Command::new("train")
        .args_override_self(true)
        .about("Trains a GPT; takes nanoGPT's flags as they are")
        .after_help(
            "Settings come from the preset (nanoGPT's train_shakespeare_char), then --config, then flags. On resume they \
             come from the checkpoint in place of the preset.",
        )
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE.toml")
                .help("Settings as `key = value`; flags override them."),
        )
        .arg(
            Arg::new("resume")
                .long("resume")
                .value_name("DIR|auto")
                .help("Go on from the newest checkpoint of this run folder; auto: of --out, if it has one."),
        )
        .args(settings)
        .args(ignored)
}

fn value_name(kind: Kind) -> String {
    match kind {
        Kind::Integer => "N".into(),
        Kind::Float => "X".into(),
        Kind::Bool => "true|false".into(),
        Kind::Text => "TEXT".into(),
        Kind::Choice(words) => words.join("|"),
    }
}

/// `warpsmith` alone: a small GPT on this program's own text.
pub fn main_job() -> Result<(), Failure> {
    let config = TrainConfig::quick();
    show!(
        "Training a small GPT on this program's own source text. `warpsmith train --help` lists what else there is.\n"
    );
    let (data, note) = data::of_text(&Corpus::from_text(warpsmith::corpus::EMBEDDED), &config, false)?;
    show!("{note}");
    let digest = data.digest();
    let is_broken_off = |dir: &Path| was_broken_off(dir, &config, &digest);
    let fits = |dir: &Path| !runs::is_in_use(dir) && (runs::check_vacant(dir).is_ok() || is_broken_off(dir));
    let dir = runs::first_of(QUICK, fits);
    let goes_on = is_broken_off(Path::new(&dir));
    if dir != QUICK {
        show!("{QUICK} holds another run or a finished one: this run is {dir}");
    }
    let trainer = trainer(TrainConfig { out_dir: dir.clone(), ..config }, data)?;
    drive(match goes_on {
        true => {
            show!("{dir} was broken off: going on with it");
            let mut watch = Progress::quiet();
            Run::resume(trainer, &mut |event| watch.event(event))?
        }
        false => Run::start(trainer)?,
    })
}

/// Whether `dir` holds a run of these settings on data of this digest that has steps left and a checkpoint to go on from.
fn was_broken_off(dir: &Path, config: &TrainConfig, digest: &str) -> bool {
    let found = find_latest(dir).ok().and_then(|latest| latest.found);
    runs::summary(dir).is_ok_and(|run| run.state == State::BrokenOff)
        && found.is_some_and(|found| checkpoint::is_of(&found.path, config, digest))
}

/// `warpsmith train`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let words = flag_words(args);
    let file = args.get_one::<String>("config").map(PathBuf::from);
    let resume = args.get_one::<String>("resume").map(String::as_str);
    let mut preset = TrainConfig::shakespeare_char();
    let mut resumes = false;
    if let Some(dir) = resume {
        let dir = if dir == "auto" { out_dir(&words, file.as_deref())? } else { dir.to_string() };
        match find_latest(Path::new(&dir))?.found {
            Some(found) => {
                preset = checkpoint::read_config(&found.path)?;
                preset.out_dir = dir;
                resumes = true;
            }
            None if resume == Some("auto") => {}
            None => return Err(runs::nothing_to_resume(Path::new(&dir)).into()),
        }
    }
    let (config, notes) = preset.resolve(file.as_deref(), &words)?;
    notes.iter().for_each(|note| show!("{note}"));
    resumes |= config.init_from == InitFrom::Resume;
    if !resumes {
        runs::check_vacant(Path::new(&config.out_dir))?;
    }
    show!("{}", config.to_toml());
    let (data, note) = data::load(&config, resumes)?;
    show!("{note}");
    let trainer = trainer(config, data)?;
    let mut watch = Progress::quiet();
    let run =
        if resumes { Run::resume(trainer, &mut |event| watch.event(event))? } else { Run::start(trainer)? };
    drive(run)
}

/// The run folder that flags and file ask for, before anything is read from it.
fn out_dir(words: &[String], file: Option<&Path>) -> Result<String, Failure> {
    let mut config = TrainConfig::shakespeare_char();
    if let Some(path) = file {
        config.read_file(path)?;
    }
    config.set_flags(words)?;
    Ok(config.out_dir)
}

/// The settings given as flags, as `--key=value`.
fn flag_words(args: &ArgMatches) -> Vec<String> {
    let settings = TrainConfig::fields().iter().map(|field| field.name);
    let given = |name: &'static str| args.get_one::<String>(name).map(|value| format!("--{name}={value}"));
    let ignored =
        IGNORED.iter().filter(|(name, _)| args.contains_id(name)).map(|(name, _)| format!("--{name}=True"));
    settings.filter_map(given).chain(ignored).collect()
}

fn trainer(config: TrainConfig, data: TrainData) -> Result<Trainer, Failure> {
    let device = device::choose(config.device)?;
    Ok(Trainer::new(config, data, &device)?)
}

/// Raised by the stop key, for work that ends after `what`; the second time the process ends at once.
pub fn stop_key(what: &'static str) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    let handler = move || {
        if raised.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        note!("\nstopping after this {what}; press again to stop at once");
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        note!("note: Ctrl-C will end at once, and not after a {what}: {error}");
    }
    stop
}

/// Trains to the end, with the bar and the stop key, and says what was reached.
fn drive(mut run: Run) -> Result<(), Failure> {
    let stop = stop_key("step");
    let model = run.trainer().model();
    show!("model: {} parameters on {}", model.parameter_count(), model.device());
    let tokens = run.trainer().config().tokens_per_step();
    show!("steps: {} of {tokens} tokens\n", run.trainer().config().max_iters);
    let mut progress = Progress::new(run.trainer().config());
    let outcome = run.train(&stop, &mut |event| progress.event(event));
    progress.finish();
    let outcome = outcome?;
    summary(&run, &outcome);
    Ok(())
}

fn summary(run: &Run, outcome: &Outcome) {
    let dir = &run.trainer().config().out_dir;
    let both = |nats: f64| match run.bits_per_byte(nats) {
        Some(bits) => format!("{nats:.4} nats per token, {bits:.4} bits per byte"),
        None => format!("{nats:.4} nats per token"),
    };
    show!("");
    match outcome.ending {
        Ending::Finished => show!("finished: {} steps in {:.0} s", outcome.steps, outcome.seconds),
        Ending::StoppedEarly => {
            show!("stopped early at step {}: the val loss no longer falls", outcome.steps)
        }
        Ending::Interrupted => show!("interrupted at step {}; a checkpoint is saved", outcome.steps),
    }
    if !outcome.best_val.is_nan() {
        show!("best val loss:   {}", both(outcome.best_val));
    }
    if let Some(unigram) = run.unigram_nats() {
        show!("unigram entropy: {}  (what ignoring all context reaches)", both(unigram));
    }
    show!("run folder:      {dir}  (open {dir}/report.html)\n");
    show!("next, try:\n  {}", next::commands(run, outcome).join("\n  "));
}
