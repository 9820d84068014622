//! The instruction-level vectors: what the manual says of each, computed here by other means and recorded in
//! `vectors/manual.json`, and the emulator held to that recording and to those of GPUs, where there are any.

mod exact;
mod floats;
mod integers;
mod tiles;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use warpsmith_emulator::Program;
use warpsmith_emulator::vectors::{Agreement, Family, families};

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

/// What an instruction should give.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Expected {
    /// These bits.
    Bits(u64),
    /// Any NaN of that many bits.
    Nan(u32),
    /// A number, within the family's agreement.
    Number(f64),
    /// This double or one of its neighbours.
    Beside(f64),
}

/// The widths of a family's outputs, and how they agree, say how a word of a recording is meant: bits in hexadecimal, `nan`
/// and the width for any NaN, or `~` and the bits of a double that may be a neighbour.
impl Expected {
    fn word(self, agreement: Agreement) -> String {
        match (self, agreement) {
            (Expected::Bits(bits), _) => format!("{bits:x}"),
            (Expected::Nan(bits), _) => format!("nan{bits}"),
            (Expected::Beside(number), _) => format!("~{:x}", number.to_bits()),
            (Expected::Number(number), Agreement::Within { format, .. }) => {
                format!("{:x}", exact::nearest(format, number))
            }
            (Expected::Number(number), Agreement::Bits) => panic!("{number} has no bound"),
        }
    }
}

/// Whether what was found is what a recorded word says.
fn agrees(word: &str, found: u64, agreement: Agreement) -> Result<bool, std::num::ParseIntError> {
    let bits = |digits: &str| u64::from_str_radix(digits, 16);
    if let Some(width) = word.strip_prefix("nan") {
        let (single, half) = (f32::from_bits(found as u32), found as u16);
        return Ok(match width.parse()? {
            64u32 => f64::from_bits(found).is_nan(),
            32 => single.is_nan(),
            _ => half::f16::from_bits(half).is_nan() || half::bf16::from_bits(half).is_nan(),
        });
    }
    if let Some(digits) = word.strip_prefix('~') {
        let number = f64::from_bits(bits(digits)?);
        return Ok([number, number.next_up(), number.next_down()].contains(&f64::from_bits(found)));
    }
    Ok(agreement.holds(found, bits(word)?))
}

/// What each lane of a warp should give.
fn expected(family: &Family, warp: &[Vec<u64>]) -> Vec<Vec<Expected>> {
    let name = family.name.as_str();
    let alone = |work: &dyn Fn(&[u64]) -> Option<Expected>| -> Option<Vec<Vec<Expected>>> {
        warp.iter().map(|lane| work(lane).map(|one| vec![one])).collect()
    };
    tiles::expected(name, warp)
        .or_else(|| alone(&|lane| integers::expected(name, lane).map(Expected::Bits)))
        .or_else(|| alone(&|lane| floats::expected(name, lane)))
        .unwrap_or_else(|| panic!("no expectation for {name}"))
}

/// The recording of the expectations: a line for each family, a word for each lane.
fn manual() -> String {
    let lines = families().into_iter().map(|family| {
        let lanes = family.lanes.chunks(32).flat_map(|warp| expected(&family, warp));
        let words = lanes.map(|outputs| {
            assert_eq!(outputs.len(), family.outputs.len(), "{}", family.name);
            let words: Vec<String> = outputs.iter().map(|output| output.word(family.agreement)).collect();
            format!("\"{}\"", words.join(" "))
        });
        format!("    \"{}\": [{}]", family.name, words.collect::<Vec<_>>().join(", "))
    });
    let lines = lines.collect::<Vec<_>>().join(",\n");
    format!("{{\n  \"device\": \"the PTX ISA manual\",\n  \"outputs\": {{\n{lines}\n  }}\n}}\n")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// `RECORD_VECTORS=1` writes the recording anew.
#[test]
fn the_recording_is_what_the_manual_says() {
    let (path, manual) = (folder().join("manual.json"), manual());
    if std::env::var("RECORD_VECTORS").is_ok_and(|value| value == "1") {
        std::fs::write(&path, &manual).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap() == manual, "RECORD_VECTORS=1 writes {}", path.display());
}

/// The manual's recording, and one file for each GPU; there is none of a GPU yet.
#[test]
fn recordings_are_met() {
    let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let replayed = replay(&std::fs::read_to_string(&path).unwrap());
        let words = replayed.unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        assert!(words > 10_000, "{}: {words} vectors", path.display());
    }
}

/// Holds the emulator to a recording; how many words it has, or what differs.
fn replay(text: &str) -> Result<usize, String> {
    let recording: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let (mut compared, mut names, mut wrong) = (0, HashSet::new(), Vec::new());
    for family in families() {
        let name = &family.name;
        assert!(names.insert(name.clone()), "{name} stands twice");
        let Some(recorded) = recording["outputs"][name].as_array() else { continue };
        let found = outputs(&family)?;
        if recorded.len() != found.len() {
            return Err(format!("{name}: {} lanes, not {}", recorded.len(), found.len()));
        }
        for (lane, (found, recorded)) in found.iter().zip(recorded).enumerate() {
            let words: Vec<&str> = recorded.as_str().unwrap_or("").split(' ').collect();
            if words.len() != found.len() {
                return Err(format!("{name}: lane {lane} has {} words, not {}", words.len(), found.len()));
            }
            for (&found, word) in found.iter().zip(words) {
                compared += 1;
                let agrees = agrees(word, found, family.agreement);
                if !agrees.map_err(|error| format!("{name}: lane {lane}: {word}: {error}"))? {
                    let inputs = &family.lanes[lane];
                    wrong.push(format!(
                        "{name}: lane {lane} of {inputs:x?} gave {word} there and {found:x} here"
                    ));
                }
            }
        }
    }
    if wrong.is_empty() { Ok(compared) } else { Err(wrong.join("\n")) }
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
