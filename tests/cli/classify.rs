//! Classifiers of texts, from the command: what they learn, what a fresh process says, what is refused.

use std::collections::BTreeSet;

use serde_json::Value;
use warpsmith::LabelledTexts;
use warpsmith::data::read::ReadOptions;
use warpsmith::model::{BertConfig, BertTask, Held, HiddenActivation, LlamaKind, Task, to_safetensors};
use warpsmith::prelude::*;
use warpsmith::train::ClassifierFolder;

use super::families::folder;
use super::{Place, refused, succeeded};
use crate::Checked;

/// Texts of which one letter tells the class.
fn lines(count: usize, from: usize) -> String {
    let row = |i: usize| {
        let (label, word) = [("down", "bad"), ("level", "so so"), ("up", "good")][i % 3];
        format!("{label}\t{i} is {word}\n")
    };
    "label\ttext\n".to_string() + &(from..from + count).map(row).collect::<String>()
}

/// A folder of a masked language model over bytes: what has no pooler and no labels.
fn bert(place: &Place) -> Checked {
    let config = BertConfig {
        vocab_size: 256,
        hidden_size: 16,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 24,
        max_position_embeddings: 24,
        type_vocab_size: 2,
        layer_norm_eps: 1e-12,
        hidden_act: HiddenActivation::Relu,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        initializer_range: 0.2,
        labels: vec!["LABEL_0".into()],
    };
    let model = BertTask::new(config, Task::MaskedLm, &Device::Cpu, Seed(3))?;
    std::fs::create_dir(place.path("bert"))?;
    place.write("bert/config.json", model.config_json().as_bytes());
    place.write("bert/model.safetensors", &to_safetensors(&model.state(), &[])?);
    Tokenizer::byte_level().save(place.path("bert/tokenizer.json"))?;
    Ok(())
}

const TUNE: [&str; 13] = [
    "finetune",
    "--task",
    "classify",
    "--data",
    "train.tsv",
    "--val_data",
    "val.tsv",
    "--device",
    "cpu",
    "--epochs",
    "8",
    "--learning_rate",
    "1e-2",
];

#[test]
fn an_encoder_and_a_decoder_learn_labels_that_a_fresh_process_knows() -> Checked {
    let place = Place::new();
    place.write("train.tsv", lines(48, 0).as_bytes());
    place.write("val.tsv", lines(12, 60).as_bytes());
    bert(&place)?;
    folder(&place, LlamaKind::Qwen3)?;
    for model in ["bert", "qwen3"] {
        let out = format!("{model}-tuned");
        let told = succeeded(&place.run(&[&TUNE[..], &["--model", model, "--out", &out, "--json"]].concat()));
        let told: Vec<Value> = told.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let epochs: Vec<&Value> = told.iter().filter(|line| line["epoch"].is_u64()).collect();
        let best = epochs.iter().rfind(|line| line["is_best"] == true).ok_or("an epoch is the best")?;
        assert_eq!(
            (epochs.len(), best["scores"]["accuracy"].as_f64()),
            (8, Some(1.0)),
            "{model}: {epochs:?}"
        );
        assert_eq!(best["scores"]["f1"], 1.0);

        let words = ["classify", "--model", &out, "--device", "cpu", "--json"];
        let told = succeeded(&place.run(&[&words[..], &["--data", "val.tsv", "--label", "label"]].concat()));
        let told: Vec<Value> = told.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        assert_eq!((told.len(), told[12]["accuracy"].as_f64()), (13, Some(1.0)), "{model}");
        assert_eq!(told[1]["label"], "level");
        let sum: f64 =
            told[1]["probabilities"].as_object().ok_or("an object")?.values().filter_map(Value::as_f64).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        // Alone, and by the library: the same bits.
        let alone = succeeded(&place.run(&[&words[..], &["61 is so so"]].concat()));
        assert_eq!(serde_json::from_str::<Value>(&alone)?, told[1], "{model}");
        let logits: Vec<f32> = serde_json::from_value(told[1]["logits"].clone())?;
        let tuned = ClassifierFolder::open(&place.path(&out), Held::AsF32, &Device::Cpu)?;
        assert_eq!(tuned.model.labels(), ["down", "level", "up"]);
        assert_eq!(tuned.classify(&["61 is so so"])?[0].logits, logits);

        let error = refused(&place.run(&["generate", "--model", &out, "--prompt", "a"]), 1);
        let mention = if model == "bert" { "BERT" } else { "`warpsmith classify` runs it" };
        assert!(error.contains(mention), "{error}");
        // A known label more of the same goes on with the head; fewer tokens are read, and the folder says so.
        let words = ["--model", &out, "--out", "again", "--max_tokens", "9", "--lora", "2"];
        let again = place.run(&[&TUNE[..], &words].concat());
        assert!(super::stderr(&again).contains("3 labels (down, level, up): the model's own head"));
        assert!(super::stdout(&again).lines().any(|line| line.starts_with("level ")), "a row for each class");
        assert_eq!(ClassifierFolder::open(&place.path("again"), Held::AsF32, &Device::Cpu)?.max_tokens, 9);
    }
    Ok(())
}

