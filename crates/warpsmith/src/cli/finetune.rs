//! `warpsmith finetune`: a model folder goes on learning from examples, to write or to classify.

mod classify;
mod folds;

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;
use warpsmith::data::read::columns;
use warpsmith::model::Held;
use warpsmith::train::ModelFolder;
use warpsmith::train::finetune::{Example, FinetuneConfig, LoraConfig, Progress, Tuned, finetune};
use warpsmith::train::folder::write_folder;

use super::answers::LONGEST;
use super::{Failure, device, flags, labelled};

/// The flags.
pub fn command() -> Command {
    let default = FinetuneConfig::default();
    Command::new("finetune")
        .about("Goes on teaching a model, to write or to classify texts")
        .after_help(
            "To write: lines of JSON with `text`, `messages`, or `prompt` and `completion`. Of a text every token is learned, of \
             messages what the assistant says, of a prompt none, of a completion all.\n\
             To classify: JSONL, CSV or TSV with a text and a label, for a BERT of any task (asked by its first token), a GPT-2 \
             or a model of Llama's kind (asked by the last). Without --val_data a tenth is held out. --folds K says how good that is \
             and writes no model: K times a K-th of the texts is judged by, a tenth of the others chooses the epoch, the rest is \
             learned; a line for each fold, and mean and standard deviation of every number.",
        )
        .arg(flags::decoder())
        .arg(device::arg())
        .arg(flags::dtype())
        .arg(flag("task", "write|classify", "What is learned.").value_parser(["write", "classify"]).default_value("write"))
        .arg(flag("data", "FILE", "The examples.").required(true))
        .arg(flag("val_data", "FILE", "Examples to be held against after each epoch: the best weights are kept."))
        .arg(flag("out", "DIR", "The folder to write.").required_unless_present("folds"))
        .arg(count("epochs", format!("How often each example is seen [default: {}].", default.epochs)))
        .arg(count("batch_size", format!("Examples of a step [default: {}].", default.batch_size)))
        .arg(real("learning_rate", format!("Falls to 0 along a line [default: {}].", default.learning_rate)))
        .arg(count("warmup_iters", format!("Steps of warm-up [default: {}].", default.warmup_iters)))
        .arg(real("weight_decay", format!("Of matrices [default: {}].", default.weight_decay)))
        .arg(real("grad_clip", format!("The largest norm of the gradients; 0: any [default: {}].", default.grad_clip)))
        .arg(count("lora", "Learns adapters of this rank, of the matrices of all blocks, and adds them to the weights."))
        .arg(real("lora_alpha", "Adapters are multiplied by this over their rank [default: twice the rank]."))
        .arg(
            flag("freeze", "NAME", "Parameters whose names begin so stay as they are; may be given several times.")
                .action(ArgAction::Append),
        )
        .arg(count("patience", "Ends after so many epochs that were not better; 0: never [default: 0]."))
        .arg(
            flag("seed", "N", format!("The same seed, the same weights [default: {}].", default.seed))
                .value_parser(value_parser!(u64)),
        )
        .args(labelled::args())
        .args(classify::args())
        .arg(flags::json("Print one JSON object for each step and epoch, and one at the end."))
}

fn flag(name: &'static str, value: &'static str, help: impl Into<String>) -> Arg {
    Arg::new(name).long(name).alias(name.replace('_', "-")).value_name(value).help(help.into())
}

fn count(name: &'static str, help: impl Into<String>) -> Arg {
    flag(name, "N", help).value_parser(value_parser!(usize))
}

fn real(name: &'static str, help: impl Into<String>) -> Arg {
    flag(name, "X", help).value_parser(value_parser!(f64))
}

fn config(args: &ArgMatches) -> Result<FinetuneConfig, Failure> {
    let default = FinetuneConfig::default();
    let count = |name: &str, default: usize| args.get_one(name).copied().unwrap_or(default);
    let real = |name: &str, default: f64| args.get_one(name).copied().unwrap_or(default);
    let rank: Option<usize> = args.get_one("lora").copied();
    if rank.is_none() && args.contains_id("lora_alpha") {
        return Err(Failure::Usage("--lora_alpha is for adapters: give --lora RANK with it".into()));
    }
    let lora = rank.map(|rank| LoraConfig { rank, alpha: real("lora_alpha", 2.0 * rank as f64) });
    let is_judged = args.contains_id("val_data") || is_classify(args);
    if count("patience", 0) > 0 && !is_judged {
        return Err(Failure::Usage("--patience asks whether it gets better: give --val_data with it".into()));
    }
    Ok(FinetuneConfig {
        epochs: count("epochs", default.epochs),
        batch_size: count("batch_size", default.batch_size),
        learning_rate: real("learning_rate", default.learning_rate),
        warmup_iters: count("warmup_iters", default.warmup_iters),
        weight_decay: real("weight_decay", default.weight_decay),
        grad_clip: real("grad_clip", default.grad_clip),
        seed: args.get_one("seed").copied().unwrap_or(default.seed),
        lora,
        freeze: args.get_many::<String>("freeze").into_iter().flatten().cloned().collect(),
        patience: count("patience", 0),
        fgm: real("fgm", default.fgm),
    })
}

