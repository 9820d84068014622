//! `data prepare`, `train --data` on what it made, and `eval --metric`.

use serde_json::Value;
use warpsmith::data::shard::Layout;
use warpsmith::data::shard::choices::{Question, to_bytes};

use super::{Place, refused, stdout, succeeded, tiny};
use crate::Checked;

const PREPARE: [&str; 8] = ["data", "prepare", "text.txt", "--out", "prepared", "--unit", "line", "--near=0"];

#[test]
fn a_folder_is_prepared_once_trained_from_and_not_taken_unfinished() -> Checked {
    let place = Place::new();
    let told = succeeded(&place.run(&PREPARE));
    assert!(
        told.contains("white space") && told.contains("train") && told.contains("prepared: prepared"),
        "{told}"
    );
    assert!(succeeded(&place.run(&PREPARE)).contains("nothing to do"));
    let other = refused(&place.run(&[&PREPARE[..], &["--seed", "2"]].concat()), 1);
    assert!(other.ends_with("give another --out, or --force"), "{other}");

    let mut words = tiny("run");
    words.extend(["--max_iters", "2", "--data", "prepared"]);
    let told = succeeded(&place.run(&words));
    assert!(told.contains("of char, prepared"), "{told}");
    let questions = Question { context: vec![1, 2], endings: vec![vec![3], vec![4, 5]], answer: 0 };
    let other = Question { answer: 1, ..questions.clone() };
    place.write("questions.bin", &to_bytes(&[questions, other])?);
    let words = ["eval", "--metric", "choices", "--model", "run", "--data", "questions.bin", "--json"];
    let told: Value = serde_json::from_str(&succeeded(&place.run(&words)))?;
    // The same question with each of its endings as the right one.
    assert_eq!(
        (&told["questions"], &told["accuracy by sum"]),
        (&Value::from(2.0), &Value::from(0.5)),
        "{told}"
    );

    // Only training takes the folder: no card and no manifest is a text.
    for words in [&["eval", "--model", "run"][..], &["runs", "compare", "run", "run"]] {
        let error = refused(&place.run(&[words, &["--data", "prepared"]].concat()), 1);
        assert!(error.contains("prepared: is prepared data, and no text"), "{words:?}: {error}");
    }
    std::fs::remove_file(place.path("prepared/val.bin"))?;
    let error = refused(&place.run(&["eval", "--model", "run", "--data", "prepared"]), 1);
    assert!(error.ends_with("prepared: val.bin is missing; prepare it again"), "{error}");
    let mut words = tiny("again");
    words.extend(["--data", "prepared"]);
    assert!(refused(&place.run(&words), 1).ends_with("prepared: val.bin is missing; prepare it again"));
    std::fs::remove_file(place.path("prepared/manifest.json"))?;
    let error = refused(&place.run(&words), 1);
    assert!(error.contains("prepared: train.bin is of prepared data, and manifest.json"), "{error}");
    assert!(!place.path("again").exists());
    // Who stands in such a folder and names no data does not mean it.
    let mut words = tiny("own");
    words.extend(["--max_iters", "1", "--data", ""]);
    let own = place.command().current_dir(place.path("prepared")).args(&words).output()?;
    assert!(succeeded(&own).contains("finished: 1 steps"));
    Ok(())
}

#[test]
fn new_texts_are_made_with_the_synonyms_of_a_file() -> Checked {
    let place = Place::new();
    let rows: String = (0..40).map(|i| format!("the film {i} is good\t{}\n", i % 2)).collect();
    place.write("films.tsv", format!("text\tlabel\n{rows}").as_bytes());
    place.write("same.txt", "film\tmovie\n好\t妙\n".as_bytes());
    let words = [
        "data",
        "prepare",
        "films.tsv",
        "--out",
        "films",
        "--label",
        "label",
        "--format",
        "jsonl",
        "--near=0",
    ];
    let augment = [&words[..], &["--augment", "4", "--synonyms", "same.txt"]].concat();
    assert!(succeeded(&place.run(&augment)).contains("new texts to train on"));
    let read = |part: &str| std::fs::read_to_string(place.path("films").join(part));
    assert!(read("train.jsonl")?.contains("movie") && !read("val.jsonl")?.contains("movie"));
    place.write("same.txt", b"film\n");
    let error = refused(&place.run(&augment), 1);
    assert!(error.contains("same.txt, line 1: one word"), "{error}");
    let error = refused(&place.run(&[&words[..], &["--synonyms", "same.txt"]].concat()), 2);
    assert!(error.contains("--synonyms is for --augment"), "{error}");
    Ok(())
}

