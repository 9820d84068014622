//! A run that goes on from a checkpoint takes the steps that it would have taken.

use super::{PLAIN, Place, checkpoints, refused, state_at, succeeded};
use crate::Checked;

#[test]
fn six_steps_and_six_more_are_twelve_bit_for_bit() {
    let place = Place::new();
    // With dropout, so that the generator's place in its streams matters.
    place.trained("whole", &["--max_iters", "12", "--dropout", "0.1"]);
    place.trained("parts", &["--max_iters", "6", "--dropout", "0.1"]);
    assert_eq!(checkpoints(&place.path("parts")).last(), Some(&6));
    let told = succeeded(&place.run(&["train", "--resume", "parts", "--max_iters", "12"]));
    assert!(told.contains("resumed after 6 steps"), "{told}");
    let (whole, parts) = (place.path("whole"), place.path("parts"));
    assert!(state_at(&whole, 6) == state_at(&parts, 6), "the first six steps differ");
    assert!(state_at(&whole, 12) == state_at(&parts, 12), "the steps after the resume differ");
    assert!(state_at(&whole, 6) != state_at(&whole, 12), "nothing was learned");
}

#[test]
fn a_resumed_log_goes_on_where_the_first_ended() -> Checked {
    let place = Place::new();
    place.trained("run", &["--max_iters", "6", "--dropout", "0"]);
    succeeded(&place.run(&["train", "--resume", "run", "--max_iters", "12"]));
    let log = std::fs::read_to_string(place.path("run/log.jsonl"))?;
    let records = log.lines().map(serde_json::from_str).collect::<Result<Vec<serde_json::Value>, _>>()?;
    let steps: Vec<u64> =
        records.iter().filter(|r| r["train/loss"].is_number()).filter_map(|r| r["step"].as_u64()).collect();
    assert_eq!(steps, (1..=12).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn steps_made_again_are_logged_once() -> Checked {
    let place = Place::new();
    place.trained("run", &PLAIN);
    // What a run leaves that was killed between two checkpoints: records newer than its last checkpoint.
    std::fs::remove_dir_all(place.path("run/checkpoint-12"))?;
    succeeded(&place.run(&["train", "--resume", "run"]));
    let log = std::fs::read_to_string(place.path("run/log.jsonl"))?;
    let records = log.lines().map(serde_json::from_str).collect::<Result<Vec<serde_json::Value>, _>>()?;
    let steps: Vec<u64> =
        records.iter().filter(|r| r["train/loss"].is_number()).filter_map(|r| r["step"].as_u64()).collect();
    assert_eq!(steps, (1..=12).collect::<Vec<_>>());
    Ok(())
}

/// What happens to the bytes of a file.
type Damage = fn(&mut Vec<u8>);

/// Cuts the file's last quarter off.
fn truncate(bytes: &mut Vec<u8>) {
    bytes.truncate(bytes.len() * 3 / 4);
}

/// Flips one bit in the middle.
#[allow(clippy::ptr_arg)] // The type of every damage.
fn flip(bytes: &mut Vec<u8>) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
}

#[test]
fn a_damaged_checkpoint_costs_only_the_steps_since_the_one_before() -> Checked {
    let damages: [(&str, Damage); 2] = [("cut", truncate), ("flipped", flip)];
    for name in ["model.safetensors", "optimizer.safetensors", "trainer_state.json", "config.toml"] {
        let place = Place::new();
        place.trained("run", &PLAIN);
        assert_eq!(checkpoints(&place.path("run")), [6, 12]);
        for (how, damage) in damages {
            let path = place.path("run/checkpoint-12").join(name);
            let mut bytes = std::fs::read(&path)?;
            damage(&mut bytes);
            std::fs::write(&path, bytes)?;
            // The resumed run makes checkpoint 12 anew, so that the next damage meets a whole one.
            let told = succeeded(&place.run(&["train", "--resume", "run"]));
            assert!(told.contains("resumed after 6 steps"), "{how} {name}: {told}");
            assert!(told.contains("checkpoint-12 is not usable"), "{how} {name}: {told}");
        }
    }
    Ok(())
}

#[test]
fn no_whole_checkpoint_is_an_error_that_says_so() -> Checked {
    let place = Place::new();
    place.trained("run", &PLAIN);
    for step in [6, 12] {
        std::fs::write(place.path(&format!("run/checkpoint-{step}/model.safetensors")), b"")?;
    }
    let error = refused(&place.run(&["train", "--resume", "run"]), 1);
    assert!(error.contains("no usable checkpoint"), "{error}");
    let error = refused(&place.run(&["train", "--resume", "nowhere"]), 1);
    assert!(error.contains("nowhere holds no usable checkpoint"), "{error}");
    Ok(())
}

#[test]
fn a_checkpoint_of_another_shape_is_refused_and_left_alone() -> Checked {
    let place = Place::new();
    place.trained("run", &PLAIN);
    let before = state_at(&place.path("run"), 12);
    let config = std::fs::read(place.path("run/config.json"))?;
    let error = refused(&place.run(&["train", "--resume", "run", "--n_embd", "32"]), 2);
    assert!(error.contains("n_embd = 32: the checkpoint has 16; leave the flag out"), "{error}");
    assert!(before == state_at(&place.path("run"), 12));
    assert_eq!(config, std::fs::read(place.path("run/config.json"))?);
    Ok(())
}

#[test]
fn another_text_is_refused_by_name() {
    let place = Place::new();
    place.trained("run", &PLAIN);
    let before = state_at(&place.path("run"), 12);
    // The same letters in another order.
    let text = std::fs::read_to_string(place.path("text.txt")).expect("the text is there");
    place.write("other.txt", text.chars().rev().collect::<String>().as_bytes());
    let resume =
        |words: &[&str]| place.run(&[&["train", "--resume", "run", "--max_iters", "14"][..], words].concat());
    let error = refused(&resume(&["--data", "other.txt"]), 1);
    assert!(error.contains("run learned from text.txt, and other.txt is something else"), "{error}");
    // Under another name it is the same text.
    place.write("same.txt", text.as_bytes());
    succeeded(&resume(&["--data", "same.txt"]));
    place.write("same.txt", &text.as_bytes()[1..]);
    let error = refused(&place.run(&["train", "--resume", "run", "--max_iters", "16"]), 1);
    assert!(error.contains("same.txt, which has changed since"), "{error}");
    assert!(before == state_at(&place.path("run"), 12));
}

#[test]
fn the_report_of_a_resumed_run_has_every_sample() -> Checked {
    let place = Place::new();
    place.trained("run", &["--max_iters", "6", "--dropout", "0"]);
    succeeded(&place.run(&["train", "--resume", "run", "--max_iters", "12"]));
    let report = std::fs::read_to_string(place.path("run/report.html"))?;
    for step in [0, 6, 12] {
        assert_eq!(report.matches(&format!("after {step} steps")).count(), 1, "{step}");
    }
    Ok(())
}

#[test]
fn auto_starts_when_there_is_nothing_to_go_on_from() {
    let place = Place::new();
    let told = place.trained("run", &[&PLAIN[..], &["--resume", "auto"]].concat());
    assert!(told.contains("finished: 12 steps") && !told.contains("resumed after"), "{told}");
    let told = place.trained("run", &["--resume", "auto", "--max_iters", "14", "--dropout", "0"]);
    assert!(told.contains("resumed after 12 steps"), "{told}");
}