fn is_classify(args: &ArgMatches) -> bool {
    args.get_one::<String>("task").is_some_and(|task| task == "classify")
}

/// The folder to write.
fn out(args: &ArgMatches) -> &Path {
    Path::new(args.get_one::<String>("out").map_or("", String::as_str))
}

/// `warpsmith finetune`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let config = config(args)?;
    if is_classify(args) {
        return classify::run(args, &config);
    }
    let of_classes = ["label", "columns", "max_tokens"].into_iter().chain(classify::FLAGS);
    if let Some(name) = of_classes.into_iter().find(|name| args.contains_id(name)) {
        return Err(Failure::Usage(format!("--{name} is for classes: give --task classify with it")));
    }
    let (path, device) = (flags::model_path(args), device::of(args)?);
    // What learns is numbers.
    let folder = ModelFolder::open(path, flags::policy(args, Held::AsF32), &device)?;
    let read = |name: &str| -> Result<Vec<Example>, Failure> {
        let Some(path) = args.get_one::<String>(name) else { return Ok(Vec::new()) };
        let lines = columns::lines(path.as_ref(), LONGEST)?;
        let lines = lines.iter().map(|(number, line)| (*number, line.as_str()));
        Example::read(lines, &folder).map_err(|e| Failure::Failed(format!("{path}, {e}")))
    };
    let (train, val) = (read("data")?, read("val_data")?);
    let learned: usize = train.iter().map(Example::learned).sum();
    note!("{} examples, {learned} tokens of them to learn", train.len());
    let (json, dir) = (args.get_flag("json"), flags::vacant(out(args))?);
    let tuned = finetune(&*folder.model, &train, &val, &config, &mut |progress| {
        show!("{}", line(progress, json));
        true
    })?;
    write_folder(dir, &*folder.model, folder.texts())?;
    say!("{}", end(&tuned, dir, json))
}

fn line(progress: Progress, json: bool) -> String {
    match (progress, json) {
        (Progress::Step { step, of, loss, norm, lr, pseudo_labels }, false) => {
            let sure = pseudo_labels.map_or(String::new(), |count| format!(" | sure of {count}"));
            format!("step {step}/{of} | loss {loss:.4} | norm {norm:.3} | lr {lr:.2e}{sure}")
        }
        (Progress::Step { step, loss, norm, lr, pseudo_labels, .. }, true) => {
            let mut told = json!({ "step": step, "loss": loss, "norm": norm, "lr": lr });
            if let Some(count) = pseudo_labels {
                told["pseudo_labels"] = count.into();
            }
            told.to_string()
        }
        (Progress::Epoch { epoch, val_loss, scores, is_best }, false) => {
            let scores = scores.map_or(String::new(), |scores| format!(" | {}", labelled::line(scores)));
            let best = if is_best { " | the best so far" } else { "" };
            format!("epoch {epoch} | val loss {val_loss:.4}{scores}{best}")
        }
        (Progress::Epoch { epoch, val_loss, scores, is_best }, true) => {
            let mut told = json!({ "epoch": epoch, "val_loss": val_loss, "is_best": is_best });
            if let Some(scores) = scores {
                told["scores"] = labelled::json(scores);
            }
            told.to_string()
        }
    }
}

fn end(tuned: &Tuned, dir: &Path, json: bool) -> String {
    let Tuned { numbers, steps, best, is_early } = tuned;
    if json {
        return json!({
            "out": dir.display().to_string(), "learned_numbers": numbers, "steps": steps,
            "best_epoch": best.map(|(epoch, _)| epoch), "best_val_loss": best.map(|(_, loss)| loss),
            "stopped_early": is_early,
        })
        .to_string();
    }
    let of_best = match best {
        None => String::new(),
        Some((epoch, loss)) => format!("; the weights of epoch {epoch}, val loss {loss:.4}"),
    };
    let early = if *is_early { ", ended early" } else { "" };
    format!("{}: {numbers} numbers learned in {steps} steps{early}{of_best}", dir.display())
}
