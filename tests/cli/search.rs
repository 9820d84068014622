//! `warpsmith search`: studies that can be broken off, and spaces that are none.

use std::process::Stdio;
use std::time::Duration;

use super::{Place, refused, stdout, succeeded};
use crate::Checked;

/// A space of tiny models, and the lines of one test.
fn space(place: &Place, lines: &str) {
    let fixed = "data = \"text.txt\"\nn_head = 2\nblock_size = 16\nbatch_size = 4\nmax_iters = 3\neval_interval = 3\n\
                 eval_iters = 1\nwarmup_iters = 1\nlr_decay_iters = 3\nsample_tokens = 1\ndropout = 0.0\nn_layer = 1\n\
                 device = \"cpu\"\n";
    place.write("space.toml", format!("{fixed}{lines}").as_bytes());
}

const OPEN: &str = "learning_rate = { min = 1e-3, max = 1e-1, log = true }\nn_embd = [8, 12]\n";

/// The settings and losses of the trials that a command printed as JSON.
fn trials(told: &str) -> Result<Vec<(serde_json::Value, f64)>, Box<dyn std::error::Error>> {
    let json: serde_json::Value = serde_json::from_str(told)?;
    let trials = json["trials"].as_array().ok_or("no trials")?;
    let of = |t: &serde_json::Value| {
        (t["settings"].clone(), t["measured"]["val_loss"].as_f64().unwrap_or(f64::NAN))
    };
    Ok(trials.iter().map(of).collect())
}

#[test]
fn a_resumed_study_makes_the_trials_of_a_whole_one_and_its_best_can_be_trained() -> Checked {
    let place = Place::new();
    space(&place, OPEN);
    let whole = place.run(&["search", "space.toml", "--out", "whole", "--trials", "12", "--json"]);
    let whole = trials(&succeeded(&whole))?;
    let part = succeeded(&place.run(&["search", "space.toml", "--out", "part", "--trials", "5"]));
    assert!(part.contains("budget: 3 steps of 64 tokens for each trial"), "{part}");
    assert!(part.contains("| trial | learning_rate | n_embd | val loss"), "{part}");
    // As a kill within the sixth trial leaves it.
    std::fs::create_dir(place.path("part/trial-0005"))?;
    let resumed =
        place.run(&["search", "space.toml", "--out", "part", "--trials", "12", "--resume", "--json"]);
    assert_eq!(trials(&succeeded(&resumed))?, whole);
    assert!(whole.len() == 12 && whole.iter().all(|(_, loss)| loss.is_finite()));
    let told = succeeded(&place.run(&["train", "--config", "part/config.toml", "--out", "best"]));
    let least = whole.iter().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min);
    assert!(told.contains(&format!("best val loss:   {least:.4}")), "{told} has not {least}");
    Ok(())
}

/// Killed whenever something new lies on the disk, and once more a moment later: whatever a trial was doing, those that follow are
/// the ones that would have come.
#[cfg(unix)]
#[test]
fn a_study_that_is_killed_again_and_again_makes_the_trials_of_a_whole_one() -> Checked {
    let place = Place::new();
    let steps = "max_iters = 24\neval_interval = 4\n";
    space(&place, OPEN);
    let text = std::fs::read_to_string(place.path("space.toml"))?;
    let text = text.replace("max_iters = 3\neval_interval = 3\n", steps);
    place.write("space.toml", text.as_bytes());
    let words = |out: &'static str| ["search", "space.toml", "--out", out, "--trials", "5", "--json"];
    let (whole, mut killed) = (measured(&succeeded(&place.run(&words("whole"))))?, 0);
    // What a kill waits for, in the folder of the study, and how long it waits then.
    let moments = [
        ("space.toml", 0),
        ("study.json", 3),
        ("trial-0000/log.jsonl", 0),
        ("trial-0000/checkpoint-4", 7),
        ("trial-0000/trial.json", 0),
        ("trial-0001/checkpoint-12", 1),
        ("trial-0001/trial.json", 11),
        ("trial-0002/config.toml", 2),
        ("trial-0003/checkpoint-20", 5),
        ("trial-0003/trial.json", 1),
    ];
    for (name, pause) in moments {
        let mut child = {
            let is_begun = place.path("part/study.json").exists();
            let resume: &[&str] = if is_begun { &["--resume"] } else { &[] };
            let mut command = place.command();
            command.args(words("part")).args(resume).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn()?
        };
        // A study that ended before its kill is one that has nothing left to lose.
        while !place.path("part").join(name).exists() && child.try_wait()?.is_none() {
            std::thread::sleep(Duration::from_micros(300));
        }
        std::thread::sleep(Duration::from_millis(pause));
        child.kill()?;
        killed += usize::from(child.wait()?.code().is_none());
    }
    let resumed = place.run(&[&words("part")[..], &["--resume"]].concat());
    println!("killed {killed} times");
    assert_eq!(measured(&succeeded(&resumed))?, whole);
    assert_eq!(whole.len(), 5);
    Ok(())
}

