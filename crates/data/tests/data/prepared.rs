//! Prepared folders: the same bytes from the same inputs, finished or not taken.

use std::collections::BTreeSet;
use std::fs;

use warpsmith_data::augment::Augmentation;
use warpsmith_data::manifest::Manifest;
use warpsmith_data::prepare::{Output, Preparation};
use warpsmith_data::read::{ReadOptions, Unit};
use warpsmith_data::split::Shares;
use warpsmith_text::{Tokenizer, TokenizerSpec};

use crate::{Place, Plain, content};

fn verses() -> String {
    (0..40).map(|i| format!("第{i}首\n春眠不覺曉，處處聞啼鳥{i}。\nline {i} of many\n\n")).collect()
}

fn job(place: &Place) -> Preparation {
    let mut job = place.job("poems.txt", verses());
    job.read = ReadOptions { unit: Unit::Paragraph, ..ReadOptions::default() };
    job.near = None;
    job
}

#[test]
fn twice_is_once_to_the_byte() {
    let place = Place::new();
    for output in [Output::NanoGpt, Output::LlmC, Output::Jsonl] {
        let files = Plain::default();
        let first = Preparation { output, out: place.path(&format!("{output:?}")), ..job(&place) };
        assert!(first.run(&files).unwrap().1);
        let before = content(&first.out);
        let (manifest, is_new) = first.run(&files).unwrap();
        assert!(!is_new && content(&first.out) == before);
        // From the beginning, elsewhere.
        let again = Preparation { out: place.path(&format!("{output:?}-again")), ..first.clone() };
        assert!(again.run(&files).unwrap().1);
        assert!(content(&again.out) == before, "{output:?}");
        assert_eq!(manifest.parts.iter().map(|part| part.documents).collect::<Vec<_>>(), [36, 4]);
    }
}

#[test]
fn what_comes_out_of_texts_goes_in_again_unchanged() {
    let place = Place::new();
    let first = Preparation { output: Output::Jsonl, shares: Shares([1.0, 0.0, 0.0]), ..job(&place) };
    first.run(&Plain::default()).unwrap();
    let second = Preparation {
        inputs: vec![first.out.join("train.jsonl")],
        out: place.path("second"),
        ..first.clone()
    };
    let (manifest, _) = second.run(&Plain::default()).unwrap();
    assert!(
        manifest.steps.iter().all(|step| step.changed == 0 && step.before == step.after),
        "{:?}",
        manifest.steps
    );
    let read = |folder: &std::path::Path| fs::read(folder.join("train.jsonl")).unwrap();
    assert_eq!(read(&first.out), read(&second.out));
}

#[test]
fn ids_come_back_as_the_texts_of_their_part() {
    let place = Place::new();
    for (output, tokenizer) in [
        (Output::NanoGpt, TokenizerSpec::Char),
        (Output::LlmC, TokenizerSpec::Byte),
        (Output::LlmC, TokenizerSpec::Bpe(300)),
    ] {
        let out = place.path(&format!("{output:?}-{tokenizer}"));
        let job = Preparation { output, tokenizer, out: out.clone(), shard_tokens: 500, ..job(&place) };
        job.run(&Plain::default()).unwrap();
        let manifest = Manifest::open(&out, &Plain::default()).unwrap();
        let tokenizer = Tokenizer::from_file(&out).unwrap();
        let text = |part: &str| tokenizer.decode(&manifest.tokens(&out, part).unwrap()).unwrap();
        let (train, val) = (text("train"), text("val"));
        let documents: Vec<&str> = train.split("\n\n").chain(val.split("\n\n")).collect();
        assert_eq!(documents.len(), 40);
        let source = verses();
        assert!(documents.iter().all(|document| source.contains(&format!("{document}\n\n"))));
        assert_eq!(manifest.part("train").unwrap().files.len() > 1, output == Output::LlmC);
        assert!(manifest.tokens(&out, "test").is_err());
    }
}

