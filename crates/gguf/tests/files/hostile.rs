//! Files cut off and changed at random: an error or a file as good as before, and never more memory than is fair.

use std::io;
use std::path::Path;

use warpsmith_damage::{Counting, Series, cut_off, fair, flipped};
use warpsmith_gguf::{Error, Gguf, Head, Kind, Source, TensorInfo, Writer};

use super::gguf::{read, read_all};
use super::golden;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A file that is read piece by piece.
struct Elsewhere<'a> {
    bytes: &'a [u8],
    /// How long it says it is.
    size: usize,
}

impl Source for Elsewhere<'_> {
    fn size(&self) -> u64 {
        self.size as u64
    }

    fn read(&self, at: u64, to: &mut [u8]) -> io::Result<()> {
        self.bytes.read(at, to)
    }
}

fn elsewhere(bytes: &[u8]) -> Elsewhere<'_> {
    Elsewhere { bytes, size: bytes.len() }
}

/// Parses in both ways, of which neither may take more memory than is fair, and which have to agree.
fn parse(bytes: &[u8]) -> Result<Gguf<'_>, Error> {
    let there = elsewhere(bytes);
    let read = fair(bytes.len(), || Head::read(&there).and_then(|head| head.parse(&there).map(drop)));
    let here = fair(bytes.len(), || Gguf::parse(bytes));
    assert_eq!(here.as_ref().map(drop), read.as_ref().copied());
    here
}

/// All numbers of a file, whatever the tensors are called.
fn numbers(file: &Gguf<'_>) -> Vec<(Vec<usize>, Vec<u32>)> {
    let bits = |info: &TensorInfo<'_>| info.numbers().unwrap().into_iter().map(f32::to_bits).collect();
    let mut all: Vec<_> = file.tensors().iter().map(|info| (info.shape(), bits(info))).collect();
    all.sort();
    all
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = golden("blocks.gguf");
    let file = parse(&bytes).unwrap();
    read_all(&file);
    // The last tensor ends where the file does, but for its padding.
    let end = file.tensors().iter().map(|t| t.place().end).max().unwrap() as usize;
    assert!(bytes.len() - end < 32);
    cut_off(&bytes[..end], |file| drop(parse(file).unwrap_err()));
    let longer = [&bytes[..], &[0; 32]].concat();
    assert!(parse(&longer).unwrap_err().to_string().contains("behind the last tensor"));
}

/// Where a flipped bit may pass: what is neither a length, a count, a type, an extent, a kind, an offset nor padding. No
/// program can tell such a change of a value or a name from what was meant, since the format has no checksum.
fn is_free(file: &Gguf<'_>, whole: &[u8], bit: usize) -> bool {
    let (at, flip) = (bit / 8, bit % 8);
    let within = |text: &str| {
        let start = text.as_ptr() as usize - whole.as_ptr() as usize;
        (start..start + text.len()).contains(&at)
    };
    let metadata = 24..whole.windows(3).position(|bytes| bytes == b"F16").unwrap() - 8;
    // Version 3 becomes 2, which has the same layout; the first byte of the version is byte 4.
    (at == 4 && flip == 0) || metadata.contains(&at) || file.tensors().iter().any(|info| within(info.name()))
}

#[test]
fn every_flipped_bit_of_the_head_is_an_error_or_the_same_numbers() {
    let whole = golden("blocks.gguf");
    let file = Gguf::parse(&whole).unwrap();
    let truth = numbers(&file);
    let head = file.tensors().iter().map(|t| t.place().start).min().unwrap() as usize;
    let mut survived = 0;
    flipped(&whole, 0..head, |bytes, bit| {
        if let Ok(changed) = parse(bytes) {
            let place = format!("bit {} of byte {}", bit % 8, bit / 8);
            assert_eq!(numbers(&changed), truth, "{place}");
            assert!(is_free(&file, &whole, bit), "{place}");
            survived += 1;
        }
    });
    assert!(survived > 0, "a name may change");
}

/// What a tensor's number of bytes does not show: kinds and extents that need as many bytes, or more within the padding.
/// Who loads a model holds shapes against its config, and finds them.
#[test]
fn a_change_within_the_padding_is_a_change_of_shape() {
    let mut writer = Writer::new();
    writer.tensor("t", &[3], Kind::F32, &[1.0, 2.0, 3.0]).unwrap();
    writer.tensor("u", &[1], Kind::F32, &[1.0]).unwrap();
    let mut bytes = writer.finish();
    let extent = bytes.windows(8).position(|w| w == 3u64.to_le_bytes()).unwrap();
    let mut shape = |extent_is: u8| {
        bytes[extent] = extent_is;
        parse(&bytes).map(|file| file.tensors()[0].shape())
    };
    assert_eq!(shape(3), Ok(vec![3]));
    assert_eq!(shape(4), Ok(vec![4]));
    // Fewer numbers leave some that are not zero, more than eight do not fit.
    for wrong in [0, 1, 2, 9] {
        shape(wrong).unwrap_err();
    }
}

#[test]
fn twenty_thousand_random_edits_are_errors_or_readable_files() {
    let whole = golden("blocks.gguf");
    let (mut series, mut readable) = (Series::new(7), 0);
    let mut bytes = whole.clone();
    for round in 0..20_000 {
        // Every other file is changed in its head alone, which is a tenth of it.
        let limit = if round % 2 == 0 { whole.len() / 10 } else { whole.len() };
        let places: Vec<usize> = (0..=series.below(4)).map(|_| series.below(limit)).collect();
        places.iter().for_each(|&at| bytes[at] = series.below(256) as u8);
        if let Ok(file) = parse(&bytes) {
            readable += 1;
            // All kinds in turn.
            for info in file.tensors().iter().skip(round % 10).take(1) {
                assert_eq!(info.numbers().unwrap().len(), info.shape().iter().product::<usize>());
            }
        }
        places.iter().for_each(|&at| bytes[at] = whole[at]);
    }
    assert!((1000..19_000).contains(&readable), "{readable} of 20,000 files can be read");
}

