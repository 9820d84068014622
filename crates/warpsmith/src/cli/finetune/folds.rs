//! `warpsmith finetune --task classify --folds K`: how well a way of teaching does, by k-fold cross-validation.

use clap::ArgMatches;
use serde_json::json;
use warpsmith::metrics::classification::Scores;
use warpsmith::selection::folds::Scores as OverFolds;
use warpsmith::train::finetune::{ClassScores, FinetuneConfig, judge};

use super::super::{Failure, labelled};
use super::classify::{self, Lesson};

/// What a fold is judged by, in the order of [`numbers`].
const NAMES: [&str; 5] = ["loss", "accuracy", "precision", "recall", "f1"];

fn numbers(loss: f64, ClassScores { accuracy, macro_average }: ClassScores) -> [f64; NAMES.len()] {
    let Scores { precision, recall, f1 } = macro_average;
    [loss, accuracy, precision, recall, f1]
}

pub fn run(args: &ArgMatches, config: &FinetuneConfig, k: usize) -> Result<(), Failure> {
    let all = classify::read(args, "data")?.ok_or_else(classify::no_data)?;
    let (labels, folds) = (all.labels()?, all.folds(k, config.seed)?);
    let unlabelled = classify::unlabelled(args)?;
    let lesson = Lesson { args, config, unlabelled: unlabelled.as_ref() };
    let is_json = args.get_flag("json");
    let mut each: [Vec<f64>; NAMES.len()] = Default::default();
    for (fold, (rest, held)) in folds.into_iter().enumerate() {
        // Whoever chose the epoch by the fold that is judged would find himself too good.
        let (train, val) = classify::hold_out(rest, config.seed)?;
        let (folder, _) = classify::open(args, config, &labels)?;
        let (tuned, _) = lesson.teach(&folder, &train, &val, &held, &mut |_| true)?;
        let (loss, confusion) =
            judge(&folder.model, &labelled::examples(&folder, &held)?, config.batch_size)?;
        let scores = ClassScores::of(&confusion);
        each.iter_mut().zip(numbers(loss, scores)).for_each(|(all, number)| all.push(number));
        let (number, epoch) = (fold + 1, tuned.best.map(|(epoch, _)| epoch));
        let counts = [train.texts().len(), val.texts().len(), held.texts().len()];
        let line = match is_json {
            true => json!({
                "fold": number, "learned": counts[0], "chose_by": counts[1], "judged": counts[2], "epoch": epoch,
                "loss": loss, "scores": labelled::json(scores),
            })
            .to_string(),
            false => format!(
                "fold {number}/{k} | {} + {} texts, judged by {} | epoch {} | loss {loss:.4} | {}",
                counts[0],
                counts[1],
                counts[2],
                epoch.unwrap_or(0),
                labelled::line(scores)
            ),
        };
        say!("{line}")?;
    }
    say!("{}", end(each, k, is_json))
}

/// Mean and deviation of every number.
fn end(each: [Vec<f64>; NAMES.len()], k: usize, is_json: bool) -> String {
    let found = each.map(OverFolds::of);
    if is_json {
        let named = NAMES.into_iter().zip(&found);
        let told: serde_json::Map<_, _> = named
            .map(|(name, found)| (name.to_string(), json!({ "mean": found.mean, "sd": found.sd })))
            .collect();
        return json!({ "folds": k, "over_folds": told }).to_string();
    }
    let named = NAMES.into_iter().zip(&found);
    let told: Vec<String> =
        named.map(|(name, found)| format!("{name} {:.4} ± {:.4}", found.mean, found.sd)).collect();
    format!(
        "mean ± sd of {k} folds | {}; precision, recall and F1 are means over the classes",
        told.join(" | ")
    )
}
