//! Whoever reads no further ends a command quietly; a full disk ends it with a line; and neither ends a training run.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::process::{Command, Output, Stdio};

use super::{PLAIN, Place, checkpoints, families, gguf, refused, stderr, succeeded, tiny};
use crate::Checked;

/// An end to write to whose reader is gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    drop(reader);
    writer.into()
}

/// The device on which no byte has room.
fn full() -> Stdio {
    File::options().write(true).open("/dev/full").expect("the device is there").into()
}

fn onto(out: Stdio, command: &mut Command) -> Output {
    command.stdout(out).output().expect("the command starts")
}

/// Commands that print, of which each can be run twice.
fn commands() -> Vec<Vec<&'static str>> {
    let of_run = |words: &[&'static str]| [&words[..1], &["--model", "run"], &words[1..]].concat();
    let mut commands = vec![
        vec!["--help"],
        vec!["--version"],
        vec!["bench", "--help"],
        vec!["ops"],
        vec!["ops", "--json"],
        vec!["doctor"],
        vec!["doctor", "--json"],
        of_run(&["eval", "--data", "text.txt"]),
        of_run(&["eval", "--data", "text.txt", "--json"]),
        of_run(&["eval", "--data", "text.txt", "--data", "text.txt"]),
        of_run(&["eval", "--data", "text.txt", "--data", "text.txt", "--json"]),
        vec!["eval", "--metric", "distinct", "--hypotheses", "text.txt"],
        of_run(&["inspect"]),
        of_run(&["inspect", "--json"]),
        vec!["runs", "list", "."],
        vec!["runs", "list", ".", "--json"],
        vec!["runs", "compare", "run", "run"],
        vec!["runs", "compare", "run", "run", "--json"],
        of_run(&["logits", "--ids", "1,2", "--out", "l.safetensors"]),
        of_run(&["tokenize", "line", "1"]),
        of_run(&["generate", "--max_new_tokens", "5"]),
        of_run(&["generate", "--max_new_tokens", "5", "--json"]),
        of_run(&["generate", "--max_new_tokens", "5", "--num_return_sequences", "3"]),
        of_run(&["generate", "--max_new_tokens", "5", "--num_beams", "2"]),
        vec!["convert", "--from", "m.gguf", "--out", "folder"],
        vec!["inspect", "--model", "m.gguf"],
        vec!["inspect", "--model", "m.gguf", "--json"],
        vec![
            "chat",
            "--model",
            "m.gguf",
            "--chat_template",
            "t.jinja",
            "--prompt",
            "line",
            "--max_new_tokens",
            "4",
        ],
        vec!["chat", "--model", "m.gguf", "--chat_template", "t.jinja", "--prompt", "line", "--json"],
        vec!["embed", "--model", "bert", "one two"],
        vec!["embed", "--model", "bert", "one two", "--json"],
        vec!["data", "prepare", "text.txt", "--out", "prepared", "--unit", "line", "--force"],
        of_run(&["finetune", "--data", "lines.jsonl", "--out", "tuned", "--epochs", "1"]),
        vec!["bench", "starter", "softmax"],
        vec!["selftest", "--small", "--op", "softmax", "--device", "cpu"],
    ];
    if cfg!(feature = "emulator") {
        commands.extend([vec!["kernel", "list"], vec!["kernel", "list", "--json"]]);
    }
    commands
}

#[test]
fn every_command_ends_as_its_reader_wants() -> Checked {
    let place = Place::new();
    place.write("lines.jsonl", b"{\"text\": \"line 1 says\"}\n");
    place.write("m.gguf", &gguf::model(None)?);
    place.write("t.jinja", b"{{ messages[0].content }}");
    families::encoder(&place)?;
    place.trained("run", &PLAIN);
    for words in commands() {
        let told = succeeded(&onto(closed(), place.command().args(&words)));
        assert_eq!(told, "", "{words:?}");
        let error = refused(&onto(full(), place.command().args(&words)), 1);
        assert!(error.starts_with("error: cannot write to standard output: "), "{words:?}: {error}");
    }
    Ok(())
}

#[test]
fn a_run_goes_on_without_a_reader() {
    let place = Place::new();
    for (name, out) in [("closed", closed()), ("full", full())] {
        let output = onto(out, place.command().args(tiny(name)).args(PLAIN));
        succeeded(&output);
        assert_eq!(
            stderr(&output).matches("cannot write to standard output").count(),
            usize::from(name == "full")
        );
        assert_eq!(checkpoints(&place.path(name)), [6, 12], "{name}");
        assert!(place.path(name).join("report.html").exists(), "{name}");
    }
}

#[test]
fn what_failed_is_told_by_the_exit_code_if_nobody_can_be_told() -> Checked {
    let place = Place::new();
    for (words, code) in [(&["generate", "--model", "nowhere"][..], 1), (&["train", "--n_layers", "2"], 2)] {
        for err in [closed(), full()] {
            let status = place.command().args(words).stdout(Stdio::null()).stderr(err).status()?;
            assert_eq!(status.code(), Some(code), "{words:?}");
        }
    }
    Ok(())
}
