//! `warpsmith finetune --task classify`: a model learns the labels of texts.

use std::path::Path;

use clap::{Arg, ArgMatches};
use warpsmith::LabelledTexts;
use warpsmith::data::read::{ReadOptions, Unit};
use warpsmith::model::{Held, Policy, Weights};
use warpsmith::tensor::Seed;
use warpsmith::train::ClassifierFolder;
use warpsmith::train::finetune::{
    FinetuneConfig, Labelled, Progress, Tuned, Unlabelled, finetune_classifier, finetune_with_unlabelled,
    judge,
};

use super::super::{Failure, device, flags, labelled};
use super::{count, flag, folds, real};

/// The share that is kept back if no other texts are given to judge by.
const KEPT_BACK: f64 = 0.1;
/// From which probability on a label of the model's own is learned unless it is said (Sohn et al. 2020, §4).
const THRESHOLD: f64 = 0.95;

/// The flags that only classifiers have.
pub const FLAGS: [&str; 5] = ["fgm", "unlabelled", "pseudo_threshold", "pseudo_weight", "folds"];

pub fn args() -> [Arg; FLAGS.len()] {
    [
        real(
            "fgm",
            "FGM (Miyato et al. 2017): each step also learns its texts with the table of tokens moved by so much against the \
             model, along the gradient; takes twice as long [default: 0, not].",
        )
        .value_name("EPSILON"),
        flag(
            "unlabelled",
            "FILE",
            "Texts without a label: pseudo-labels (Lee 2013). At each step as many of them as of --data are labelled by the \
             model, and those that it is sure of are learned too: none in the first fifth of the steps, then more and more.",
        ),
        real("pseudo_threshold", format!("The probability from which on it is sure [default: {THRESHOLD}].")),
        real("pseudo_weight", "What the loss of --unlabelled counts in the end [default: 1]."),
        count("folds", "Cross-validates over so many parts, stratified by class, and writes no model.").value_name("K"),
    ]
}

pub fn run(args: &ArgMatches, config: &FinetuneConfig) -> Result<(), Failure> {
    check(args)?;
    if let Some(&k) = args.get_one("folds") {
        return folds::run(args, config, k);
    }
    let (train, val) = texts(args, config.seed)?;
    let unlabelled = unlabelled(args)?;
    let (folder, is_new) = open(args, config, &train.labels()?)?;
    let labels = folder.model.labels();
    note!(
        "{} texts to learn from, {} to judge by; {} labels ({}): {} head",
        train.texts().len(),
        val.texts().len(),
        labels.len(),
        labels.join(", "),
        if is_new { "a new" } else { "the model's own" }
    );
    let (json, dir) = (args.get_flag("json"), flags::vacant(super::out(args))?);
    let lesson = Lesson { args, config, unlabelled: unlabelled.as_ref() };
    let (tuned, val) = lesson.teach(&folder, &train, &val, &val, &mut |progress| {
        show!("{}", super::line(progress, json));
        true
    })?;
    folder.write(dir)?;
    say!("{}", super::end(&tuned, dir, json))?;
    if !json {
        let (_, confusion) = judge(&folder.model, &val, config.batch_size)?;
        put!("{}", labelled::table(folder.model.labels(), &confusion))?;
    }
    Ok(())
}

/// What does not fit together.
fn check(args: &ArgMatches) -> Result<(), Failure> {
    let usage = |what: &str| Err(Failure::Usage(what.into()));
    let has = |name: &str| args.contains_id(name);
    if flags::model_path(args).is_file() {
        return usage(
            "--model: a classifier is made of a model folder: `warpsmith convert` makes one of a GGUF file",
        );
    }
    if let Some(name) = ["pseudo_threshold", "pseudo_weight"].into_iter().find(|name| has(name))
        && !has("unlabelled")
    {
        return usage(&format!("--{name} is for texts without a label: give --unlabelled FILE with it"));
    }
    if has("folds")
        && let Some(name) = ["out", "val_data"].into_iter().find(|name| has(name))
    {
        return usage(&format!(
            "--folds judges by each part of --data in turn and writes no model: leave --{name} out"
        ));
    }
    Ok(())
}