#[test]
fn a_folder_is_finished_or_not_taken_wherever_writing_fails() {
    let mut fail_at = 0;
    loop {
        let place = Place::new();
        let job = job(&place);
        let files = Plain { fail_at: Some(fail_at), ..Plain::default() };
        let is_written = job.run(&files).is_ok();
        let opened = Manifest::open(&job.out, &Plain::default());
        assert_eq!(opened.is_ok(), is_written, "write {fail_at}");
        // Whatever was left is written over, but a folder that does not say that it is ours.
        if fail_at > 0 {
            job.run(&Plain::default()).unwrap();
            assert!(Manifest::open(&job.out, &Plain::default()).is_ok());
        }
        if is_written {
            break;
        }
        if fail_at > 0 {
            let message = opened.unwrap_err().to_string();
            assert!(message.contains("was not finished; prepare it again"), "{message}");
        }
        fail_at += 1;
    }
    // The mark, two parts, the tokenizer, the card, the manifest.
    assert_eq!(fail_at, 6);
}

#[test]
fn damage_is_seen() {
    let place = Place::new();
    let job = job(&place);
    job.run(&Plain::default()).unwrap();
    for name in ["train.bin", "val.bin", "tokenizer.json", "card.md", "manifest.json"] {
        let path = job.out.join(name);
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 4;
        let cut = &whole[..whole.len() - 1];
        // A manifest is believed as far as the files agree with it.
        let damaged = if name == "manifest.json" { vec![cut] } else { vec![cut, &changed] };
        for bytes in damaged {
            fs::write(&path, bytes).unwrap();
            assert!(Manifest::open(&job.out, &Plain::default()).is_err(), "{name}");
        }
        fs::write(&path, &whole).unwrap();
        assert!(Manifest::open(&job.out, &Plain::default()).is_ok());
    }
}

#[test]
fn a_prepared_folder_that_lost_its_manifest_is_not_taken_for_text() {
    for (output, left) in
        [(Output::NanoGpt, "train.bin"), (Output::LlmC, "train_000000.bin"), (Output::Jsonl, "card.md")]
    {
        let place = Place::new();
        let job = Preparation { output, ..job(&place) };
        job.run(&Plain::default()).unwrap();
        let find = || Manifest::find(&job.out, &Plain::default());
        assert!(find().unwrap().is_some());
        let manifest = job.out.join("manifest.json");
        fs::write(&manifest, "").unwrap();
        let empty = find().unwrap_err().to_string();
        fs::remove_file(&manifest).unwrap();
        let message = find().unwrap_err().to_string();
        assert_eq!(message, empty);
        assert!(
            message.contains(&format!("out: {left} is of prepared data, and manifest.json")),
            "{message}"
        );
    }
    // Other folders with a card or a tokenizer are none.
    let place = Place::new();
    place.write("run/tokenizer.json", "{}");
    place.write("run/card.md", "# Model card\n");
    place.write("run/notes.txt", "words");
    assert_eq!(Manifest::find(&place.path("run"), &Plain::default()).unwrap(), None);
    assert_eq!(Manifest::find(&place.path("run/notes.txt"), &Plain::default()).unwrap(), None);
    assert_eq!(Manifest::find(&place.path("nothing"), &Plain::default()).unwrap(), None);
}

#[test]
fn new_texts_are_made_of_those_to_train_on_alone() {
    let place = Place::new();
    let row = |i: usize| {
        let (word, label) = [("bad", "pos"), ("good", "neg")][i % 2];
        format!("review {i} says that it is not {word} at all,{label}\n")
    };
    let mut job = place.job("reviews.csv", format!("text,label\n{}", (0..60).map(row).collect::<String>()));
    job.read.label = Some("label".into());
    (job.output, job.near, job.augment) = (Output::Jsonl, None, Some((Augmentation::default(), 3)));
    let (manifest, _) = job.run(&Plain::default()).unwrap();
    let read = |part: &str| -> Vec<(Vec<String>, String)> {
        let text = fs::read_to_string(job.out.join(format!("{part}.jsonl"))).unwrap();
        let line = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let words = line["text"].as_str().unwrap().split_whitespace().map(str::to_string);
            (words.collect(), line["label"].as_str().unwrap().to_string())
        };
        text.lines().map(line).collect()
    };
    let (train, val) = (read("train"), read("val"));
    assert_eq!((val.len(), manifest.part("train").unwrap().documents), (6, train.len()));
    assert!(train.len() > 54 + 100, "{}", train.len());
    let different: BTreeSet<&Vec<String>> = train.iter().chain(&val).map(|(words, _)| words).collect();
    assert_eq!(different.len(), train.len() + val.len());
    for (words, label) in &train {
        let other = if label == "pos" { "good" } else { "bad" };
        assert!(words.contains(&"not".into()) && !words.contains(&other.into()), "{words:?} is {label}");
        // The number of a text that is kept back is in none to train on.
        assert!(val.iter().all(|(kept_back, _)| !words.contains(&kept_back[1])), "{words:?}");
    }
    assert!(!job.run(&Plain::default()).unwrap().1);
    let tokens = Preparation { output: Output::NanoGpt, force: true, ..job };
    let message = tokens.run(&Plain::default()).unwrap_err().to_string();
    assert!(message.starts_with("new texts are for classifiers"), "{message}");
}