#[test]
fn attacks_and_texts_without_a_label_change_what_is_learned() -> Checked {
    let place = Place::new();
    place.write("train.tsv", lines(24, 0).as_bytes());
    place.write("val.tsv", lines(6, 60).as_bytes());
    let plain_lines: String = (100..160).map(|i| format!("{i} is good\n")).collect();
    place.write("more.txt", (plain_lines + "60 is bad\n").as_bytes());
    bert(&place)?;
    let tuned = |out: &str, extra: &[&str]| -> Result<(Vec<u8>, String), Box<dyn std::error::Error>> {
        let words = [&TUNE[..], &["--model", "bert", "--out", out, "--json"], extra].concat();
        let output = place.run(&words);
        let told = succeeded(&output);
        let weights = std::fs::read(place.path(out).join("model.safetensors"))?;
        Ok((weights, told + &super::stderr(&output)))
    };
    let (plain, told) = tuned("plain", &[])?;
    assert!(!told.contains("pseudo_labels"), "{told}");
    let (attacked, _) = tuned("attacked", &["--fgm", "0.5"])?;
    let sure = ["--unlabelled", "more.txt", "--pseudo_threshold", "0"];
    let (taught, told) = tuned("taught", &sure)?;
    assert!(told.contains("\"pseudo_labels\":8") && told.contains("\"pseudo_labels\":0"), "{told}");
    assert!(told.contains("note: 1 texts without a label are left out"), "{told}");
    assert!(plain != attacked && plain != taught && attacked != taught);
    let (never, _) = tuned("never", &["--unlabelled", "more.txt", "--pseudo_threshold", "1"])?;
    assert_eq!(never, plain, "sure of nothing");
    Ok(())
}

const FOLDS: [&str; 8] =
    ["finetune", "--task", "classify", "--data", "train.tsv", "--device", "cpu", "--folds"];