/// A file of `count` entries and tensors as small as they can be.
fn crowd(count: u32) -> Vec<u8> {
    let mut writer = Writer::new();
    for i in 0..count {
        let name: String =
            char::from_u32(0x4E00 + i % 20_000).into_iter().chain(char::from_u32(33 + i / 20_000)).collect();
        writer.texts(&name, [].into_iter());
        writer.tensor(&name, &[0], Kind::F32, &[]).unwrap();
    }
    writer.finish()
}

#[test]
fn a_crowd_of_small_things_takes_no_more_memory_than_is_fair() {
    let bytes = crowd(60_000);
    let file = parse(&bytes).unwrap();
    assert_eq!((file.metadata().len(), file.tensors().len()), (60_000, 60_000));
}

/// The head is longer than what is read of it at first, the tensor than a piece, of which its blocks are no part.
#[test]
fn a_file_is_read_tensor_by_tensor() {
    let crowd = crowd(60_000);
    assert!(crowd.len() > 2 << 20);
    let there = elsewhere(&crowd);
    let head = Head::read(&there).unwrap();
    assert_eq!(head.parse(&there).unwrap().tensors().len(), 60_000);

    let numbers: Vec<f32> = (0..600 * 3200).map(|i| (i % 251) as f32 - 125.0).collect();
    let mut writer = Writer::new();
    writer.tensor("a", &[600, 3200], Kind::Q8_0, &numbers).unwrap();
    writer.tensor("b", &[3], Kind::F32, &[1.0, 2.0, 3.0]).unwrap();
    let bytes = writer.finish();
    let there = elsewhere(&bytes);
    let head = Head::read(&there).unwrap();
    let (read, here) = (head.parse(&there).unwrap(), Gguf::parse(&bytes).unwrap());
    for (read, here) in read.tensors().iter().zip(here.tensors()) {
        let mut numbers = vec![0.0; here.shape().iter().product()];
        // There is room for the 65 kB of a piece, not for the 2 MB of the tensor.
        fair(0, || read.read_numbers(&mut numbers)).unwrap();
        assert_eq!(numbers, here.numbers().unwrap());
        let mut bytes_read = vec![0; read.size()];
        read.read(&mut bytes_read).unwrap();
        assert_eq!(bytes_read, bytes[here.place().start as usize..here.place().end as usize]);
        assert!(read.read(&mut bytes_read[1..]).is_err() && read.read_numbers(&mut numbers[1..]).is_err());
    }
    // Somebody cuts the file off after its head was read.
    let shorter = Elsewhere { bytes: &bytes[..bytes.len() - 1], size: bytes.len() };
    let file = head.parse(&shorter).unwrap();
    assert_eq!(file.tensor("a").unwrap().numbers(), here.tensor("a").unwrap().numbers());
    assert!(matches!(file.tensor("b").unwrap().numbers(), Err(Error::Read { needed: 12, .. })));
}

#[test]
fn lies_about_sizes_are_found_before_memory_is_taken() {
    let good = crowd(3);
    for at in [8, 16] {
        let mut bytes = good.clone();
        bytes[at..at + 8].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
        assert!(matches!(parse(&bytes), Err(Error::Short { .. })));
    }
    assert!(matches!(parse(b"GGML\x03\0\0\0"), Err(Error::Magic(_))));
    assert!(matches!(parse(b"GGUF\x01\0\0\0"), Err(Error::Version(1))));
    let big_endian = parse(b"GGUF\0\0\0\x03").err().map(|error| error.to_string());
    assert!(big_endian.is_some_and(|told| told.contains("big-endian")));
    let told = |kind| Error::Kind { name: "x".into(), kind }.to_string();
    assert!(told(13).contains("kind Q5_K are not read") && told(99).contains("kind 99 are not"));
}

#[test]
fn what_comes_twice_or_overlaps_is_refused() {
    let twice = |of_key: bool| {
        let mut writer = Writer::new();
        for _ in 0..2 {
            match of_key {
                true => writer.unsigned("k", 1),
                false => writer.tensor("t", &[1], Kind::F32, &[1.0]).unwrap(),
            }
        }
        parse(&writer.finish()).unwrap_err().to_string()
    };
    assert!(twice(true).contains("comes twice") && twice(false).contains("comes twice"));
    let mut writer = Writer::new();
    writer.tensor("a", &[1], Kind::F32, &[1.0]).unwrap();
    writer.tensor("b", &[1], Kind::F32, &[1.0]).unwrap();
    let mut bytes = writer.finish();
    let offset = bytes.windows(8).rposition(|w| w == 32u64.to_le_bytes()).unwrap();
    for (byte, wrong) in [(0, 0), (0, 1), (0, 64), (3, 1)] {
        let right = std::mem::replace(&mut bytes[offset + byte], wrong);
        assert!(parse(&bytes).unwrap_err().to_string().contains("the tensor before ends at 32"));
        bytes[offset + byte] = right;
    }
    parse(&bytes).unwrap();
}

#[test]
fn the_corpus_of_the_fuzzer_is_survived() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/gguf");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() > 5);
    for bytes in files.iter().map(|path| std::fs::read(path).unwrap()) {
        let _ = parse(&bytes);
        read(&bytes);
    }
}
