//! Each command does what its help says.

use std::collections::BTreeSet;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::{PLAIN, Place, refused, stderr, succeeded};
use crate::Checked;

#[test]
fn train_leaves_a_model_folder_a_log_and_a_report() -> Checked {
    let place = Place::new();
    let told = place.trained("run", &PLAIN);
    assert!(told.contains("finished: 12 steps") && told.contains("best val loss:"), "{told}");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(place.path("run"))? {
        let (entry, name) = entry.map(|e| (e.metadata().map(|m| m.len()), e.file_name()))?;
        assert!(entry? > 0, "{name:?}");
        found.push(name.into_string().map_err(|name| format!("{name:?}"))?);
    }
    found.sort();
    assert_eq!(
        found,
        [
            "checkpoint-12",
            "checkpoint-6",
            "config.json",
            "config.toml",
            "generation_config.json",
            "log.jsonl",
            "model.safetensors",
            "report.html",
            "samples.jsonl",
            "tokenizer.json"
        ]
    );
    let log = std::fs::read_to_string(place.path("run/log.jsonl"))?;
    let records = log.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let with = |key: &str| records.iter().filter(|r| r[key].is_number()).count();
    assert_eq!(with("train/loss"), 12);
    assert_eq!(with("val/loss"), 3, "before, after 6 steps, and after 12");
    Ok(())
}

/// The flags that scripts rely on: each is there, and what it is given reaches the configuration that the run keeps.
#[test]
fn nanogpt_s_flags_reach_the_resolved_configuration() -> Checked {
    let place = Place::new();
    let flags = [
        ("n_layer", "1"),
        ("n_head", "3"),
        ("n_embd", "12"),
        ("block_size", "9"),
        ("dropout", "0.25"),
        ("bias", "true"),
        ("batch_size", "3"),
        ("gradient_accumulation_steps", "2"),
        ("max_iters", "2"),
        ("learning_rate", "0.0005"),
        ("min_lr", "0.00025"),
        ("warmup_iters", "1"),
        ("lr_decay_iters", "7"),
        ("beta1", "0.8"),
        ("beta2", "0.95"),
        ("weight_decay", "0.3"),
        ("grad_clip", "0.75"),
        ("eval_interval", "11"),
        ("eval_iters", "1"),
        ("log_interval", "4"),
        ("seed", "99"),
        ("device", "cpu"),
        ("tokenizer", "byte"),
        ("data", "text.txt"),
    ];
    let given = flags.iter().flat_map(|(key, value)| [format!("--{key}"), (*value).to_string()]);
    let words: Vec<String> =
        ["train".into(), "--out".into(), "run".into()].into_iter().chain(given).collect();
    let told = succeeded(&place.run(&words.iter().map(String::as_str).collect::<Vec<_>>()));
    let kept = std::fs::read_to_string(place.path("run/config.toml"))?;
    for (key, value) in flags {
        let is_it = |line: &str| {
            let pair = line.split_once('=').map(|(k, v)| (k.trim(), v.trim().trim_matches('"')));
            pair == Some((key, value))
        };
        assert!(kept.lines().any(is_it), "{key} = {value} in {kept}");
        assert!(told.lines().any(is_it), "{key} = {value} in {told}");
    }
    Ok(())
}

#[test]
fn a_switch_may_stand_before_another_flag() -> Checked {
    let place = Place::new();
    place.trained("run", &["--bias", "--max_iters", "2", "--dropout", "0"]);
    let config = std::fs::read_to_string(place.path("run/config.toml"))?;
    assert!(config.contains("bias = true") && config.contains("max_iters = 2"), "{config}");
    Ok(())
}

#[test]
fn the_same_seed_writes_the_same_text() {
    let place = Place::new();
    place.trained("run", &PLAIN);
    let write = |seed: &str| {
        let words =
            ["generate", "--model", "run", "--prompt", "line", "--max_new_tokens", "60", "--seed", seed];
        succeeded(&place.run(&words))
    };
    let text = write("1");
    assert!(text.starts_with("line"), "{text}");
    assert_eq!(text.chars().count(), "line".len() + 60 + 1, "one character a token, and a newline: {text:?}");
    assert_eq!(text, write("1"));
    assert_ne!(text, write("2"));
}