#[test]
fn folds_are_judged_one_by_one_and_together() -> Checked {
    let place = Place::new();
    // One text stands there twice: it must not be learned and judged by.
    place.write("train.tsv", (lines(36, 0) + "down\t0 is bad\n").as_bytes());
    bert(&place)?;
    let words = [&FOLDS[..], &["3", "--model", "bert", "--epochs", "6", "--learning_rate", "1e-2"]].concat();
    let told = succeeded(&place.run(&[&words[..], &["--json"]].concat()));
    let told: Vec<Value> = told.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(told.len(), 4, "{told:?}");
    let count = |fold: &Value, name: &str| fold[name].as_u64().unwrap_or(0);
    assert_eq!(told[..3].iter().map(|fold| count(fold, "judged")).sum::<u64>(), 37);
    for fold in &told[..3] {
        assert_eq!(count(fold, "learned") + count(fold, "chose_by") + count(fold, "judged"), 37, "{fold}");
        assert!([12, 13].contains(&count(fold, "judged")) && count(fold, "chose_by") > 0, "{fold}");
    }
    let each: Vec<f64> = told[..3].iter().filter_map(|fold| fold["scores"]["accuracy"].as_f64()).collect();
    let mean = each.iter().sum::<f64>() / 3.0;
    let sd = (each.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    let over = &told[3]["over_folds"]["accuracy"];
    let (found_mean, found_sd) =
        (over["mean"].as_f64().ok_or("a mean")?, over["sd"].as_f64().ok_or("an sd")?);
    assert!((found_mean - mean).abs() < 1e-12 && (found_sd - sd).abs() < 1e-12 && mean > 0.5, "{told:?}");
    let text = succeeded(&place.run(&words));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 4 && lines[2].starts_with("fold 3/3 | "), "{text}");
    assert!(lines[3].starts_with("mean ± sd of 3 folds | loss "), "{text}");
    assert!(lines[3].contains(&format!("| accuracy {mean:.4} ± {sd:.4} |")), "{text}");
    Ok(())
}

#[test]
fn folds_have_their_share_of_each_label_and_no_text_twice() -> Checked {
    let place = Place::new();
    // 30 of one label and 9 of the other, in a row; six texts stand there twice.
    let rows = (0..30).map(|i| format!("many\t{i}\n")).chain((30..39).map(|i| format!("few\t{i}\n")));
    let twice = (0..6).map(|i| format!("many\t{i}\n"));
    place.write(
        "texts.tsv",
        ("label\ttext\n".to_string() + &rows.chain(twice).collect::<String>()).as_bytes(),
    );
    let options = ReadOptions { label: Some("label".into()), ..ReadOptions::default() };
    let folds = LabelledTexts::read(&place.path("texts.tsv"), &options)?.folds(3, 5)?;
    let mut judged = Vec::new();
    for (rest, held) in &folds {
        let (learned, own): (BTreeSet<&str>, BTreeSet<&str>) =
            (rest.texts().collect(), held.texts().collect());
        assert!(learned.is_disjoint(&own) && learned.len() + own.len() == 39);
        let few = own.iter().filter(|text| text.parse::<usize>().is_ok_and(|number| number >= 30)).count();
        assert_eq!((few, own.len()), (3, 13));
        judged.extend(held.texts());
    }
    judged.sort_unstable();
    let mut all: Vec<String> = (0..39).chain(0..6).map(|i| i.to_string()).collect();
    all.sort_unstable();
    assert_eq!(judged, all, "each row is judged by once");
    Ok(())
}

#[test]
fn folds_attacks_and_thresholds_that_make_no_sense_are_refused() -> Checked {
    let place = Place::new();
    place.write("train.tsv", lines(12, 0).as_bytes());
    place.write("val.tsv", lines(3, 0).as_bytes());
    place.write("empty.txt", b"");
    place.write("twice.tsv", b"label\ttext\nup\ta\ndown\tb\ndown\ta\n");
    bert(&place)?;
    let folds = |k: &'static str| [&FOLDS[..], &[k, "--model", "bert"]].concat();
    let tune = [&TUNE[..], &["--model", "bert", "--out", "t"]].concat();
    let twice =
        vec!["finetune", "--task", "classify", "--model", "bert", "--data", "twice.tsv", "--folds", "2"];
    let cases: [(Vec<&str>, &[&str], i32, &str); 11] = [
        (folds("5"), &[], 1, "train.tsv: the class `down` has 4 different texts, fewer than 5 folds"),
        (folds("13"), &[], 1, "train.tsv: 13 folds of 12 examples"),
        (folds("1"), &[], 1, "train.tsv: 1 folds of 12 examples"),
        (folds("2"), &["--out", "t"], 2, "leave --out out"),
        (folds("2"), &["--val_data", "val.tsv"], 2, "leave --val_data out"),
        (twice, &[], 1, "twice.tsv: the text `a` has two classes, up (line 2) and down (line 4)"),
        (tune.clone(), &["--pseudo_threshold", "0.9"], 2, "give --unlabelled FILE with it"),
        (tune.clone(), &["--unlabelled", "empty.txt"], 1, "empty.txt: is empty"),
        (tune.clone(), &["--unlabelled", "train.tsv", "--pseudo_threshold", "2"], 1, "0..=1"),
        (tune.clone(), &["--fgm=-1"], 1, "fgm must be numbers"),
        (
            vec!["finetune", "--model", "bert", "--data", "train.tsv", "--out", "t", "--fgm", "1"],
            &[],
            2,
            "--fgm is for classes",
        ),
    ];
    for (words, extra, code, mention) in cases {
        let error = refused(&place.run(&[&words[..], extra].concat()), code);
        assert!(error.contains(mention), "{words:?} {extra:?}: {error}");
    }
    assert!(!place.path("t").exists());
    Ok(())
}

