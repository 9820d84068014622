//! `warpsmith bench`: records, formats, kernels of the user's, and what happens without Python, GPU or compiler.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::{Place, refused, stderr, stdout, succeeded};
use crate::Checked;

/// The flags that make a run short.
const SHORT: [&str; 5] = ["--no-ceilings", "--rounds", "3", "--seconds", "0.001"];

fn bench(place: &Place, words: &[&str]) -> std::process::Output {
    place.run(&[&["bench"], words, &SHORT].concat())
}

fn json(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text)
}

#[test]
fn the_cpu_gives_valid_records_of_every_task() -> Checked {
    let place = Place::new();
    for task in ["attention", "matmul", "softmax", "norm", "cross-entropy", "adamw", "step", "decode"] {
        let told = succeeded(&bench(&place, &[task, "--device", "cpu", "--pass", "both", "-o", "json"]));
        let record = json(&told)?;
        assert_eq!(record["schema"], 1);
        assert_eq!(record["machine"]["device"], "cpu");
        let rows = record["rows"].as_array().ok_or("no rows")?;
        assert!(
            rows.iter().all(|row| row["status"] == "ok" && row["time"]["median_us"].as_f64() > Some(0.0)),
            "{told}"
        );
    }
    Ok(())
}

/// A table without the blanks that put its columns below each other.
fn unpadded(table: &str) -> String {
    table.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_format_is_printed_and_the_limits_are_measured() -> Checked {
    let place = Place::new();
    let words = ["bench", "softmax", "--device", "cpu", "--rounds", "3", "--seconds", "0.001", "-o"];
    let markdown = succeeded(&place.run(&[&words[..], &["md"]].concat()));
    assert!(unpadded(&markdown).contains("| softmax fwd f32 | 5x70 | warpsmith |"), "{markdown}");
    assert!(markdown.contains("- ceilings, measured in this run: copy "), "{markdown}");
    let csv = succeeded(&bench(&place, &["softmax", "--device", "cpu", "-o", "csv"]));
    assert!(csv.starts_with("task,pass,dtype,shape,implementation,status"), "{csv}");
    let page = succeeded(&bench(&place, &["softmax", "--device", "cpu", "-o", "html"]));
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    Ok(())
}

#[test]
fn without_a_python_that_has_torch_one_line_says_so_and_the_rest_runs() {
    let place = Place::new();
    let words = [&["bench", "softmax", "--device", "cpu", "--vs", "torch"][..], &SHORT].concat();
    for (python, told) in [("no-such-python", "does not start"), ("false", "ended without an answer")] {
        let output =
            place.command().args(&words).env("WARPSMITH_PYTHON", python).output().expect("it starts");
        assert!(succeeded(&output).contains("| warpsmith |"));
        let lines: Vec<String> =
            stderr(&output).lines().filter(|l| l.contains("PyTorch")).map(str::to_owned).collect();
        assert!(
            lines.len() == 1 && lines[0].contains(told) && lines[0].contains("WARPSMITH_PYTHON"),
            "{lines:?}"
        );
    }
}

/// In the twinkling of an eye, and without a byte of it: neither the tensors nor the numbers of these exist.
#[test]
fn shapes_that_no_memory_holds_are_refused_in_a_line() {
    let place = Place::new();
    for (task, shape, told) in [
        (
            "matmul",
            "999999999x999999999x9",
            "matmul fwd f32 999999999x999999999x9: needs 3553 PiB of memory or more, and ",
        ),
        ("matmul", "99999999x999999x9", "needs 364 TiB"),
        ("matmul", "18446744073709551615x2x2", "more elements than a computer can address"),
        ("attention", "1x999999999999x1x1", "TiB"),
        ("softmax", "1x999999999999", "needs 18 TiB"),
        ("norm", "layer:999999999x9999", "needs 182 TiB"),
        ("cross-entropy", "9999999999x99", "needs 15 TiB"),
        // As many tensors as nobody could list.
        ("adamw", "99999999999999x1", "PiB"),
        ("step", "1x1x999999999999x1x1x1", "TiB"),
        ("step", "99999x99999x1x1x8x5", "needs 6370 GiB"),
        ("decode", "18446744073709551615x18446744073709551615x1x1x1x1", "PiB"),
    ] {
        let output = bench(&place, &[task, "--device", "cpu", "--shapes", shape]);
        let lines = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{task} {shape}: {lines}");
        assert!(lines.lines().count() == 1 && lines.contains(told), "{task} {shape}: {lines}");
        assert_eq!(stdout(&output), "", "{task} {shape}");
    }
    // Beside one that fits it has a row.
    let table = succeeded(&bench(&place, &["softmax", "--device", "cpu", "--shapes", "3x5,99999999x999999"]));
    let row = table.lines().find(|line| line.contains("| 99999999x999999")).unwrap_or_default();
    assert!(row.contains("REFUSED, not timed: needs 1819 TiB of memory or more"), "{table}");
    assert!(unpadded(&table).contains("| 3x5 | warpsmith | "), "{table}");
}

/// One that finds no torch, whatever is installed: a module of that name that cannot be imported comes first.
#[test]
fn a_python_without_torch_says_so_in_one_line() {
    let place = Place::new();
    place.write("torch.py", b"raise ImportError('there is none')");
    let words = [&["bench", "softmax", "--device", "cpu", "--vs", "torch"][..], &SHORT].concat();
    let output =
        place.command().args(&words).env("PYTHONPATH", place.dir.path()).output().expect("it starts");
    assert!(succeeded(&output).contains("| warpsmith |"));
    let lines: Vec<String> =
        stderr(&output).lines().filter(|l| l.contains("PyTorch")).map(str::to_owned).collect();
    // Where there is no Python either, that is what is told.
    let told = ["torch cannot be imported: there is none", "does not start"];
    assert!(lines.len() == 1 && told.iter().any(|told| lines[0].contains(told)), "{lines:?}");
}

/// Its process is killed in the first case: the rest runs, also its own.
#[cfg(unix)]
#[test]
fn a_pytorch_that_dies_costs_its_own_rows_and_one_line() -> Checked {
    let place = Place::new();
    let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/bench/tests/torch");
    let words = ["bench", "softmax", "--device", "cpu", "--vs", "torch", "-o", "json"];
    let run = |trick: &str, more: &[&str]| {
        let mut command = place.command();
        command.args(words).args(more).args(SHORT).env("PYTHONPATH", modules).env("FAKE_TORCH", trick);
        command.env("PYTHONDONTWRITEBYTECODE", "1").output()
    };
    let sound = run("", &[])?;
    if stderr(&sound).contains("does not start") {
        eprintln!("left out: there is no python3");
        return Ok(());
    }
    let rows = |output: &std::process::Output| -> Result<Vec<(String, String)>, serde_json::Error> {
        let word = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let record = json(&succeeded(output))?;
        assert_eq!(record["machine"]["torch"], "0.0.1+fake");
        let rows = record["rows"].as_array().cloned().unwrap_or_default();
        Ok(rows.iter().map(|row| (word(&row["implementation"]), word(&row["status"]))).collect())
    };
    let case = |states: [&str; 3]| -> Vec<(String, String)> {
        let names = ["warpsmith", "torch softmax", "torch.compile softmax"];
        names.iter().zip(states).map(|(name, state)| ((*name).to_owned(), state.to_owned())).collect()
    };
    assert_eq!(rows(&sound)?, [case(["ok"; 3]), case(["ok"; 3])].concat());
    // Eager and compiled are told apart by name, and by the peer that is asked for.
    let only = rows(&run("", &["--impl", "torch.compile"])?)?;
    assert!(only.len() == 2 && only.iter().all(|(name, _)| name == "torch.compile softmax"), "{only:?}");
    let eager = place
        .command()
        .args(&words[..5])
        .arg("torch-eager")
        .args(SHORT)
        .env("PYTHONPATH", modules)
        .output()?;
    assert!(succeeded(&eager).contains("| torch softmax |") && !stdout(&eager).contains("torch.compile"));
    let dead = run("is killed", &[])?;
    let found = rows(&dead)?;
    assert_eq!(found[..3], case(["ok", "refused", "refused"]));
    assert_eq!(found[3], ("warpsmith".into(), "ok".into()));
    let told = stderr(&dead);
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("started anew without that")).collect();
    assert!(lines.len() == 1 && lines[0].contains("signal: 9 (SIGKILL)"), "{told}");
    Ok(())
}

