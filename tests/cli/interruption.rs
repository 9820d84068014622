//! A run that is stopped, politely or not, can go on.
#![cfg(unix)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Place, checkpoints, succeeded, tiny};

/// Far more steps than the test waits for.
const ENDLESS: [&str; 4] = ["--max_iters", "100000000", "--dropout", "0.1"];

/// Starts a run that does not end by itself.
fn start(place: &Place) -> Child {
    let mut command = place.command();
    // Nobody reads while it runs: its output has to go where it cannot fill up.
    command.args(tiny("run")).args(ENDLESS).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the command starts")
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
    let mut child = start(&place);
    wait_for_checkpoint(&place.path("run"), &mut child, 6);
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "the signal cannot be sent");
    let status = child.wait().expect("the child can be waited for");
    assert_eq!(status.code(), Some(0));
    assert!(place.path("run/report.html").exists());
    goes_on(&place, &["--resume", "run"]);
}

#[test]
fn a_killed_run_goes_on_from_its_last_checkpoint() {
    let place = Place::new();
    let mut child = start(&place);
    wait_for_checkpoint(&place.path("run"), &mut child, 12);
    child.kill().expect("the child can be killed");
    let status = child.wait().expect("the child can be waited for");
    assert_eq!(status.code(), None, "killed before it could end");
    goes_on(&place, &["--resume", "auto", "--out", "run"]);
    succeeded(&place.run(&["generate", "--model", "run", "--max_new_tokens", "5"]));
}
