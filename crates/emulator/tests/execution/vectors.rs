//! The instruction-level vectors on the emulator, and against recordings from GPUs, where there are any.

use warpsmith_emulator::Program;
use warpsmith_emulator::vectors::{Family, families};

use crate::machine::Machine;

/// Each lane's outputs on the emulator, or why there are none.
fn outputs(family: &Family) -> Result<Vec<Vec<u64>>, String> {
    let text = family.ptx();
    Program::parse(&text).map_err(|error| error.to_string())?;
    let mut machine = Machine::new(&text);
    let inputs: Vec<u64> = family.lanes.iter().flatten().copied().collect();
    let count = family.lanes.len() * family.outputs.len();
    let (input, output) = (machine.put(&inputs), machine.room(count as u64 * 8));
    let blocks = family.lanes.len() as u32 / 32;
    let ran = machine.launch("vectors", [blocks, 1, 1], [32, 1, 1], 0, &[input, output]);
    ran.map_err(|fault| format!("{}: {fault}", family.name))?;
    Ok(machine.get::<u64>(output, count).chunks(family.outputs.len()).map(<[u64]>::to_vec).collect())
}

#[test]
fn every_program_is_understood_and_runs() {
    let families = families();
    let mut vectors = 0;
    for (at, family) in families.iter().enumerate() {
        assert!(families[..at].iter().all(|other| other.name != family.name), "{} stands twice", family.name);
        let found = outputs(family).unwrap_or_else(|why| panic!("{}: {why}", family.name));
        assert!(found.iter().all(|lane| lane.len() == family.outputs.len()), "{}", family.name);
        vectors += found.len();
    }
    assert!(vectors > 10_000, "{vectors} vectors of {} families", families.len());
}

/// Recordings from GPUs, one file each; there is none yet.
#[test]
fn recordings_from_gpus_are_met() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        replay(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    }
}

/// Holds the emulator to a recording.
fn replay(text: &str) -> Result<usize, String> {
    let recording: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut compared = 0;
    for family in families() {
        let Some(recorded) = recording["outputs"][&family.name].as_array() else { continue };
        let found = outputs(&family)?;
        for (lane, (found, recorded)) in found.iter().zip(recorded).enumerate() {
            let words: Vec<&str> = recorded.as_str().unwrap_or("").split(' ').collect();
            for (&found, word) in found.iter().zip(words) {
                let recorded =
                    u64::from_str_radix(word, 16).map_err(|error| format!("{}: {error}", family.name))?;
                if !family.agreement.holds(found, recorded) {
                    return Err(format!(
                        "{}: lane {lane} gave {recorded:x} there and {found:x} here",
                        family.name
                    ));
                }
                compared += 1;
            }
        }
    }
    Ok(compared)
}

#[test]
fn a_replay_sees_what_differs() {
    let family = families().into_iter().find(|family| family.name == "add.rn.f32").unwrap();
    let outputs = vec![(family.name.clone(), outputs(&family).unwrap())];
    let mut recording = warpsmith_emulator::vectors::Recording {
        device: "a \"GPU\"".to_owned(),
        capability: (8, 0),
        driver: 12080,
        outputs,
    };
    assert_eq!((replay(&recording.json()), recording.vectors()), (Ok(64), 64));
    recording.outputs[0].1[5][0] ^= 1;
    let error = replay(&recording.json()).unwrap_err();
    assert!(error.contains("add.rn.f32: lane 5"), "{error}");
}
