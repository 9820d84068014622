//! Files of the package `gguf`, files of ours, and files from strangers.

#[path = "../../../../fuzz/read/gguf.rs"]
mod gguf;
mod hostile;

use std::path::Path;

use warpsmith_gguf::{Error, Gguf, Kind, Value, Writer};

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/gguf").join(name);
    std::fs::read(path).unwrap()
}

fn floats(name: &str) -> Vec<f32> {
    golden(name).chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// The same products and sums in f32: at most the last bit may differ, by another order of multiplying scales.
#[test]
fn every_kind_has_the_numbers_of_the_package_gguf() {
    let (file, truth) = (golden("blocks.gguf"), floats("blocks.f32"));
    let file = Gguf::parse(&file).unwrap();
    assert_eq!(file.tensors().len(), Kind::ALL.len());
    let mut truth = truth.into_iter();
    for info in file.tensors() {
        assert_eq!(info.name(), info.kind().name());
        for (i, ours) in info.numbers().unwrap().into_iter().enumerate() {
            let truth = truth.next().unwrap();
            let close = (ours - truth).abs() <= 2.0 * f32::EPSILON * truth.abs();
            assert!(close, "{} {i}: {ours}, not {truth}", info.name());
        }
    }
    assert_eq!(truth.next(), None);
}

#[test]
fn metadata_and_shapes_are_read() {
    let file = golden("blocks.gguf");
    let file = Gguf::parse(&file).unwrap();
    assert_eq!(file.get("general.architecture", Value::as_text).unwrap(), "llama");
    assert_eq!(file.get("test.count", Value::as_unsigned).unwrap(), 7);
    assert_eq!(file.get("test.share", Value::as_real).unwrap(), 0.25);
    assert_eq!(file.get("test.text", Value::as_text).unwrap(), "zwölf 十二");
    let words = file.get("test.words", Value::as_array).unwrap();
    assert_eq!(words.iter().map(|w| w.as_text().unwrap()).collect::<Vec<_>>(), ["a", "", "ü"]);
    let numbers = file.get("test.numbers", Value::as_array).unwrap();
    assert_eq!(numbers.iter().map(|n| n.as_unsigned().unwrap()).collect::<Vec<_>>(), [3, 1, 4]);
    assert_eq!(file.tensor("Q6_K").unwrap().shape(), [2, 512]);
    assert_eq!(file.tensor("F16").unwrap().shape(), [16, 16]);
    assert_eq!(file.tensor("F8").map(|t| t.name()), None);
    assert!(file.get("test.nothing", Value::as_text).unwrap_err().to_string().contains("is missing"));
    assert!(file.get("test.count", Value::as_text).unwrap_err().to_string().contains("test.count"));
}

#[test]
fn eight_bits_are_written_as_the_package_gguf_writes_them() {
    let mut writer = Writer::new();
    writer.tensor("a", &[4, 32], Kind::Q8_0, &floats("q8_0.f32")).unwrap();
    let file = writer.finish();
    let place = Gguf::parse(&file).unwrap().tensor("a").unwrap().place();
    assert_eq!(file[place.start as usize..place.end as usize], golden("q8_0.bin"));
}

#[test]
fn what_is_written_is_read() {
    let numbers: Vec<f32> = (0..64).map(|i| (i as f32 - 20.0) / 3.0).collect();
    let mut writer = Writer::new();
    writer.unsigned("n", 3);
    writer.real("r", 0.5);
    writer.text("t", "語");
    writer.texts("ts", ["x", ""].into_iter());
    writer.reals("rs", &[0.5, -2.0]);
    writer.integers("is", &[-3, 4]);
    writer.truth("b", true);
    for (name, kind) in [("f32", Kind::F32), ("f16", Kind::F16), ("bf16", Kind::Bf16), ("q8", Kind::Q8_0)] {
        writer.tensor(name, &[2, 32], kind, &numbers).unwrap();
    }
    writer.tensor("one", &[1], Kind::F32, &[7.0]).unwrap();
    let bytes = writer.finish();
    let file = Gguf::parse(&bytes).unwrap();
    assert_eq!(file.metadata().len(), 7);
    assert_eq!(file.get("b", |v| Some(*v == Value::Truth(true))), Ok(true));
    let integers = file.get("is", Value::as_array).unwrap();
    assert_eq!(integers.iter().collect::<Vec<_>>(), [Value::Signed(-3), Value::Signed(4)]);
    let reals = file.get("rs", Value::as_array).unwrap();
    assert_eq!(reals.iter().map(|r| r.as_real().unwrap()).collect::<Vec<_>>(), [0.5, -2.0]);
    assert_eq!(file.tensor("f32").unwrap().numbers().unwrap(), numbers);
    assert_eq!(file.tensor("one").unwrap().numbers().unwrap(), [7.0]);
    // Half a step of 127, and a scale that is rounded to f16.
    for (name, share) in [("f16", 1.0 / 2048.0), ("bf16", 1.0 / 256.0), ("q8", 1.0 / 254.0 + 1.0 / 2048.0)] {
        let again = file.tensor(name).unwrap();
        assert_eq!(again.shape(), [2, 32]);
        for (block, truth) in again.numbers().unwrap().chunks(32).zip(numbers.chunks(32)) {
            let largest = truth.iter().fold(0.0f32, |m, n| m.max(n.abs()));
            let close = block.iter().zip(truth).all(|(a, b)| (a - b).abs() <= share * largest);
            assert!(close, "{name}: {block:?}, not {truth:?}");
        }
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let fails = |shape: &[usize], kind, numbers: &[f32]| {
        Writer::new().tensor("w", shape, kind, numbers).unwrap_err().to_string()
    };
    assert!(fails(&[3], Kind::F32, &[1.0]).contains("1 numbers"));
    assert!(fails(&[1; 5], Kind::F32, &[1.0]).contains("[1, 1, 1, 1, 1]"));
    assert!(fails(&[33], Kind::Q8_0, &[1.0; 33]).contains("whole blocks"));
    assert!(fails(&[32], Kind::Q8_0, &[f32::NAN; 32]).contains("NaN"));
    assert!(fails(&[32], Kind::Q8_0, &[1e30; 32]).contains("8-bit"));
    assert!(fails(&[32], Kind::Q4_0, &[1.0; 32]).contains("Q4_0"));
    let error = Kind::Q8_0.dequantise(&[0; 33], &mut [0.0; 32]).unwrap_err();
    assert_eq!(error, Error::Blocks { kind: "Q8_0", what: "33 bytes for 32 numbers".into() });
}
