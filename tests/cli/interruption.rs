//! A run that is stopped, politely or not, can go on.
#![cfg(unix)]

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::{PLAIN, Place, checkpoints, interrupt, refused, state_at, succeeded, tiny};

/// Far more steps than the test waits for.
const ENDLESS: [&str; 4] = ["--max_iters", "100000000", "--dropout", "0.1"];

/// Starts a command that does not end by itself; what it prints goes to `told.txt`.
fn start(place: &Place, words: &[&str]) -> Child {
    let told = File::create(place.path("told.txt")).expect("the temporary folder can be written");
    let mut command = place.command();
    command.args(words).stdout(told).stderr(Stdio::null());
    command.spawn().expect("the command starts")
}

/// Presses the stop key, and returns what the command told and the step of the checkpoint that it says it saved.
fn stop(place: &Place, run: &str, mut child: Child) -> (String, usize) {
    interrupt(&child);
    let status = child.wait().expect("the child can be waited for");
    let told = std::fs::read_to_string(place.path("told.txt")).expect("what it told is text");
    assert_eq!(status.code(), Some(0), "{told}");
    let step = told
        .lines()
        .find_map(|line| line.strip_prefix("interrupted at step ")?.split(';').next()?.parse().ok());
    let step: usize = step.unwrap_or_else(|| panic!("not interrupted: {told}"));
    assert_eq!(checkpoints(&place.path(run)).last(), Some(&step), "{told}");
    (told, step)
}

/// Waits until a checkpoint of at least this many steps is there.
fn wait_for_checkpoint(run: &Path, child: &mut Child, step: usize) {
    // Not a measurement: only so that a run that makes no checkpoint fails the test and does not hang it.
    let limit = Instant::now() + Duration::from_secs(120);
    while checkpoints(run).last().is_none_or(|last| *last < step) {
        let ended = child.try_wait().expect("the child can be asked");
        assert!(ended.is_none(), "the run ended by itself: {ended:?}");
        if Instant::now() > limit {
            let _ = child.kill();
            panic!("no checkpoint of {step} steps");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until the command that [`start`] started has told this.
fn wait_for_words(place: &Place, words: &str) {
    let limit = Instant::now() + Duration::from_secs(120);
    let has_told = || std::fs::read_to_string(place.path("told.txt")).is_ok_and(|told| told.contains(words));
    while !has_told() {
        assert!(Instant::now() < limit, "nothing told of `{words}`");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Goes on for two more steps than the newest checkpoint has, and checks that it did.
fn goes_on(place: &Place, resume: &[&str]) {
    let run = place.path("run");
    let newest = checkpoints(&run).last().copied().expect("a checkpoint");
    let end = (newest + 2).to_string();
    let words = [&["train"][..], resume, &["--max_iters", &end]].concat();
    let told = succeeded(&place.run(&words));
    assert!(told.contains(&format!("resumed after {newest} steps")), "{told}");
    assert!(told.contains(&format!("finished: {end} steps")), "{told}");
}

#[test]
fn the_stop_key_finishes_the_step_and_saves() {
    let place = Place::new();
    let mut child = start(&place, &[&tiny("run")[..], &ENDLESS].concat());
    wait_for_checkpoint(&place.path("run"), &mut child, 6);
    let (_, step) = stop(&place, "run", child);
    assert!(step >= 6);
    assert!(place.path("run/report.html").exists());
    goes_on(&place, &["--resume", "run"]);
}

#[test]
fn a_killed_run_goes_on_from_its_last_checkpoint() {
    let place = Place::new();
    let mut child = start(&place, &[&tiny("run")[..], &ENDLESS].concat());
    wait_for_checkpoint(&place.path("run"), &mut child, 12);
    child.kill().expect("the child can be killed");
    let status = child.wait().expect("the child can be waited for");
    assert_eq!(status.code(), None, "killed before it could end");
    goes_on(&place, &["--resume", "auto", "--out", "run"]);
    succeeded(&place.run(&["generate", "--model", "run", "--max_new_tokens", "5"]));
}

#[test]
fn a_new_run_leaves_the_one_that_is_there_alone() {
    let place = Place::new();
    place.trained("run", &PLAIN);
    let before = state_at(&place.path("run"), 12);
    let error = refused(&place.train("run", &[&PLAIN[..], &["--seed", "9"]].concat()), 1);
    let advice = "run holds a run: --resume run goes on with it; choose another --out for a new one";
    assert_eq!(error, format!("error: {advice}"));
    assert!(before == state_at(&place.path("run"), 12));
    let told = succeeded(&place.run(&["train", "--resume", "run", "--max_iters", "14"]));
    assert!(told.contains("resumed after 12 steps"), "{told}");
    // A model that no run left is not written over either.
    std::fs::create_dir(place.path("model")).expect("the temporary folder can be written");
    std::fs::copy(place.path("run/model.safetensors"), place.path("model/model.safetensors"))
        .expect("a copy");
    assert!(refused(&place.train("model", &PLAIN), 1).contains("model holds a model: choose another --out"));
}

#[test]
fn the_main_job_goes_on_or_takes_the_next_folder() {
    let place = Place::new();
    // Another run has its folder.
    place.trained("runs/quick", &PLAIN);
    let before = state_at(&place.path("runs/quick"), 12);
    let mut child = start(&place, &[]);
    wait_for_checkpoint(&place.path("runs/quick-2"), &mut child, 0);
    let (told, first) = stop(&place, "runs/quick-2", child);
    assert!(told.contains("this run is runs/quick-2") && !told.contains("resumed after"), "{told}");
    let child = start(&place, &[]);
    // By then the key is listened to.
    wait_for_words(&place, "\nsteps: 2000 of");
    let (told, second) = stop(&place, "runs/quick-2", child);
    assert!(told.contains("runs/quick-2 was broken off: going on with it"), "{told}");
    assert!(told.contains(&format!("resumed after {first} steps")) && second >= first, "{told}");
    assert!(before == state_at(&place.path("runs/quick"), 12));
    assert!(!place.path("runs/quick-3").exists());
}

#[test]
fn two_processes_do_not_train_in_one_folder() {
    let place = Place::new();
    let mut child = start(&place, &[&tiny("run")[..], &ENDLESS].concat());
    wait_for_checkpoint(&place.path("run"), &mut child, 6);
    let error = refused(&place.run(&["train", "--resume", "run", "--max_iters", "9"]), 1);
    assert_eq!(
        error,
        "error: run is in use: another process trains there; wait for it, or choose another --out"
    );
    // Who only reads may.
    succeeded(&place.run(&["generate", "--model", "run", "--max_new_tokens", "5"]));
    stop(&place, "run", child);
    goes_on(&place, &["--resume", "run"]);
}
