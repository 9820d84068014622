//! What changed between two records, beyond the noise of both.

use std::fmt;

use crate::record::{Record, Row, Status};
use crate::stats::Interval;

/// One row that both records have, or only one of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Task, pass, dtype, shape and contender.
    pub name: String,
    /// What happened to it.
    pub change: Change,
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Its time is so many times the old one; the intervals of both medians do not touch.
    Slower(f64),
    /// As [`Change::Slower`], below 1.
    Faster(f64),
    /// The intervals touch: the ratio says nothing sure.
    Within(f64),
    /// It ended in another way: old and new.
    Ended(Status, Status),
    /// Only the old record has it.
    Gone,
    /// Only the new record has it.
    New,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, change } = self;
        match change {
            Change::Slower(ratio) => write!(f, "slower  {ratio:.3}  {name}"),
            Change::Faster(ratio) => write!(f, "faster  {ratio:.3}  {name}"),
            Change::Within(ratio) => write!(f, "within  {ratio:.3}  {name}"),
            Change::Ended(old, new) => write!(f, "ended   {new:?}, before {old:?}  {name}"),
            Change::Gone => write!(f, "gone    {name}"),
            Change::New => write!(f, "new     {name}"),
        }
    }
}

/// Every row of both, those of the old record first, in their order.
pub fn compare(old: &Record, new: &Record) -> Vec<Difference> {
    let named = |record: &Record, name: &str| record.rows.iter().find(|row| self::name(row) == name).cloned();
    let mut found: Vec<Difference> = old
        .rows
        .iter()
        .map(|before| {
            let name = name(before);
            let change = named(new, &name).map_or(Change::Gone, |after| change(before, &after));
            Difference { name, change }
        })
        .collect();
    let added = new.rows.iter().map(name).filter(|name| named(old, name).is_none());
    found.extend(added.map(|name| Difference { name, change: Change::New }));
    found
}

/// What makes a reader doubt that the two can be compared: another device, another method. Empty if nothing does.
pub fn doubts(old: &Record, new: &Record) -> Vec<String> {
    let pairs = [
        ("device", &old.machine.name, &new.machine.name),
        ("host", &old.machine.cpu, &new.machine.cpu),
        ("caches", &old.method.cache, &new.method.cache),
    ];
    let differing = pairs.into_iter().filter(|(_, a, b)| a != b);
    let mut doubts: Vec<String> =
        differing.map(|(what, a, b)| format!("{what}: {a} before, {b} now")).collect();
    if old.machine.threads != new.machine.threads {
        doubts.push(format!("threads: {} before, {} now", old.machine.threads, new.machine.threads));
    }
    doubts
}

fn name(row: &Row) -> String {
    format!("{} {} {} {} {}", row.task, row.pass, row.dtype, row.shape, row.implementation)
}

fn change(before: &Row, after: &Row) -> Change {
    let (Some(old), Some(new)) = (&before.time, &after.time) else {
        return Change::Ended(before.status, after.status);
    };
    let ratio = new.median_us / old.median_us;
    match (Interval::of(&old.samples_us), Interval::of(&new.samples_us)) {
        (Some(a), Some(b)) if b.low > a.high => Change::Slower(ratio),
        (Some(a), Some(b)) if b.high < a.low => Change::Faster(ratio),
        _ => Change::Within(ratio),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(samples: &[f64]) -> Record {
        let mut record: Record = serde_json::from_str(include_str!("../tests/record.json")).unwrap();
        let time = record.rows[0].time.as_mut().unwrap();
        time.samples_us = samples.to_vec();
        time.median_us = samples[samples.len() / 2];
        record
    }

    #[test]
    fn only_what_is_beyond_the_noise_of_both_is_called_a_change() {
        let old = record(&[9.0, 9.5, 10.0, 10.0, 10.5, 11.0, 11.0]);
        let first = |samples: &[f64]| compare(&old, &record(samples))[0].change;
        assert_eq!(first(&[19.0, 19.5, 20.0, 20.0, 20.5, 21.0, 21.0]), Change::Slower(2.0));
        assert_eq!(first(&[4.0, 4.5, 5.0, 5.0, 5.5, 6.0, 6.0]), Change::Faster(0.5));
        assert_eq!(first(&[10.0, 10.5, 10.5, 11.0, 11.5, 12.0, 12.0]), Change::Within(1.1));
        assert_eq!(first(&[20.0; 5]), Change::Within(2.0), "five samples bound no median");
    }

    #[test]
    fn rows_that_came_went_or_ended_otherwise_are_told() {
        let old = record(&[1.0; 7]);
        let mut new = old.clone();
        new.rows[1].implementation = "another".into();
        new.rows[2].status = Status::Unsupported;
        let told: Vec<String> = compare(&old, &new).iter().map(ToString::to_string).collect();
        assert!(told[1].starts_with("gone") && told[1].contains("torch softmax"), "{told:?}");
        assert!(told[2].contains("Unsupported, before Refused"), "{told:?}");
        assert!(told[3].starts_with("new") && told[3].contains("another"), "{told:?}");
        assert_eq!(doubts(&old, &new), [] as [String; 0]);
        new.machine.name = "Another GPU".into();
        assert!(doubts(&old, &new)[0].contains("Another GPU now"));
    }
}