#[test]
#[cfg(unix)]
fn what_a_run_says_to_try_next_can_be_tried() -> Checked {
    let place = Place::new();
    place.write("it's a text.txt", "一二三四五六七八九十\n".repeat(60).as_bytes());
    let runs: [(&str, &[&str]); 4] = [
        ("plain", &[]),
        ("a name", &["--data", "it's a text.txt"]),
        ("own", &["--data", ""]),
        ("sort", &["--data", "", "--task", "sort", "--block_size", "32"]),
    ];
    for (out, extra) in runs {
        let told = place.trained(out, &[&PLAIN[..], &["--max_iters", "6"], extra].concat());
        let next: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("  warpsmith ")).collect();
        assert_eq!(next.len(), 3, "{told}");
        for words in next {
            // Long enough to see that it can be done.
            let few =
                if words.starts_with("train") { " --max_iters 2 --eval_iters 1 --batch_size 2" } else { "" };
            let line = format!("'{}' {words}{few}", env!("CARGO_BIN_EXE_warpsmith"));
            let shell = std::process::Command::new("sh")
                .args(["-c", &line])
                .current_dir(place.dir.path())
                .output()?;
            succeeded(&shell);
        }
    }
    Ok(())
}

#[test]
fn eval_gives_loss_and_what_it_is_measured_over() -> Checked {
    let place = Place::new();
    place.trained("run", &PLAIN);
    let told = succeeded(&place.run(&["eval", "--model", "run", "--data", "text.txt", "--json"]));
    let json: Value = serde_json::from_str(&told)?;
    let number = |key: &str| json[key].as_f64().ok_or(format!("{key} in {told}"));
    let bytes = std::fs::metadata(place.path("text.txt"))?.len() as f64;
    assert_eq!(
        keys(&json),
        [
            "bits_per_byte",
            "bos",
            "bytes",
            "context",
            "loss",
            "perplexity",
            "perplexity_per_byte",
            "perplexity_per_word",
            "stride",
            "tokens",
            "words"
        ]
    );
    assert_eq!(number("tokens")?, bytes - 1.0);
    assert_eq!(number("bytes")?, bytes - 1.0);
    assert_eq!((number("context")?, number("stride")?), (16.0, 16.0));
    let loss = number("loss")?;
    assert!((number("perplexity")? / loss.exp() - 1.0).abs() < 1e-12);
    // One byte a token.
    assert!((number("bits_per_byte")? * std::f64::consts::LN_2 / loss - 1.0).abs() < 1e-12);
    assert!((number("perplexity_per_byte")? / loss.exp() - 1.0).abs() < 1e-12);
    Ok(())
}

#[test]
fn several_texts_are_set_beside_the_first() -> Checked {
    let place = Place::new();
    place.trained("run", &PLAIN);
    // Of the same letters, in another order.
    let other: String = std::fs::read_to_string(place.path("text.txt"))?.chars().rev().collect();
    place.write("other.txt", other.as_bytes());
    let words = ["eval", "--model", "run", "--data", "text.txt", "--data", "other.txt"];
    let told = succeeded(&place.run(&[&words[..], &["--json"]].concat()));
    let told: Vec<Value> = told.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let alone = succeeded(&place.run(&["eval", "--model", "run", "--data", "other.txt", "--json"]));
    let alone: Value = serde_json::from_str(&alone)?;
    let number = |of: &Value, key: &str| of[key].as_f64().unwrap_or(f64::NAN);
    assert_eq!((told.len(), &told[1]["data"], &told[1]["loss"]), (2, &"other.txt".into(), &alone["loss"]));
    let gap = number(&told[1], "bits_per_byte") - number(&told[0], "bits_per_byte");
    assert_eq!(
        (number(&told[1], "gap_in_bits_per_byte"), number(&told[0], "gap_in_bits_per_byte")),
        (gap, 0.0)
    );
    assert!(gap > 0.0, "the model was trained on the first: {gap}");
    let table = succeeded(&place.run(&words));
    assert!(table.contains(&format!("| {gap:+.4} |")) && table.contains("to the first text"), "{table}");
    place.write("snow.txt", "line \u{2603}\n".as_bytes());
    let error = refused(&place.run(&[&words[..], &["--data", "snow.txt"]].concat()), 1);
    assert!(error.contains("snow.txt: ") && error.contains("U+2603"), "{error}");
    let words = ["eval", "--metric", "choices", "--model", "run", "--data", "a.bin", "--data", "b.bin"];
    assert!(refused(&place.run(&words), 2).contains("one file of --data"));
    Ok(())
}