#[test]
fn a_prepared_folder_is_no_folder_of_documents() {
    let place = Place::new();
    let first = Preparation { out: place.path("all/prepared"), ..job(&place) };
    first.run(&Plain::default()).unwrap();
    place.write("all/more.txt", verses());
    let why = |input: &str| {
        let job = Preparation { inputs: vec![place.path(input)], out: place.path("other"), ..first.clone() };
        job.run(&Plain::default()).unwrap_err().to_string()
    };
    let manifest = first.out.join("manifest.json");
    for lost in ["nothing", "its content", "all"] {
        match lost {
            "its content" => fs::write(&manifest, "").unwrap(),
            "all" => fs::remove_file(&manifest).unwrap(),
            _ => {}
        }
        for input in ["all", "all/prepared"] {
            let message = why(input);
            assert!(message.contains("prepared: is prepared data: name the file in it"), "{lost}: {message}");
        }
    }
    assert!(!place.path("other").exists());
    // What is written goes among what is read, and is passed over.
    fs::remove_dir_all(&first.out).unwrap();
    let inside = Preparation { inputs: vec![place.path("all")], ..first };
    assert!(inside.run(&Plain::default()).unwrap().1);
    assert!(!inside.run(&Plain::default()).unwrap().1);
}

#[test]
fn other_settings_and_other_folders_are_not_written_over() {
    let place = Place::new();
    let job = job(&place);
    job.run(&Plain::default()).unwrap();
    let before = content(&job.out);
    let other = Preparation { settings: [("seed".into(), "2".into())].into(), seed: 2, ..job.clone() };
    let message = other.run(&Plain::default()).unwrap_err().to_string();
    assert!(
        message
            .ends_with("was prepared from other inputs or by other settings: give another --out, or --force")
    );
    assert!(content(&job.out) == before);
    assert!(Preparation { force: true, ..other }.run(&Plain::default()).unwrap().1);
    assert!(content(&job.out) != before);

    place.write("mine/thesis.txt", "words");
    let message =
        Preparation { out: place.path("mine"), ..job }.run(&Plain::default()).unwrap_err().to_string();
    assert!(message.ends_with("mine: holds files and no prepared data: give another --out"), "{message}");
}

#[test]
fn classes_are_balanced_in_the_parts_and_told_on_the_card() {
    let place = Place::new();
    let rows: String = (0..60)
        .map(|i| format!("\"评论 {i}, 很{}\",{}\n", i * 7, if i % 3 == 0 { "neg" } else { "pos" }))
        .collect();
    let mut job = place.job("reviews.csv", format!("text,label\n{rows}"));
    job.read.label = Some("label".into());
    (job.output, job.near, job.licence) = (Output::Jsonl, None, "CC0".into());
    job.shares = Shares([0.8, 0.1, 0.1]);
    let (manifest, _) = job.run(&Plain::default()).unwrap();
    for (part, neg, pos) in [("train", 16, 32), ("val", 2, 4), ("test", 2, 4)] {
        let classes = &manifest.part(part).unwrap().classes.as_ref().unwrap().counts;
        assert_eq!((classes["neg"], classes["pos"]), (neg, pos), "{part}");
    }
    let card = fs::read_to_string(job.out.join("card.md")).unwrap();
    assert!(
        card.contains("as given: CC0") && card.contains("| train | 48 |") && card.contains("neg 16, pos 32"),
        "{card}"
    );
}