/// The model with a head for labels, and whether that is new.
pub fn open(
    args: &ArgMatches,
    config: &FinetuneConfig,
    labels: &[String],
) -> Result<(ClassifierFolder, bool), Failure> {
    let (path, Policy { precision, .. }) = (flags::model_path(args), flags::policy(args, Held::AsF32));
    let drawn = Weights::random(Seed(config.seed), &device::of(args)?).with_precision(precision);
    let (mut folder, is_new) = ClassifierFolder::for_labels(path, labels, &drawn)?;
    labelled::limit(args, &mut folder)?;
    Ok((folder, is_new))
}

/// How to teach.
pub struct Lesson<'a> {
    pub args: &'a ArgMatches,
    pub config: &'a FinetuneConfig,
    pub unlabelled: Option<&'a LabelledTexts>,
}

impl Lesson<'_> {
    /// Teaches `train`; `val` chooses the epoch, and comes back as examples. No text without a label is learned that stands in
    /// `judged`.
    pub fn teach(
        &self,
        folder: &ClassifierFolder,
        train: &LabelledTexts,
        val: &LabelledTexts,
        judged: &LabelledTexts,
        tell: &mut dyn FnMut(Progress) -> bool,
    ) -> Result<(Tuned, Vec<Labelled>), Failure> {
        let (train, val) = (labelled::examples(folder, train)?, labelled::examples(folder, val)?);
        let Some(texts) = self.unlabelled else {
            return Ok((finetune_classifier(&folder.model, &train, &val, self.config, tell)?, val));
        };
        let texts = labelled::unlabelled(folder, texts, judged)?;
        let number = |name: &str, default: f64| self.args.get_one(name).copied().unwrap_or(default);
        let (threshold, weight) = (number("pseudo_threshold", THRESHOLD), number("pseudo_weight", 1.0));
        let unlabelled = Unlabelled { texts: &texts, threshold, weight };
        Ok((finetune_with_unlabelled(&folder.model, &train, unlabelled, &val, self.config, tell)?, val))
    }
}

/// The texts with labels of the file that a flag names.
pub fn read(args: &ArgMatches, name: &str) -> Result<Option<LabelledTexts>, Failure> {
    let label = args.get_one::<String>("label").map_or("label", String::as_str);
    read_with(args, name, &labelled::options(args, Some(label)))
}

/// The texts of `--unlabelled`; of a file that is no table, its lines.
pub fn unlabelled(args: &ArgMatches) -> Result<Option<LabelledTexts>, Failure> {
    read_with(args, "unlabelled", &ReadOptions { unit: Unit::Line, ..labelled::options(args, None) })
}

fn read_with(args: &ArgMatches, name: &str, options: &ReadOptions) -> Result<Option<LabelledTexts>, Failure> {
    let path = args.get_one::<String>(name);
    Ok(path.map(|path| LabelledTexts::read(Path::new(path), options)).transpose()?)
}

/// A tenth of each class is held out to choose the epoch.
pub fn hold_out(texts: LabelledTexts, seed: u64) -> Result<(LabelledTexts, LabelledTexts), Failure> {
    Ok(texts.hold_out(KEPT_BACK, seed)?)
}

/// The texts to learn from, and those to judge by.
fn texts(args: &ArgMatches, seed: u64) -> Result<(LabelledTexts, LabelledTexts), Failure> {
    match (read(args, "data")?, read(args, "val_data")?) {
        (Some(train), Some(val)) => Ok((train, val)),
        // A single class says so before it is split.
        (Some(all), None) => all.labels().map_err(Failure::from).and_then(|_| hold_out(all, seed)),
        (None, _) => Err(no_data()),
    }
}

pub fn no_data() -> Failure {
    Failure::Usage("--data names the texts to learn from".into())
}
