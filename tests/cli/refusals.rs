//! What cannot be done is refused in one line that says why, with the exit code of its kind, and without a panic.

use super::{PLAIN, Place, refused};
use crate::Checked;

#[test]
fn examples_that_are_none_are_refused_with_file_and_line() {
    let place = Place::new();
    place.trained("run", &PLAIN);
    place.write("empty.jsonl", b"");
    place.write("other.jsonl", b"{\"text\": \"line\"}\n\n{\"words\": \"line\"}\n");
    place.write("cut.jsonl", b"{\"text\": \"line\"}\n{\"text\": \n");
    place.write(
        "long.jsonl",
        format!("{{\"text\": \"line\"}}\n{{\"text\": \"{}\"}}\n", "e".repeat(17 << 20)).as_bytes(),
    );
    place.write("latin.jsonl", b"{\"text\": \"line\"}\n{\"text\": \"\xE9\"}\n");
    for (data, mention) in [
        ("empty.jsonl", "empty.jsonl: is empty"),
        ("other.jsonl", "other.jsonl, line 3: an object of no kind that is known; write {\"text\""),
        ("cut.jsonl", "cut.jsonl, line 2: EOF while parsing a value"),
        ("long.jsonl", "long.jsonl, line 2: the line is longer than 16777216 bytes"),
        ("latin.jsonl", "latin.jsonl, line 2: 1 bytes that are no UTF-8"),
        ("none.jsonl", "none.jsonl: no such file or folder"),
    ] {
        let error = refused(&place.run(&["finetune", "--model", "run", "--data", data, "--out", "tuned"]), 1);
        assert!(error.contains(mention), "{data}: {error}");
        assert!(!place.path("tuned").exists(), "{data}");
    }
}

/// Words after `train`, the exit code, and what the line has to mention.
type Case = (&'static [&'static str], i32, &'static str);

#[test]
fn data_that_is_no_text_is_refused() {
    let place = Place::new();
    place.write("empty.txt", b"");
    place.write("short.txt", b"ten bytes.");
    place.write("binary.dat", b"text until here\0and then none");
    place.write("broken.txt", b"latin \xe9 letters, which are not UTF-8 \xff");
    std::fs::create_dir(place.path("bare")).expect("the temporary folder can be written");
    let cases: [(&str, &str); 7] = [
        ("empty.txt", "is empty"),
        ("short.txt", "needs at least 257"),
        ("binary.dat", "NUL byte at offset 15"),
        ("broken.txt", "byte 0xE9 at offset 6"),
        ("missing/input.txt", "no such file or folder; check the path"),
        ("-", "standard input is empty: give"),
        ("bare", "no text found"),
    ];
    for (data, mention) in cases {
        let error = refused(&place.run(&["train", "--data", data, "--out", "run"]), 1);
        assert!(error.contains(mention), "{data}: {error}");
        assert!(!place.path("run/config.toml").exists(), "{data}: a run was begun");
    }
}

#[test]
fn words_that_make_no_run_are_usage_errors() {
    let place = Place::new();
    let cases: [Case; 10] = [
        (&["--n_embd", "10", "--n_head", "3"], 2, "n_embd = 10: not divisible by n_head = 3"),
        (&["--batch_size", "0"], 2, "batch_size = 0"),
        (&["--block_size", "0"], 2, "block_size = 0"),
        (&["--max_iters", "0"], 2, "max_iters = 0"),
        (&["--dropout", "1"], 2, "dropout"),
        (&["--n_layer", "-1"], 2, "n_layer: expected a whole number"),
        (&["--learning_rate", "fast"], 2, "learning_rate: expected a finite number"),
        (&["--optimizer", "adam"], 2, "optimizer: expected one of"),
        (&["--n_layers", "2"], 2, "unknown flag --n_layers, perhaps --n_layer; see `warpsmith train --help`"),
        (&["--batch_size", "99999999999"], 2, "batch_size"),
    ];
    for (words, code, mention) in cases {
        let words = [&["train", "--data", "text.txt", "--out", "run"][..], words].concat();
        let error = refused(&place.run(&words), code);
        assert!(error.contains(mention), "{words:?}: {error}");
        assert!(!place.path("run").exists(), "{words:?}: a run was begun");
    }
}