/// Who waits no longer for the next case still has those that are done.
#[cfg(unix)]
#[test]
fn a_stopped_bench_tells_what_was_measured() -> Checked {
    let place = Place::new();
    let words = ["bench", "softmax", "--device", "cpu", "--no-ceilings", "--rounds", "3", "--seconds", "0.5"];
    let shapes = vec!["5x70"; 50].join(",");
    let mut command = place.command();
    command.args(words).args(["--shapes", &shapes, "-o", "csv"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut told = BufReader::new(child.stderr.take().ok_or("no stderr")?).lines();
    // The second case has begun, so the first is done.
    told.by_ref().nth(1).ok_or("no second case")??;
    super::interrupt(&child);
    let rest = told.collect::<Result<Vec<_>, _>>()?.join("\n");
    let output = child.wait_with_output()?;
    let rows = stdout(&output).lines().filter(|line| line.starts_with("softmax,fwd")).count();
    assert!((1..10).contains(&rows), "{}", stdout(&output));
    assert!(
        rest.contains("stopping after this case") && rest.contains("error: stopped before softmax fwd"),
        "{rest}"
    );
    assert_eq!(output.status.code(), Some(1));
    Ok(())
}

/// A name that nobody has leaves those that somebody has.
#[test]
fn a_name_of_impl_that_nobody_has_is_told() {
    let place = Place::new();
    let quick = ["--no-ceilings", "--rounds", "2", "--seconds", "0.01", "--shapes", "4x8"];
    let words = ["bench", "softmax", "--device", "cpu", "--impl", "warpsmith, torhc"];
    let output = place.run(&[&words[..], &quick].concat());
    let told = stderr(&output);
    assert!(succeeded(&output).contains("warpsmith") && told.contains("--impl torhc: nobody has"), "{told}");
    assert!(!told.contains("--impl warpsmith"), "{told}");
}

#[test]
fn mistakes_in_the_flags_say_what_was_expected() {
    let place = Place::new();
    for (words, told) in [
        (&["softmax", "--shapes", "5"][..], "expected RxC"),
        (&["softmax", "--preset", "huge"], "gpt2, llama"),
        (&["softmax", "--dtype", "f8"], "f32, bf16 or f16"),
        (&["softmax", "--impl", "nobody"], "leaves nobody for softmax fwd; there are: warpsmith\n"),
        (&["softmax", "--check"], "--kernel"),
        (&["softmax", "--vs", "jax"], "torch, torch-eager"),
        (&["softmax", "--timeout", "0"], "--timeout"),
        (&["step", "--preset", "llama"], "gpt2, nanogpt, long, odd, tiny"),
        (&["step", "--shapes", "2x16x2x3x32x65"], "H a divisor of C"),
        (&["step", "--pass", "bwd"], "no backward pass"),
        (&["decode", "--kernel", "k.cu:f"], "--kernel is for attention"),
        (&["starter", "step"], "invalid value 'step'"),
        (&["softmax", "--kernel", "k.cu"], "FILE.cu:ENTRY"),
        (&["softmax", "--kernel", "k.rs:f"], "k.rs"),
        (&["softmax", "-o", "xml"], "md, csv, json or html"),
        (&["softmax", "--seconds", "0"], "--seconds takes a number above 0, got 0"),
        (&["softmax", "--seconds", "-1"], "--seconds takes a number above 0, got -1"),
        (&["softmax", "--rounds", "-1"], "--rounds <N>': -1 is not in 1..=1000"),
    ] {
        let device = if words[0] == "starter" { &[][..] } else { &["--device", "cpu"] };
        let output = place.run(&[&["bench"][..], words, device].concat());
        assert!(stderr(&output).contains(told), "{words:?}: {}", stderr(&output));
        assert_ne!(output.status.code(), Some(0), "{words:?}");
    }
}

#[test]
fn the_rungs_of_a_ladder_want_a_gpu_and_that_is_told_once() {
    let place = Place::new();
    for task in ["softmax", "matmul", "attention"] {
        let told = refused(&bench(&place, &[task, "--device", "cpu", "--impl", "ladder"]), 2);
        assert!(
            told.contains("--impl ladder leaves nobody on the CPU") && told.contains("--device emulated")
        );
        let output = bench(&place, &[task, "--device", "cpu", "--impl", "ladder,warpsmith"]);
        assert!(!succeeded(&output).contains("| ladder "), "{}", stdout(&output));
        let notes = stderr(&output).lines().filter(|line| line.contains("without the ladder")).count();
        assert_eq!(notes, 1, "{}", stderr(&output));
    }
}

#[test]
fn a_starter_is_a_kernel_with_its_contract() {
    let place = Place::new();
    let text = succeeded(&place.run(&["bench", "starter", "attention"]));
    assert!(text.starts_with("// bench: attention fwd f32; grid ") && text.contains("struct Args {"));
    let text = succeeded(&place.run(&["bench", "starter", "attention", "--bwd"]));
    assert!(text.contains("const Real* dout;") && text.contains("Real* dv;"), "{text}");
}

#[test]
fn cuda_source_without_nvrtc_says_how_to_get_it() {
    let place = Place::new();
    place.write("k.cu", b"extern \"C\" __global__ void k() {}");
    let words = [&["bench", "softmax", "--device", "cpu", "--kernel", "k.cu:k"][..], &SHORT].concat();
    let output = place.command().args(&words).env("WARPSMITH_NVRTC", "no-such-library.so").output();
    let told = refused(&output.expect("it starts"), 1);
    assert!(told.contains("pip install 'nvidia-cuda-nvrtc-cu12==12.8.*'") && told.contains(".ptx"), "{told}");
}

/// The planted kernels as PTX, which needs no compiler.
fn planted(place: &Place) {
    place.write("planted.ptx", include_bytes!("../../crates/bench/tests/kernels/planted.ptx"));
}

#[cfg(target_os = "linux")]
#[test]
fn an_emulated_device_counts_and_does_not_time() -> Checked {
    let place = Place::new();
    let told = succeeded(&bench(&place, &["softmax", "--device", "emulated", "-o", "json"]));
    let record = json(&told)?;
    assert_eq!(
        (&record["machine"]["device"], &record["method"]["cache"]),
        (&"emulated".into(), &"counted".into())
    );
    let row = &record["rows"][0];
    assert!(row["time"].is_null() && row["status"] == "ok", "{told}");
    // Softmax reads each number at least once, and writes it once.
    assert_eq!(row["counts"]["global_write_bytes"], 4 * 5 * 70);
    assert!(row["counts"]["global_read_bytes"].as_u64() >= Some(4 * 5 * 70), "{told}");
    let told = succeeded(&bench(
        &place,
        &["softmax", "--device", "emulated", "--impl", "ladder", "--shapes", "9x128"],
    ));
    assert!(unpadded(&told).contains("| ladder 2 online | 1.50 × fewer bytes read |"), "{told}");
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn the_check_refuses_what_only_the_emulator_sees() {
    let place = Place::new();
    planted(&place);
    for (entry, launch, told) in [
        ("past_the_end", "softmax fwd f32; grid R; block 32", "allocation"),
        ("race", "softmax fwd f32; grid R; block 64", "race"),
        ("zeros", "softmax fwd f32; grid R; block 32", "all zeros"),
    ] {
        let kernel = format!("planted.ptx:{entry}");
        let words = ["softmax", "--device", "cpu", "--check", "--kernel", &kernel, "--launch", launch];
        let output = bench(&place, &words);
        let line = refused(&output, 1);
        assert!(line.contains(&format!("{entry} was refused")) && line.contains(told), "{line}");
        assert!(stdout(&output).contains("REFUSED, not timed"), "{}", stdout(&output));
        assert!(unpadded(&stdout(&output)).contains("| warpsmith |"), "the others are measured");
    }
    let launch = "softmax fwd f32; grid R; block 32";
    let words =
        ["softmax", "--device", "cpu", "--check", "--kernel", "planted.ptx:softmax", "--launch", launch];
    let told = succeeded(&bench(&place, &words));
    assert!(told.contains("the emulator's checks found nothing"), "{told}");
}

/// PTX of the user's, written by hand: each entry takes what a softmax takes.
#[cfg(target_os = "linux")]
fn by_hand(body: &str) -> String {
    let head = "// bench: softmax fwd f32; grid R; block 32\n.version 8.0\n.target sm_80\n.address_size 64\n";
    format!("{head}.visible .entry mine(\n\t.param .align 8 .b8 a[24]\n)\n{{\n{body}\n}}\n")
}

#[cfg(target_os = "linux")]
#[test]
fn a_kernel_that_never_ends_or_reads_what_nobody_wrote_is_refused_by_the_check() {
    let place = Place::new();
    let unwritten = ".shared .align 4 .b8 s[128];\n.reg .f32 %f<2>;\nld.shared.f32 %f1, [s];\nret;";
    for (body, timeout, told) in [
        ("again:\nbra again;", "2", "it did not end in 2 s: a loop without an end, or --timeout"),
        (unwritten, "60", "0x0 of shared memory, not all of them written"),
        // Its line is that of the user's file.
        ("\nfly.away;", "60", "ptx line 10: unsupported instruction `fly.away`"),
    ] {
        place.write("mine.ptx", by_hand(body).as_bytes());
        let words =
            ["softmax", "--device", "cpu", "--check", "--kernel", "mine.ptx:mine", "--timeout", timeout];
        let output = bench(&place, &words);
        let line = refused(&output, 1);
        assert!(line.contains(told), "{line}");
        assert!(stdout(&output).contains("| warpsmith |"), "the others are measured: {line}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_kernel_that_cannot_be_launched_says_why() {
    let place = Place::new();
    planted(&place);
    for (entry, launch, told) in [
        ("softmax", "softmax fwd f32; grid R; block 32; shared 400000", "shared"),
        ("softmax", "softmax fwd f32; grid R; block 2048", "2048"),
        ("softmax", "softmax fwd f32; grid R; block Q", "the letters are R, C"),
        (
            "nobody",
            "softmax fwd f32; grid R; block 32",
            "planted.ptx has no entry \"nobody\"; it has softmax",
        ),
    ] {
        let kernel = format!("planted.ptx:{entry}");
        let words = ["softmax", "--device", "emulated", "--kernel", &kernel, "--launch", launch];
        let output = bench(&place, &words);
        assert_ne!(output.status.code(), Some(0), "{launch}: {}", stdout(&output));
        assert!(stderr(&output).contains(told), "{launch}: {}", stderr(&output));
        assert!(!stderr(&output).contains("warpsmith was refused"), "{}", stderr(&output));
    }
}

/// Where an NVRTC is: the compiler's words, with the line of the user's file; and a kernel that is right is.
#[cfg(target_os = "linux")]
#[test]
fn cuda_source_is_compiled_and_its_mistakes_have_lines() {
    let place = Place::new();
    let starter = succeeded(&place.run(&["bench", "starter", "softmax"]));
    let words = ["softmax", "--device", "emulated", "--kernel", "mine.cu:softmax"];
    place.write("mine.cu", starter.as_bytes());
    // The one that compiles our own kernels, if that was fetched here.
    let fetched =
        concat!(env!("CARGO_MANIFEST_DIR"), "/target/kernels-toolchain/nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
    let run = || {
        let mut command = place.command();
        if std::env::var_os("WARPSMITH_NVRTC").is_none() && std::path::Path::new(fetched).exists() {
            command.env("WARPSMITH_NVRTC", fetched);
        }
        command.arg("bench").args(words).args(SHORT).output().expect("it starts")
    };
    let output = run();
    if stderr(&output).contains("CUDA C++ is compiled by NVRTC, which") {
        eprintln!("left out: {}", stderr(&output).trim());
        return;
    }
    assert!(unpadded(&succeeded(&output)).contains("| softmax |"), "{}", stdout(&output));
    let at = starter.lines().count() + 1;
    place.write("mine.cu", format!("{starter}int wrong = ;\n").as_bytes());
    let output = run();
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(
        told.contains("mine.cu does not compile") && told.contains(&format!("mine.cu({at}): error")),
        "{told}"
    );
}

#[test]
fn two_records_are_set_side_by_side() -> Checked {
    let place = Place::new();
    let mut record =
        json(&succeeded(&bench(&place, &["softmax", "--device", "cpu", "--shapes", "5x70", "-o", "json"])))?;
    // As many samples as it takes to tell.
    record["rows"][0]["time"]["samples_us"] = serde_json::json!(vec![2.0; 7]);
    place.write("old.json", record.to_string().as_bytes());
    record["rows"][0]["time"]["samples_us"] = serde_json::json!(vec![1e9; 7]);
    record["rows"][0]["time"]["median_us"] = 1e9.into();
    record["machine"]["commit"] = "0123456789ab".into();
    place.write("new.json", record.to_string().as_bytes());
    let output = place.run(&["bench", "diff", "old.json", "new.json"]);
    let told = succeeded(&output);
    assert!(told.ends_with("softmax fwd f32 5x70 warpsmith\n") && told.lines().count() == 1, "{told}");
    assert!(stderr(&output).contains("before, 0123456789ab now"), "{}", stderr(&output));
    let same = place.run(&["bench", "diff", "old.json", "old.json"]);
    assert!(succeeded(&same).starts_with("within  1.000") && stderr(&same).is_empty(), "{}", stderr(&same));
    place.write("none.json", b"{}");
    assert!(
        refused(&place.run(&["bench", "diff", "old.json", "none.json"]), 1)
            .contains("none.json is no record")
    );
    Ok(())
}

/// Clocks and power are those of a GPU: a row of the CPU has none, whatever else is in the machine.
#[cfg(unix)]
#[test]
fn on_the_cpu_no_gpu_is_asked_for_its_clocks() -> Checked {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.write("nvidia-smi", b"#!/bin/sh\necho \"$@\" >> asked\necho '1980, 2619, 300, 41'\n");
    std::fs::set_permissions(place.path("nvidia-smi"), std::fs::Permissions::from_mode(0o755))?;
    let path = format!("{}:{}", place.dir.path().display(), std::env::var("PATH")?);
    let words = [&["bench", "softmax", "--device", "cpu", "-o", "json"][..], &SHORT].concat();
    let record = json(&succeeded(&place.command().args(&words).env("PATH", path).output()?))?;
    assert_eq!(
        (&record["machine"]["power"], &record["rows"][0]["time"]["power"]),
        (&Value::Null, &Value::Null)
    );
    assert!(record["rows"][0]["time"]["median_us"].is_number() && !place.path("asked").exists());
    Ok(())
}

/// A program in the place of llama-bench, which answers as that does.
#[cfg(unix)]
#[test]
fn a_model_file_is_timed_beside_llama_bench() -> Checked {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.write("m.gguf", &super::gguf::model(None)?);
    let words = ["bench", "model", "--model", "m.gguf", "--device", "cpu", "--rounds", "2"];
    let words = [&words[..], &["--prompt_tokens", "20", "--new_tokens", "8", "--vs", "llama.cpp"]].concat();
    let run = |peer: &str, more: &[&str]| {
        let mut command = place.command();
        command.args(&words).args(more).env("WARPSMITH_LLAMA_BENCH", place.path(peer)).output()
    };
    let fake = "#!/bin/sh\ncase \"$*\" in *m.gguf*) echo '[{\"n_gen\":0,\"avg_ts\":10.0},{\"n_gen\":8,\"avg_ts\":20.0}]';; esac\n";
    place.write("peer", fake.as_bytes());
    std::fs::set_permissions(place.path("peer"), std::fs::Permissions::from_mode(0o755))?;
    let record = json(&succeeded(&run("peer", &["--json"])?))?;
    let rows = record["rows"].as_array().ok_or("no rows")?;
    let told: Vec<_> =
        rows.iter().map(|row| (row["task"].as_str(), row["implementation"].as_str())).collect();
    let both =
        ["reading", "writing"].map(|task| ["warpsmith", "llama.cpp"].map(|who| (Some(task), Some(who))));
    assert_eq!(told, both.concat());
    assert_eq!((&rows[1]["median"], &rows[3]["median"]), (&Value::from(10.0), &Value::from(20.0)));
    assert!(rows.iter().all(|row| row["tokens_per_second"].as_array().map(Vec::len) == Some(2)), "{record}");
    let ratio = rows[0]["median"].as_f64().unwrap_or_default() / 10.0;
    assert!(rows[1]["ratio"].as_f64().is_some_and(|told| told > 0.0 && (told / ratio - 1.0).abs() < 1.0));
    // Nobody there: one line, and the rest runs.
    let output = run("nobody", &[])?;
    assert!(succeeded(&output).contains("| writing 8 | warpsmith |"));
    assert!(
        stderr(&output).contains("without llama.cpp") && stderr(&output).contains("WARPSMITH_LLAMA_BENCH")
    );
    // Longer than the model sees.
    let error = refused(&place.run(&["bench", "model", "--model", "m.gguf", "--device", "cpu"]), 2);
    assert!(error.contains("the model sees 96 tokens, 512 are asked for"), "{error}");
    Ok(())
}