#[test]
fn logits_are_f32_rows_of_the_vocabulary() -> Checked {
    let place = Place::new();
    place.trained("run", &PLAIN);
    succeeded(&place.run(&["logits", "--model", "run", "--ids", "1,2,3,4,5", "--out", "l.safetensors"]));
    let bytes = std::fs::read(place.path("l.safetensors"))?;
    let file = SafeTensors::deserialize(&bytes)?;
    let logits = file.tensor("logits")?;
    let config: Value = serde_json::from_slice(&std::fs::read(place.path("run/config.json"))?)?;
    let vocab = config["vocab_size"].as_u64().ok_or("vocab_size")? as usize;
    assert_eq!((logits.dtype(), logits.shape()), (Dtype::F32, &[5, vocab][..]));
    assert_eq!(file.names().len(), 1);
    let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let numbers: Vec<f32> = logits.data().chunks_exact(4).map(number).collect();
    assert!(numbers.iter().all(|x| x.is_finite()) && numbers.iter().any(|x| *x != 0.0));
    Ok(())
}

/// The keys of an object, in the order of the alphabet: a promise to scripts, so none goes and none comes unseen.
fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn ops_lists_every_op_once() -> Checked {
    let place = Place::new();
    let rows: Vec<Value> = serde_json::from_str(&succeeded(&place.run(&["ops", "--json"])))?;
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names.len(), rows.len());
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), rows.len(), "{names:?}");
    for name in ["matmul", "attention", "cross_entropy", "layer_norm", "adamw"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    for row in &rows {
        assert_eq!(keys(row), ["backward", "devices", "dtypes", "forward", "gradient", "name", "summary"]);
        assert_eq!(keys(&row["forward"]), ["flops", "read", "written"]);
    }
    let table = succeeded(&place.run(&["ops"]));
    for row in &rows {
        let cells = ["name", "dtypes", "devices", "gradient"].map(|key| row[key].as_str().unwrap_or("?"));
        let is_of = |line: &str| cells.iter().all(|cell| line.contains(cell));
        assert!(table.lines().any(is_of), "{cells:?} in {table}");
    }
    for words in ["bytes read", "bytes written", "flops", "backward", "s bytes per element"] {
        assert!(table.contains(words), "{words} in {table}");
    }
    Ok(())
}

#[test]
fn doctor_answers_on_any_machine() -> Checked {
    let place = Place::new();
    let json: Value = serde_json::from_str(&succeeded(&place.run(&["doctor", "--json"])))?;
    assert_eq!(
        keys(&json),
        [
            "advice",
            "architecture",
            "cpu_features",
            "cuda_device",
            "cuda_missing",
            "cuda_version",
            "emulator",
            "emulator_missing",
            "fused_multiply_add",
            "gpus",
            "libcuda",
            "memory_free_mib",
            "memory_total_mib",
            "nvidia_driver",
            "system",
            "threads",
            "version"
        ]
    );
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert!(json["threads"].as_u64().is_some_and(|threads| threads > 0), "{json}");
    assert!(json["cpu_features"].is_array() && json["advice"].is_array(), "{json}");
    let told = succeeded(&place.run(&["doctor"]));
    assert!(told.contains("--device cpu"));
    // Either CUDA works, or what is missing is said, and why the CPU is taken in its place.
    match json["cuda_missing"].as_str() {
        Some(missing) => {
            let advised = json["advice"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let advice: Vec<&str> =
                advised.filter(|advice| advice.starts_with("--device auto is the CPU here: ")).collect();
            assert!(!missing.is_empty() && json["cuda_device"] == false && advice.len() == 1, "{json}");
            assert!(
                told.contains(&format!("--device cuda: {missing}")) && told.contains(advice[0]),
                "{told}"
            );
        }
        None => assert!(json["cuda_missing"].is_null() && json["cuda_device"] == true, "{json}"),
    }
    if json["libcuda"].is_null() && json["nvidia_driver"].is_null() {
        let words = ["selftest", "--small", "--op", "softmax"];
        let told = stderr(&place.run(&words));
        assert!(!told.contains("device: "), "nobody misses a GPU where none is: {told}");
    }
    if cfg!(target_os = "linux") {
        assert!(json["emulator"].as_str().is_some_and(|path| path.ends_with(".so")), "{json}");
    }
    Ok(())
}

#[test]
fn help_and_version_are_no_failures() {
    let place = Place::new();
    for command in
        ["train", "generate", "chat", "eval", "embed", "logits", "inspect", "convert", "ops", "doctor"]
    {
        let help = succeeded(&place.run(&[command, "--help"]));
        assert!(help.contains("Usage:"), "{command}: {help}");
        assert!(succeeded(&place.run(&["--help"])).contains(command), "{command}");
    }
    assert!(succeeded(&place.run(&["generate", "--help"])).contains("num_samples"));
    assert!(succeeded(&place.run(&["--version"])).contains(env!("CARGO_PKG_VERSION")));
    refused(&place.run(&["transmogrify"]), 2);
}
