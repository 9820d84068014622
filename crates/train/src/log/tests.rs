use proptest::prelude::*;

use super::*;

type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

fn full() -> Record {
    Record {
        step: 1,
        train_loss: Some(4.174387),
        val_loss: Some(1.88),
        val_bpb: Some(2.7123),
        lr: Some(9.9e-6),
        grad_norm: Some(1.2034),
        ms: Some(12.34),
        tok_per_sec: Some(62237.4),
        mfu: Some(0.4151),
        tokens: Some(768.0),
        time: Some(0.0123),
        memory_live: Some(1.5),
        memory_peak: Some(2.25),
        memory_copies: Some(0.5),
    }
}

#[test]
fn the_line_of_a_training_step_is_that_of_llm_c() {
    let record = Record { val_loss: None, val_bpb: None, memory_peak: None, ..full() };
    assert_eq!(
        record.line(2000),
        "step    1/2000 | loss 4.174387 | norm 1.2034 | lr 9.90e-06 | 12.34 ms | 62237 tok/s | 41.5% MFU"
    );
    assert!(Record { mfu: Some(f64::NAN), ..record }.line(2000).ends_with(" tok/s | n/a MFU"));
    assert_eq!(Record { step: 7, ..Record::default() }.line(100_000), "step      7/100000");
}

#[test]
fn the_line_of_an_evaluation_names_what_was_evaluated() {
    let record = Record { step: 250, val_loss: Some(1.88), val_bpb: Some(2.7123), ..Record::default() };
    assert_eq!(record.line(2000), "step  250/2000 | val loss 1.880000 | val bpb 2.7123");
    let diverged = Record { train_loss: Some(f64::NAN), ..Record::default() };
    assert_eq!(diverged.line(10), "step    0/10 | loss NaN");
}

#[test]
fn exponents_are_printed_as_in_c() {
    for (number, text) in [
        (1e-3, "1.00e-03"),
        (9.99999e-4, "1.00e-03"),
        (0.0, "0.00e+00"),
        (1.5, "1.50e+00"),
        (2e100, "2.00e+100"),
        (f64::NAN, "NaN"),
    ] {
        assert_eq!(scientific(number), text);
    }
}

#[test]
fn json_keys_and_their_order_are_fixed() {
    assert_eq!(
        full().to_json(),
        "{\"step\":1,\"train/loss\":4.174387,\"val/loss\":1.88,\"val/bpb\":2.7123,\"lr\":9.9e-6,\
         \"train/grad_norm\":1.2034,\"train/ms\":12.34,\"train/tok_per_sec\":62237.4,\"train/mfu\":0.4151,\"tokens\":768.0,\
         \"time\":0.0123,\"memory/live_mib\":1.5,\"memory/peak_mib\":2.25,\"memory/bf16_weights_mib\":0.5}"
    );
    assert_eq!(Record::default().to_json(), "{\"step\":0}");
}

#[test]
fn numbers_that_are_not_finite_are_null_and_come_back_as_nan() -> TestResult {
    let json = Record { train_loss: Some(f64::INFINITY), lr: Some(f64::NAN), ..Record::default() }.to_json();
    assert_eq!(json, "{\"step\":0,\"train/loss\":null,\"lr\":null}");
    let back = Record::from_json(json.as_bytes())?;
    assert!(back.train_loss.is_some_and(f64::is_nan) && back.lr.is_some_and(f64::is_nan));
    assert_eq!(back.val_loss, None);
    Ok(())
}

#[test]
fn iter_counts_as_step_and_unknown_keys_are_passed_over() {
    let record = Record::from_json(b"{\"iter\": 5, \"train/loss\": 2, \"train/memory\": 0.4}");
    assert_eq!(record, Ok(Record { step: 5, train_loss: Some(2.0), ..Record::default() }));
    for bad in ["", "5", "{}", "{\"step\":-1}", "{\"step\":1,\"lr\":\"x\"}", "{\"step\":1}x"] {
        assert!(Record::from_json(bad.as_bytes()).is_err(), "{bad}");
    }
}