/// All that trials came to, but for the time that they took.
#[cfg(unix)]
fn measured(told: &str) -> Result<Vec<serde_json::Value>, Box<dyn std::error::Error>> {
    let mut json: serde_json::Value = serde_json::from_str(told)?;
    let trials = json["trials"].as_array_mut().ok_or("no trials")?;
    trials.iter_mut().for_each(|trial| trial["measured"]["seconds"] = 0.into());
    Ok(std::mem::take(trials))
}

#[test]
fn folds_are_runs_of_their_own() -> Checked {
    let place = Place::new();
    space(&place, "n_embd = [8, 12]\n");
    let words = ["search", "space.toml", "--sampler", "grid", "--folds", "3", "--json"];
    let json: serde_json::Value = serde_json::from_str(&succeeded(&place.run(&words)))?;
    assert_eq!(json["trials"].as_array().map(Vec::len), Some(2));
    let measured = &json["trials"][0]["measured"];
    let each: Vec<f64> =
        measured["val_losses"].as_array().into_iter().flatten().filter_map(|l| l.as_f64()).collect();
    assert_eq!((each.len(), measured["steps"].as_u64()), (3, Some(9)));
    let mean = each.iter().sum::<f64>() / 3.0;
    assert!((measured["val_loss"].as_f64().unwrap_or(0.0) - mean).abs() < 1e-12);
    assert!(measured["sd"].as_f64().is_some_and(|sd| sd > 0.0) && each[0] != each[1]);
    assert!(place.path("study/trial-0001/fold-2/model.safetensors").exists());
    assert!(!place.path("study/trial-0001/fold-2/checkpoint-3").exists());
    Ok(())
}

#[test]
fn trials_that_cannot_be_are_told_and_passed_over() {
    let place = Place::new();
    space(&place, "n_embd = [7, 8]\n");
    let told = succeeded(&place.run(&["search", "space.toml", "--sampler", "grid"]));
    assert!(told.contains("trial 0 (1/2) | n_embd = 7: not divisible by n_head = 2"), "{told}");
    assert!(told.contains("best: trial 1; warpsmith train --config study/config.toml"), "{told}");
    space(&place, "n_embd = [7]\n");
    let output = place.run(&["search", "space.toml", "--out", "other", "--sampler", "grid"]);
    assert!(refused(&output, 1).contains("no trial came to its end"), "{}", stdout(&output));
}

#[test]
fn spaces_and_studies_that_are_none_are_refused() {
    let place = Place::new();
    space(&place, OPEN);
    let search = |extra: &[&str]| place.run(&[&["search", "space.toml", "--trials", "1"], extra].concat());
    succeeded(&search(&[]));
    let cases: [(&str, &[&str], i32, &str); 7] = [
        (
            "n_layers = [1, 2]\n",
            &[],
            2,
            "space.toml, line 14: unknown setting `n_layers`; did you mean `n_layer`?",
        ),
        (
            "learning_rate = { min = 1e-1, max = 1e-3 }\n",
            &[],
            2,
            "space.toml, line 14: learning_rate: the range goes",
        ),
        ("", &[], 2, "space.toml, line 1: the space is empty"),
        (OPEN, &[], 1, "study holds a study: --resume goes on with it"),
        (OPEN, &["--out", "none", "--resume"], 1, "none/study.json, line 1: is missing"),
        (
            "learning_rate = { min = 1e-3, max = 1.0, log = true }\n",
            &["--resume"],
            1,
            "study/space.toml, line 1",
        ),
        (OPEN, &["--out", "new", "--folds", "100000"], 1, "text.txt: 100000 folds of"),
    ];
    for (lines, extra, code, mention) in cases {
        space(&place, lines);
        let error = refused(&search(extra), code);
        assert!(error.contains(mention), "{error}");
    }
    assert!(!place.path("new").exists() && !place.path("none").exists());
}
