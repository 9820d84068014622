use std::error::Error as AnyError;
use std::fs;

use super::*;
use crate::atomic::disk::faulty::{FaultyDisk, Mode};

type TestResult = Result<(), Box<dyn AnyError>>;

/// Two files, of which one is written in pieces; their content tells the saves apart.
fn files(content: &str) -> impl FnOnce(&mut CheckpointFiles) -> Result<()> {
    move |files| {
        files.write("model.bin", |out| content.chars().try_for_each(|letter| write!(out, "{letter}")))?;
        files.write("state.json", |out| write!(out, "{{\"content\": \"{content}\"}}"))
    }
}

fn model(found: &Found) -> io::Result<String> {
    fs::read_to_string(found.path.join("model.bin"))
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[test]
fn saves_are_found_newest_first_by_number() -> TestResult {
    let root = tempfile::tempdir()?;
    let dir = root.path().join("made/on/demand");
    assert!(find_latest(&dir)?.found.is_none());
    for step in [9, 100, 20] {
        let path = write_checkpoint(&dir, step, files("abc"))?;
        assert_eq!(path, dir.join(format!("checkpoint-{step}")));
    }
    let latest = find_latest(&dir)?;
    let found = latest.found.ok_or("nothing found")?;
    assert_eq!(found.manifest.step, 100);
    assert_eq!(model(&found)?, "abc");
    assert_eq!(names(&found.path)?, ["manifest.json", "model.bin", "state.json"]);
    assert!(latest.skipped.is_empty());
    Ok(())
}

#[test]
fn whichever_operation_fails_an_earlier_checkpoint_is_found_whole() -> TestResult {
    for mode in [Mode::FailOnce, Mode::Crash] {
        let mut points = 0;
        loop {
            let dir = tempfile::tempdir()?;
            write_checkpoint(dir.path(), 100, files("old"))?;
            let saved = write_checkpoint_on(&FaultyDisk::new(points, mode), dir.path(), 200, files("new"));
            let found = find_latest(dir.path())?.found.ok_or("nothing found")?;
            let expected = if found.manifest.step == 200 { "new" } else { "old" };
            assert_eq!(model(&found)?, expected, "{mode:?} at {points}");
            let Err(error) = saved else {
                assert_eq!(found.manifest.step, 200);
                break;
            };
            assert!(error.to_string().contains("free space"), "{error}");
            if mode == Mode::FailOnce {
                assert!(names(dir.path())?.iter().all(|name| !name.contains("tmp")), "at {points}");
            }
            assert!(verify_again_after_next_save(dir.path())?, "{mode:?} at {points}");
            points += 1;
        }
        // folder; create, write, sync of three files; sync of the folder; rename; sync of the parent
        assert_eq!(points, 1 + 3 * 3 + 3);
    }
    Ok(())
}

/// What a failed save left does not stand in the way of the next one.
fn verify_again_after_next_save(dir: &Path) -> Result<bool, Box<dyn AnyError>> {
    write_checkpoint(dir, 300, files("next"))?;
    prune(dir, 1)?;
    Ok(find_latest(dir)?.found.is_some_and(|found| found.manifest.step == 300)
        && names(dir)? == ["checkpoint-300"])
}

#[test]
fn replacing_a_checkpoint_of_the_same_step_leaves_the_old_or_the_new() -> TestResult {
    for mode in [Mode::FailOnce, Mode::Crash] {
        let mut points = 0;
        loop {
            let dir = tempfile::tempdir()?;
            write_checkpoint(dir.path(), 100, files("old"))?;
            let saved = write_checkpoint_on(&FaultyDisk::new(points, mode), dir.path(), 100, files("new"));
            let found =
                find_latest(dir.path())?.found.ok_or(format!("{mode:?} at {points}: nothing found"))?;
            let content = model(&found)?;
            assert!(["old", "new"].contains(&content.as_str()), "{content} {mode:?} at {points}");
            if mode == Mode::FailOnce {
                assert!(dir.path().join("checkpoint-100").exists(), "at {points}");
            }
            if saved.is_ok() {
                assert_eq!(content, "new");
                assert_eq!(names(dir.path())?, ["checkpoint-100"]);
                break;
            }
            points += 1;
        }
        // As above, and: rename of the old one away, its removal.
        assert_eq!(points, 1 + 3 * 3 + 3 + 2);
    }
    Ok(())
}

#[test]
fn every_truncation_of_every_file_is_refused() -> TestResult {
    each_damage(|bytes| (0..bytes.len()).map(|length| bytes[..length].to_vec()).collect())
}

#[test]
fn every_flipped_bit_of_every_file_is_refused() -> TestResult {
    each_damage(|bytes| {
        let flip = |bit: usize| {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            damaged
        };
        (0..8 * bytes.len()).map(flip).collect()
    })
}

#[test]
fn bytes_added_to_any_file_are_refused() -> TestResult {
    each_damage(|bytes| [&b" "[..], b"\n", b"\0"].map(|extra| [bytes, extra].concat()).to_vec())
}

/// Damages each file of the newest of two checkpoints in each way: the older one must be found, and the newer named.
fn each_damage(damage: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> TestResult {
    let dir = tempfile::tempdir()?;
    write_checkpoint(dir.path(), 100, files("old"))?;
    let newest = write_checkpoint(dir.path(), 200, files("new"))?;
    for name in names(&newest)? {
        let path = newest.join(&name);
        let whole = fs::read(&path)?;
        for damaged in damage(&whole) {
            fs::write(&path, &damaged)?;
            let latest = find_latest(dir.path())?;
            let step = latest.found.map(|found| found.manifest.step);
            assert_eq!(step, Some(100), "{name}: {}", String::from_utf8_lossy(&damaged));
            assert_eq!(latest.skipped.len(), 1);
            assert!(latest.skipped[0].to_string().contains("checkpoint-200 is not usable: "));
        }
        fs::write(&path, &whole)?;
    }
    let restored = find_latest(dir.path())?.found.map(|found| found.manifest.step);
    assert_eq!(restored, Some(200));
    Ok(())
}

#[test]
fn a_missing_file_is_named() -> TestResult {
    let dir = tempfile::tempdir()?;
    let path = write_checkpoint(dir.path(), 7, files("abc"))?;
    fs::remove_file(path.join("model.bin"))?;
    let latest = find_latest(dir.path())?;
    assert!(latest.found.is_none());
    assert!(latest.skipped[0].to_string().ends_with("checkpoint-7 is not usable: model.bin is missing"));
    Ok(())
}

#[test]
fn a_folder_renamed_to_another_step_is_refused() -> TestResult {
    let dir = tempfile::tempdir()?;
    let path = write_checkpoint(dir.path(), 7, files("abc"))?;
    fs::rename(path, dir.path().join("checkpoint-8"))?;
    assert!(find_latest(dir.path())?.found.is_none());
    Ok(())
}

#[test]
fn a_writer_that_fails_leaves_nothing_behind() -> TestResult {
    let dir = tempfile::tempdir()?;
    let failed = write_checkpoint(dir.path(), 1, |files| {
        files.write("a", |out| out.write_all(b"a"))?;
        files.write("b", |_| Err(io::Error::other("no such tensor")))
    });
    assert!(failed.is_err_and(|error| error.to_string().ends_with("/b: no such tensor")));
    assert!(names(dir.path())?.is_empty());
    Ok(())
}

#[test]
fn names_that_are_not_new_and_plain_are_refused() -> TestResult {
    let dir = tempfile::tempdir()?;
    for name in ["../a", "x/y", "", "manifest.json", "twice"] {
        let failed = write_checkpoint(dir.path(), 1, |files| {
            files.write("twice", |_| Ok(()))?;
            files.write(name, |_| Ok(()))
        });
        assert!(failed.is_err(), "{name}");
    }
    Ok(())
}

#[test]
fn prune_keeps_the_newest_whole_ones() -> TestResult {
    let dir = tempfile::tempdir()?;
    for step in [10, 20, 30, 40, 50] {
        write_checkpoint(dir.path(), step, files("abc"))?;
    }
    fs::write(dir.path().join("log.jsonl"), "")?;
    fs::create_dir(dir.path().join("checkpoint-45.tmp-1-0"))?;
    fs::create_dir(dir.path().join("checkpoint-best"))?;
    fs::write(dir.path().join("checkpoint-50/model.bin"), "longer than saved")?;
    let removed = prune(dir.path(), 2)?;
    assert_eq!(removed.len(), 3);
    assert_eq!(
        names(dir.path())?,
        ["checkpoint-30", "checkpoint-40", "checkpoint-50", "checkpoint-best", "log.jsonl"]
    );
    Ok(())
}

#[test]
fn prune_never_removes_the_last_whole_one() -> TestResult {
    let dir = tempfile::tempdir()?;
    write_checkpoint(dir.path(), 10, files("abc"))?;
    write_checkpoint(dir.path(), 20, files("abc"))?;
    prune(dir.path(), 0)?;
    assert_eq!(names(dir.path())?, ["checkpoint-20"]);
    assert!(prune(Path::new("no/such/folder"), 1)?.is_empty());
    Ok(())
}

#[test]
fn names_of_other_things_are_not_checkpoints() {
    assert_eq!(parse("checkpoint-12"), Some((12, State::Done)));
    assert_eq!(parse("checkpoint-12.old-3-0"), Some((12, State::Replaced)));
    assert_eq!(parse("checkpoint-12.tmp-3-0"), Some((12, State::Unfinished)));
    for name in ["checkpoint-", "checkpoint-x", "checkpoint-1.bak", "checkpoint--1", "checkpoint-+1", "model"]
    {
        assert_eq!(parse(name), None, "{name}");
    }
}