#[test]
fn a_file_is_no_run_folder() {
    let place = Place::new();
    let error = refused(&place.train("text.txt", &PLAIN), 1);
    assert!(error.contains("text.txt") && error.contains("a folder is needed there"), "{error}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_says_what_is_left() -> Checked {
    let place = Place::new();
    std::fs::create_dir(place.path("run"))?;
    // Lines of the log go where there is no room; the link is ours, and nothing takes the place of the device.
    std::os::unix::fs::symlink("/dev/full", place.path("run/log.jsonl"))?;
    let error = refused(&place.train("run", &PLAIN), 1);
    assert!(
        error.contains("cannot write run/log.jsonl: ") && error.ends_with("no checkpoint is saved yet"),
        "{error}"
    );
    Ok(())
}

#[test]
fn a_configuration_file_is_refused_by_line() {
    let place = Place::new();
    let cases: [(&[u8], &str); 3] = [
        (b"n_layer = 1\nn_layers = 2\n", "line 2: unknown setting `n_layers`; did you mean `n_layer`?"),
        (b"batch_size = \"many\"\n", "line 1"),
        (b"n_layer = = 1\n", "line 1"),
    ];
    for (file, mention) in cases {
        place.write("run.toml", file);
        let error = refused(&place.run(&["train", "--config", "run.toml", "--out", "run"]), 2);
        assert!(error.contains("run.toml") && error.contains(mention), "{error}");
    }
    let error = refused(&place.run(&["train", "--config", "none.toml", "--out", "run"]), 1);
    assert!(error.contains("none.toml"), "{error}");
}

#[test]
fn models_that_are_not_there_are_refused() {
    let place = Place::new();
    let error = refused(&place.run(&["generate", "--model", "nowhere"]), 1);
    assert!(error.contains("nowhere is not a folder"), "{error}");
    std::fs::create_dir(place.path("bare")).expect("the temporary folder can be written");
    let error = refused(&place.run(&["eval", "--model", "bare", "--data", "text.txt"]), 1);
    assert!(error.contains("config.json"), "{error}");
    refused(&place.run(&["generate"]), 2);
}

#[test]
fn damaged_model_folders_are_refused() -> Checked {
    let place = Place::new();
    place.trained("run", &PLAIN);
    for name in ["model.safetensors", "config.json", "tokenizer.json"] {
        let path = place.path("run").join(name);
        let whole = std::fs::read(&path)?;
        for cut in [0, 1, whole.len() / 2] {
            std::fs::write(&path, &whole[..cut])?;
            let error = refused(&place.run(&["generate", "--model", "run"]), 1);
            assert!(error.contains(name), "{name} cut to {cut} bytes: {error}");
        }
        std::fs::write(&path, whole)?;
    }
    Ok(())
}

#[test]
fn questions_that_a_model_cannot_answer_are_refused() {
    let place = Place::new();
    place.trained("run", &PLAIN);
    place.write("latin.txt", b"caf\xe9");
    let cases: [Case; 10] = [
        (&["generate", "--model", "run", "--prompt", "FILE:latin.txt"], 1, "byte 0xE9 at offset 3"),
        (&["generate", "--model", "run", "--max_new_tokens", "-1"], 2, "invalid value '-1'"),
        (
            &["generate", "--model", "run", "two", "words"],
            2,
            "unknown word two; see `warpsmith generate --help`",
        ),
        (&["generate", "--model", "run", "--prompt", "\u{2603}"], 1, "U+2603"),
        (&["generate", "--model", "run", "--prompt", ""], 1, "prompt"),
        (&["generate", "--model", "run", "--temperature=-1"], 2, "temperature"),
        (&["generate", "--model", "run", "--top_k", "many"], 2, "many"),
        (
            &["eval", "--model", "run", "--data", "text.txt", "--context", "17"],
            2,
            "--context must be in 1..=16",
        ),
        (&["logits", "--model", "run", "--ids", "1,x", "--out", "l"], 2, "`x` is not a token id"),
        (&["logits", "--model", "run", "--ids", "1,9999", "--out", "l"], 1, "9999"),
    ];
    for (words, code, mention) in cases {
        let error = refused(&place.run(words), code);
        assert!(error.contains(mention), "{words:?}: {error}");
    }
    assert!(!place.path("l").exists());
}
