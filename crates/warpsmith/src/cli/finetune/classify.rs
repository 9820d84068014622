//! `warpsmith finetune --task classify`: a model learns the labels of texts.

use std::io::Write;
use std::path::Path;

use clap::ArgMatches;
use warpsmith::LabelledTexts;
use warpsmith::tensor::Seed;
use warpsmith::train::ClassifierFolder;
use warpsmith::train::finetune::{FinetuneConfig, finetune_classifier, judge};

use super::super::generate::ignore_closed;
use super::super::{Failure, device, flags, labelled};

/// The share that is kept back if no other texts are given to judge by.
const KEPT_BACK: f64 = 0.1;

pub fn run(args: &ArgMatches, config: &FinetuneConfig) -> Result<(), Failure> {
    let path = flags::model_path(args);
    if path.is_file() {
        let problem = "a classifier is made of a model folder: `warpsmith convert` makes one of a GGUF file";
        return Err(Failure::Usage(format!("--model: {problem}")));
    }
    let (train, val) = texts(args, config.seed)?;
    let labels = train.labels()?;
    let (mut folder, is_new) =
        ClassifierFolder::for_labels(path, &labels, Seed(config.seed), &device::of(args)?)?;
    labelled::limit(args, &mut folder)?;
    let (train, val) = (labelled::examples(&folder, &train)?, labelled::examples(&folder, &val)?);
    let labels = folder.model.labels();
    eprintln!(
        "{} texts to learn from, {} to judge by; {} labels ({}): {} head",
        train.len(),
        val.len(),
        labels.len(),
        labels.join(", "),
        if is_new { "a new" } else { "the model's own" }
    );
    let (mut out, json) = (std::io::stdout().lock(), args.get_flag("json"));
    let tuned = finetune_classifier(&folder.model, &train, &val, config, &mut |progress| {
        writeln!(out, "{}", super::line(progress, json)).is_ok()
    })?;
    let dir = super::out(args);
    folder.write(dir)?;
    writeln!(out, "{}", super::end(&tuned, dir, json)).or_else(ignore_closed)?;
    if !json {
        let (_, confusion) = judge(&folder.model, &val, config.batch_size)?;
        write!(out, "{}", labelled::table(folder.model.labels(), &confusion)).or_else(ignore_closed)?;
    }
    Ok(())
}

/// The texts to learn from, and those to judge by.
fn texts(args: &ArgMatches, seed: u64) -> Result<(LabelledTexts, LabelledTexts), Failure> {
    let label = args.get_one::<String>("label").map_or("label", String::as_str);
    let options = labelled::options(args, Some(label));
    let read = |name: &str| {
        let path = args.get_one::<String>(name);
        path.map(|path| LabelledTexts::read(Path::new(path), &options)).transpose()
    };
    match (read("data")?, read("val_data")?) {
        (Some(train), Some(val)) => Ok((train, val)),
        // A single class says so before it is split.
        (Some(all), None) => Ok(all.labels().and_then(|_| all.hold_out(KEPT_BACK, seed))?),
        (None, _) => Err(Failure::Usage("--data names the texts to learn from".into())),
    }
}
