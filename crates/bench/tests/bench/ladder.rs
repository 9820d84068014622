//! The ladders in the bench, on the emulated GPU: every rung is proven, replayed, and set beside the one below.

use warpsmith_bench::ladder::{dtype, rungs};
use warpsmith_bench::record::Status;
use warpsmith_bench::tasks::{Case, Pass, preset};
use warpsmith_tensor::{DType, Device};

use crate::case;
use crate::emulated::{alone, rows};

/// At sizes that fit the rungs each gains what it is about.
#[test]
fn every_rung_is_proven_and_has_a_step() {
    let (_guard, device) = alone();
    for (task, pass, count) in [
        ("softmax", Pass::Forward, 6),
        ("matmul", Pass::Forward, 8),
        ("attention", Pass::Forward, 5),
        ("attention", Pass::Backward, 2),
    ] {
        let work = preset(task, "ladder").unwrap().remove(0);
        let case = Case { work, pass, dtype: dtype(task) };
        let rows = rows(&case, &device, rungs(task, pass));
        assert_eq!(rows.len(), count, "{task}");
        if task == "softmax" {
            // Three passes over the row become two.
            let fewer = &rows[1].step.as_ref().unwrap().times_fewer;
            assert_eq!(fewer[..], [("bytes read".to_owned(), Some(1.5))]);
        }
        for (i, row) in rows.iter().enumerate() {
            assert_eq!(row.status, Status::Ok, "{}: {:?}", row.implementation, row.reason);
            assert!(row.implementation.starts_with(&format!("ladder {} ", i + 1)), "{}", row.implementation);
            let step = row.step.as_ref().unwrap();
            let loses = step.times_fewer.iter().find(|(_, times)| times.is_some_and(|times| times <= 1.0));
            assert_eq!(loses, None, "{task}: {}", row.implementation);
            assert_eq!((step.number, step.times_as_fast.is_some()), (i + 1, i > 0), "{}", row.implementation);
        }
    }
    assert!(rungs("norm", Pass::Forward).is_empty() && rungs("softmax", Pass::Backward).is_empty());
}

#[test]
fn a_rung_says_what_it_does_not_do() {
    let (_guard, device) = alone();
    let why = |case, at: usize, device: &Device| {
        let contender = rungs("matmul", Pass::Forward).remove(at);
        let row = rows(&case, device, vec![contender]).remove(0);
        assert_eq!(row.status, Status::Unsupported);
        row.reason.unwrap()
    };
    let odd = case("matmul", "3x5x7", Pass::Forward, DType::BF16);
    assert!(why(odd.clone(), 4, &device).contains("multiples of 8"));
    assert!(why(odd, 0, &Device::Cpu).contains("does not run on the CPU"));
    assert!(why(case("matmul", "8x8x8", Pass::Forward, DType::F32), 0, &device).contains("in bf16"));
    let shared = case("attention", "1x8x4/2x16", Pass::Forward, DType::BF16);
    let row = rows(&shared, &device, rungs("attention", Pass::Forward)).remove(0);
    assert!(row.reason.unwrap().contains("keys of its own"));
}