fn step(step: usize) -> Record {
    Record { step, train_loss: Some(step as f64), ..Record::default() }
}

fn steps(records: &[Record]) -> Vec<usize> {
    records.iter().map(|record| record.step).collect()
}

#[test]
fn a_line_cut_anywhere_costs_that_line_only() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log.jsonl");
    let mut log = LogWriter::create(&path)?;
    (0..3).try_for_each(|i| log.append(&step(i)))?;
    let whole = std::fs::read(&path)?;
    let third = whole.len() - step(2).to_json().len() - 1;
    for length in third..whole.len() {
        std::fs::write(&path, &whole[..length])?;
        // Without its newline the last line is whole all the same.
        let expected = if length == whole.len() - 1 { vec![0, 1, 2] } else { vec![0, 1] };
        assert_eq!(steps(&read_log(&path)?), expected, "cut at {length}");
        let (mut log, kept) = LogWriter::resume(&path, 10)?;
        assert_eq!(steps(&kept), expected);
        log.append(&step(9))?;
        assert_eq!(steps(&read_log(&path)?), [expected, vec![9]].concat());
    }
    Ok(())
}

#[test]
fn a_broken_last_line_is_passed_over_and_a_broken_earlier_one_is_named() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log.jsonl");
    std::fs::write(&path, "{\"step\":0}\n\0\0\0\n")?;
    assert_eq!(steps(&read_log(&path)?), [0]);
    std::fs::write(&path, "{\"step\":0}\n{\"st\n{\"step\":1}\n")?;
    let message = read_log(&path).map_err(|error| error.to_string()).expect_err("line 2 is broken");
    assert!(message.contains("line 2: not a log record"), "{message}");
    std::fs::write(&path, "")?;
    assert!(read_log(&path)?.is_empty());
    Ok(())
}

#[test]
fn resuming_drops_what_will_be_written_again() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log.jsonl");
    let mut log = LogWriter::create(&path)?;
    [0, 1, 2, 2, 3, 4].into_iter().try_for_each(|i| log.append(&step(i)))?;
    let (mut log, kept) = LogWriter::resume(&path, 2)?;
    assert_eq!(steps(&kept), [0, 1, 2, 2]);
    log.append(&step(3))?;
    assert_eq!(steps(&read_log(&path)?), [0, 1, 2, 2, 3]);
    let (_, kept) = LogWriter::resume(&folder.path().join("none.jsonl"), 2)?;
    assert!(kept.is_empty());
    Ok(())
}

#[test]
fn a_half_written_line_is_taken_back() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log.jsonl");
    let mut log = LogWriter::create(&path)?;
    log.append(&step(0))?;
    log.file.write_all(b"{\"step\":1,\"tra")?;
    log.drop_partial_line();
    log.append(&step(2))?;
    assert_eq!(steps(&read_log(&path)?), [0, 2]);
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_reported_with_advice() -> TestResult {
    let mut log = LogWriter::open(Path::new("/dev/full"), 0)?;
    let message = log.append(&step(0)).map_err(|error| error.to_string()).expect_err("the disk is full");
    assert!(message.starts_with("cannot write /dev/full: ") && message.contains("free space"), "{message}");
    Ok(())
}

proptest! {
    #[test]
    fn what_is_written_reads_back_to_the_same_bits(step in 0usize..1 << 40, bits in prop::array::uniform9(any::<u64>())) {
        let mut record = Record { step, ..Record::default() };
        for ((_, number), bits) in KEYS.iter().zip(bits) {
            // A quarter of the numbers absent.
            *number(&mut record) = (bits % 4 != 0).then(|| f64::from_bits(bits)).filter(|number| number.is_finite());
        }
        prop_assert_eq!(Record::from_json(record.to_json().as_bytes()), Ok(record));
    }
}