#[test]
fn answers_are_scored_against_what_is_right() -> Checked {
    let place = Place::new();
    place.write("out.zh", "我今天去了公园。\n我爱编程\n".as_bytes());
    place.write("ref.zh", "我今天去公园了。\n我爱编程\n".as_bytes());
    let eval = |words: &[&str]| place.run(&[&["eval", "--metric"], words].concat());
    let texts = ["--hypotheses", "out.zh", "--references", "ref.zh", "--tokenize", "zh"];
    let told = stdout(&eval(&[&["bleu,rouge"], &texts[..]].concat()));
    assert!(told.contains("nrefs:1|case:mixed|eff:no|tok:zh|smooth:exp|version:"), "{told}");
    assert!(told.contains("rouge-1 f1                           1.000000"), "{told}");

    place.write("gold.tsv", b"sentence\tlabel\na\tpos\nb\tneg\nc\tpos\n");
    place.write("said.txt", b"pos\nneg\nneg\n");
    let labels =
        ["--hypotheses", "said.txt", "--references", "gold.tsv", "--reference_column", "label", "--json"];
    let told: Value = serde_json::from_str(&succeeded(&eval(&[&["accuracy,f1"], &labels[..]].concat())))?;
    // pos: 1 of 1 and 1 of 2; neg: 1 of 2 and 1 of 1.
    assert_eq!((told["precision of pos"].as_f64(), told["recall of pos"].as_f64()), (Some(1.0), Some(0.5)));
    assert!((told["f1 macro"].as_f64().ok_or("a number")? - 2.0 / 3.0).abs() < 1e-12, "{told}");

    let unknown = refused(&eval(&[&["f1", "--labels", "pos,neutral"], &labels[..]].concat()), 1);
    assert!(unknown.ends_with("gold.tsv, line 3: unknown label `neg`: there are neutral, pos"), "{unknown}");
    place.write("short.txt", b"pos\n");
    let short = ["f1", "--hypotheses", "short.txt", "--references", "said.txt"];
    let short = refused(&eval(&short), 1);
    assert!(short.contains("said.txt, line 2: no partner for it: short.txt has 1 lines"), "{short}");
    place.write("empty.txt", b"");
    let empty = refused(&eval(&["f1", "--hypotheses", "empty.txt", "--references", "said.txt"]), 1);
    assert!(empty.contains("empty.txt: is empty"), "{empty}");
    assert!(refused(&eval(&["blue"]), 2).contains("unknown metric `blue`"));
    Ok(())
}

#[test]
fn files_of_ids_that_others_wrote_are_trained_from() -> Checked {
    let place = Place::new();
    let write = |name: &str, layout: Layout, ids: &[u32]| {
        let mut bytes = Vec::new();
        layout.write(ids, &mut bytes).map(|()| place.write(name, &bytes))
    };
    let ids: Vec<u32> = (0..600).map(|i| i * i % 251).collect();
    write("train.bin", Layout::NanoGpt, &ids[..500])?;
    write("val.bin", Layout::NanoGpt, &ids[500..])?;
    write("fine_train_000001.bin", Layout::LlmC16, &ids)?;
    let words = |out, data, tokenizer| {
        [tiny(out), vec!["--max_iters", "1", "--data", data, "--tokenizer", tokenizer]].concat()
    };
    let told = succeeded(&place.run(&words("of_two", "train.bin", "byte")));
    assert!(told.contains("data: 500 + 100 tokens of byte, as they lie in files"), "{told}");
    let told = succeeded(&place.run(&words("of_one", "fine_train_000001.bin", "byte")));
    assert!(told.contains("data: 540 + 60 tokens of byte"), "{told}");

    let error = refused(&place.run(&words("refused", "train.bin", "char")), 2);
    assert!(error.contains("train.bin holds token ids: say what they mean by --tokenizer"), "{error}");
    write("val.bin", Layout::NanoGpt, &[1, 2, 256])?;
    let error = refused(&place.run(&words("refused", "train.bin", "byte")), 1);
    assert!(error.contains("val.bin: id 256 is none of the 256 of this tokenizer"), "{error}");
    Ok(())
}