#[test]
fn labels_and_rows_that_make_no_sense_are_refused_with_file_and_line() -> Checked {
    let place = Place::new();
    place.write("train.tsv", lines(12, 0).as_bytes());
    bert(&place)?;
    let cases: [(&str, &str, &str); 8] = [
        ("one.tsv", "label\ttext\nup\ta\nup\tb\n", "one.tsv: all 2 documents are of class `up`"),
        ("none.tsv", "label\ttext\n", "none.tsv: no documents"),
        ("empty.tsv", "", "empty.tsv: is empty"),
        (
            "ragged.tsv",
            "label\ttext\nup\ta\ndown\tb\tc\n",
            "ragged.tsv, line 3: 3 fields where the first row has 2",
        ),
        ("blank.tsv", "label\ttext\nup\ta\n\tb\n", "blank.tsv, line 3: the label is empty"),
        ("silent.tsv", "label\ttext\nup\ta\ndown\t\n", "silent.tsv, line 3: the document is empty"),
        ("names.tsv", "class\ttext\nup\ta\n", "names.tsv, line 1: no column `label`"),
        (
            "lines.jsonl",
            "{\"text\": \"a\", \"label\": \"up\"}\n{\"text\": 5}\n",
            "lines.jsonl, line 2: no field `label`",
        ),
    ];
    for (name, content, mention) in cases {
        place.write(name, content.as_bytes());
        let words = ["finetune", "--task", "classify", "--model", "bert", "--data", name, "--out", "tuned"];
        let error = refused(&place.run(&words), 1);
        assert!(error.contains(mention), "{name}: {error}");
        assert!(!place.path("tuned").exists(), "{name}");
    }
    place.write("val.tsv", b"label\ttext\nup\ta\nsideways\tb\n");
    let error = refused(&place.run(&[&TUNE[..], &["--model", "bert", "--out", "tuned"]].concat()), 1);
    assert!(
        error.contains("val.tsv, line 3: the label `sideways` is none of those learned: down, level, up"),
        "{error}"
    );
    let usage: [(&[&str], &str); 4] = [
        (
            &["finetune", "--model", "bert", "--data", "train.tsv", "--out", "t", "--label", "label"],
            "--task classify",
        ),
        (
            &["finetune", "--model", "text.txt", "--task", "classify", "--data", "train.tsv", "--out", "t"],
            "model folder",
        ),
        (&[&TUNE[..], &["--model", "bert", "--out", "t", "--max_tokens", "99"]].concat(), "3..=24"),
        (&["classify", "--model", "bert", "--label", "label", "a"], "--data"),
    ];
    place.write("val.tsv", lines(3, 0).as_bytes());
    for (words, mention) in usage {
        let error = refused(&place.run(words), 2);
        assert!(error.contains(mention), "{words:?}: {error}");
    }
    let error = refused(&place.run(&["classify", "--model", "bert", "a"]), 1);
    assert!(error.contains("no classifier of texts"), "{error}");
    Ok(())
}
