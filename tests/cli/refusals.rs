//! What cannot be done is refused in one line that says why, with the exit code of its kind, and without a panic.

use super::{PLAIN, Place, refused, state_at, stderr, stdout, succeeded, tiny};
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

#[test]
fn a_place_that_must_not_be_written_is_refused_before_the_work() -> Checked {
    let place = Place::new();
    place.trained("run", &PLAIN);
    place.write("lines.jsonl", b"{\"text\": \"line\"}\n");
    let before = std::fs::read(place.path("run/model.safetensors"))?;
    for (out, mention) in [
        ("run", "run holds a run"),
        ("text.txt", "text.txt cannot be a folder"),
        ("text.txt/x", "text.txt is a file"),
    ] {
        let output = place.run(&["finetune", "--model", "run", "--data", "lines.jsonl", "--out", out]);
        let error = refused(&output, 1);
        assert!(error.contains(mention) && !stdout(&output).contains("step"), "{out}: {error}");
        let error = refused(&place.run(&["convert", "--from", "run", "--out", out]), 1);
        assert!(error.contains(mention), "{out}: {error}");
    }
    assert_eq!(std::fs::read(place.path("run/model.safetensors"))?, before);
    Ok(())
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

/// Refused before anything is allocated: a machine that tried would swap for minutes, or kill the process.
#[test]
#[cfg(target_os = "linux")]
fn what_memory_cannot_hold_is_refused_with_what_there_is() {
    let place = Place::new();
    let cases: [Case; 5] = [
        (&["--n_embd", "200000"], 1, "use a smaller n_embd, n_layer or block_size"),
        (&["--n_layer", "16000000"], 1, "use a smaller n_embd, n_layer or block_size"),
        (&["--batch_size", "10000000"], 1, "use a smaller batch_size or block_size, or --recompute"),
        (
            &["--data", "", "--task", "sort", "--block_size", "10000000"],
            1,
            "use a smaller batch_size or block_size",
        ),
        (
            &["--data", "", "--batch_size", "10000000", "--block_size", "4096"],
            1,
            "batch_size * block_size must be in 1..=268435456",
        ),
    ];
    for (words, code, mention) in cases {
        let error = refused(&place.train("run", words), code);
        assert!(error.contains(mention), "{words:?}: {error}");
        let says = mention.starts_with("batch_size *")
            || (error.contains("this run needs ") && error.contains(" are free: "));
        assert!(says, "{words:?}: {error}");
        assert!(!place.path("run").exists(), "{words:?}: a run was begun");
    }
}

/// A GPU is asked, too, and what learns of a model that is there already counts by what learns: of an adapted one the adapters.
#[test]
#[cfg(target_os = "linux")]
fn what_a_gpu_cannot_hold_and_what_cannot_be_tuned_is_refused_as_well() -> Checked {
    let place = Place::new();
    let error = refused(&place.train("run", &["--device", "emulated", "--n_embd", "200000"]), 1);
    let says = error.contains("this run needs ") && error.contains("8192 MiB are free: ");
    assert!(says && error.contains("use a smaller n_embd"), "{error}");
    assert!(!place.path("run").exists(), "a run was begun");

    succeeded(&place.train("model", &["--max_iters", "2"]));
    std::fs::write(
        place.path("lines.jsonl"),
        "{\"text\": \"line 1 says that 2 comes after 3\"}\n".repeat(8),
    )?;
    let tune = |rank: &str| {
        place.run(&[
            "finetune",
            "--model",
            "model",
            "--data",
            "lines.jsonl",
            "--out",
            "tuned",
            "--lora",
            rank,
        ])
    };
    let error = refused(&tune("1000000000"), 1);
    assert!(error.contains("finetune: this run needs ") && error.contains("use a smaller model"), "{error}");
    assert!(!place.path("tuned").exists(), "a model was written");
    succeeded(&tune("2"));
    Ok(())
}

/// Where the machine has the memory and the process may not have it: what the arena is refused is an error, and no abort.
#[test]
#[cfg(target_os = "linux")]
fn memory_that_a_process_may_not_have_is_an_error() -> Checked {
    let place = Place::new();
    let words = tiny("run").join(" ");
    // 2 GB of addresses for weights of 3 GB, each matrix of them far above what the rest of the process takes.
    let line = format!("ulimit -v 2000000; exec '{}' {words} --n_embd 5120", env!("CARGO_BIN_EXE_warpsmith"));
    let told = std::process::Command::new("sh").args(["-c", &line]).current_dir(place.dir.path()).output()?;
    let error = refused(&told, 1);
    assert!(error.contains("MiB could not be had") && error.contains("smaller"), "{error}");
    Ok(())
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

/// A limit on the size of files stands for a disk that runs full in the middle of a run: the log reaches it first.
#[test]
#[cfg(unix)]
fn a_log_that_cannot_grow_costs_no_checkpoint() -> Checked {
    let place = Place::new();
    place.trained("run", &["--max_iters", "6", "--dropout", "0"]);
    let before = state_at(&place.path("run"), 6);
    let resume = |shell: &str, more: &str| {
        let line = format!(
            "{shell} exec '{}' train --resume run --max_iters 400 {more}",
            env!("CARGO_BIN_EXE_warpsmith")
        );
        std::process::Command::new("sh").args(["-c", &line]).current_dir(place.dir.path()).output()
    };
    // Blocks of 512 bytes; who ignores the signal gets the error.
    let error = refused(&resume("trap '' XFSZ; ulimit -f 80;", "--eval_interval 1000")?, 1);
    assert!(error.contains("cannot write run/log.jsonl: ") && error.contains("ulimit -f"), "{error}");
    assert!(error.ends_with("then --resume run goes on after 6 steps"), "{error}");
    assert!(before == state_at(&place.path("run"), 6));
    let told = succeeded(&resume("", "--max_iters 8")?);
    assert!(told.contains("resumed after 6 steps") && told.contains("finished: 8 steps"), "{told}");
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
    assert!(error.contains("nowhere does not exist"), "{error}");
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

/// Anywhere in the file: in its header, where a bit may be of no meaning, and in the numbers, where none is.
#[test]
fn weights_with_a_flipped_bit_are_refused_or_say_the_same() -> Checked {
    let place = Place::new();
    place.trained("run", &PLAIN);
    let path = place.path("run/model.safetensors");
    let whole = std::fs::read(&path)?;
    let head = 8 + u64::from_le_bytes(whole[..8].try_into()?) as usize;
    let ask = || place.run(&["logits", "--model", "run", "--ids", "1,2", "--out", "l.safetensors"]);
    let answer = || std::fs::read(place.path("l.safetensors"));
    succeeded(&ask());
    let truth = answer()?;
    let mut damage = warpsmith_damage::Series::new(1);
    for i in 0..60 {
        let bit = if i % 3 == 0 {
            damage.below(8 * head)
        } else {
            8 * head + damage.below(8 * (whole.len() - head))
        };
        let mut file = whole.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, file)?;
        let told = ask();
        if told.status.success() && bit / 8 < head {
            assert!(answer()? == truth, "bit {bit} changed the answer");
        } else {
            let error = refused(&told, 1);
            assert!(error.contains("model.safetensors") || error.contains("run: "), "bit {bit}: {error}");
        }
    }
    Ok(())
}

#[test]
fn a_usage_error_is_one_line_that_says_where_to_read_on() {
    let place = Place::new();
    let cases: [(&[&str], &str); 6] = [
        (&["generate"], "not provided: --model <DIR|FILE.gguf>; see `warpsmith generate --help`"),
        (
            &["generat"],
            "unrecognized subcommand 'generat'; some similar subcommands exist: 'convert', 'generate'; see",
        ),
        (&["bench", "sorting"], "[possible values: attention, "),
        (&["generate", "--model", "run", "--top_k", "99999999999999999999"], "number too large"),
        (&["generate", "--model", "a", "--model", "b"], "cannot be used multiple times"),
        (&["generate", "--model", "a", "--prompt", "x", "--prompts", "y"], "cannot be used with"),
    ];
    for (words, mention) in cases {
        let output = place.run(words);
        let (error, told) = (refused(&output, 2), stderr(&output));
        assert!(error.contains(mention) && error.contains("--help"), "{words:?}: {error}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn questions_that_a_model_cannot_answer_are_refused() {
    let place = Place::new();
    place.trained("run", &PLAIN);
    place.write("latin.txt", b"caf\xe9");
    let cases: [Case; 13] = [
        (&["generate", "--model", "run", "--num_return_sequences", "0"], 2, "must be at least 1"),
        (&["generate", "--model", "run", "--logit_bias", "9999:1"], 2, "--logit_bias 9999: the model has"),
        (&["generate", "--model", "run", "--seed", "-1"], 2, "invalid value '-1'"),
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
