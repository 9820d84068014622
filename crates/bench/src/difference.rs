//! What changed between two records, beyond the noise of both.

use std::fmt;

use crate::record::{Record, Row, SCHEMA, Status};
use crate::stats::Interval;
use crate::{Error, Result};

/// One row that both records have, or only one of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Task, pass, dtype, shape and contender.
    pub name: String,
    /// What happened to it.
    pub change: Change,
}

/// What happened to a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Its time is so many times the old one; the intervals of both medians do not touch.
    Slower(f64),
    /// As [`Change::Slower`], below 1.
    Faster(f64),
    /// The intervals touch: the ratio says nothing sure.
    Within(f64),
    /// One of the two has fewer samples than bound a median, so many: the ratio says nothing at all.
    Few(f64, usize),
    /// What the device counted is not what it was: each number that changed, and how many times the old one it is. Counts
    /// have no noise.
    Counted(Vec<(&'static str, f64)>),
    /// It ended in another way: old and new, with the reason now.
    Ended(Status, Status, String),
    /// Neither has anything that could have changed, or they are alike to the last count.
    Same,
    /// One was timed, the other counted.
    Apart,
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
            Change::Few(ratio, samples) => {
                let fewest = Interval::FEWEST;
                write!(
                    f,
                    "unsure  {ratio:.3}  {name}: {samples} samples bound no median, {fewest} do (--rounds, --seconds)"
                )
            }
            Change::Counted(changed) => {
                let told: Vec<String> =
                    changed.iter().map(|(what, times)| format!("{what} {times:.3}")).collect();
                write!(f, "counts  {name}: {}", told.join(", "))
            }
            Change::Ended(old, new, reason) => {
                let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                write!(f, "ended   {}, before {}  {name}{reason}", new.name(), old.name())
            }
            Change::Same => write!(f, "same           {name}"),
            Change::Apart => write!(f, "apart          {name}: one was timed, the other counted"),
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

/// What differs besides the times, for a reader to judge what they mean: device, method, commit. Empty if nothing does.
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
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
    for (what, before, now) in [
        ("commit", &old.machine.commit, &new.machine.commit),
        ("PyTorch", &old.machine.torch, &new.machine.torch),
    ] {
        // Rows of PyTorch that only one has are told as such.
        if before != now && (what == "commit" || (before.is_some() && now.is_some())) {
            doubts.push(format!("{what}: {} before, {} now", known(before), known(now)));
        }
    }
    doubts
}

fn name(row: &Row) -> String {
    format!("{} {}", row.case(), row.implementation)
}

fn change(before: &Row, after: &Row) -> Change {
    if before.status != after.status {
        return Change::Ended(before.status, after.status, after.reason.clone().unwrap_or_default());
    }
    let (old, new) = match (&before.time, &after.time) {
        (Some(old), Some(new)) => (old, new),
        (None, None) => return counted(before, after),
        _ => return Change::Apart,
    };
    let ratio = new.median_us / old.median_us;
    match (Interval::of(&old.samples_us), Interval::of(&new.samples_us)) {
        (Some(a), Some(b)) if b.low > a.high => Change::Slower(ratio),
        (Some(a), Some(b)) if b.high < a.low => Change::Faster(ratio),
        (Some(_), Some(_)) => Change::Within(ratio),
        _ => Change::Few(ratio, old.samples_us.len().min(new.samples_us.len())),
    }
}

fn counted(before: &Row, after: &Row) -> Change {
    let (Some(old), Some(new)) = (&before.counts, &after.counts) else { return Change::Same };
    let pairs = old.named().into_iter().zip(new.named());
    let changed: Vec<_> = pairs
        .filter(|((_, old), (_, new))| old != new)
        .map(|((name, old), (_, new))| (name, new as f64 / old as f64))
        .collect();
    if changed.is_empty() { Change::Same } else { Change::Counted(changed) }
}

/// A record from the text of `bench -o json`, called `name` in errors.
///
/// # Errors
/// If it is none, or has another schema.
pub fn read(name: &str, text: &str) -> Result<Record> {
    let no_record =
        |why: &dyn fmt::Display| Error::Failed(format!("{name} is no record of `bench -o json`: {why}"));
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| no_record(&error))?;
    // First, since another schema may lack whatever this one has.
    match value.get("schema").map(serde_json::Value::as_u64) {
        Some(Some(schema)) if schema == u64::from(SCHEMA) => {}
        Some(Some(schema)) => {
            return Err(Error::Failed(format!("{name} has schema {schema}, this program knows {SCHEMA}")));
        }
        _ => return Err(no_record(&"it has no number `schema`")),
    }
    serde_json::from_value(value).map_err(|error| no_record(&error))
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
        let first = |samples: &[f64]| compare(&old, &record(samples))[0].change.clone();
        assert_eq!(first(&[19.0, 19.5, 20.0, 20.0, 20.5, 21.0, 21.0]), Change::Slower(2.0));
        assert_eq!(first(&[4.0, 4.5, 5.0, 5.0, 5.5, 6.0, 6.0]), Change::Faster(0.5));
        assert_eq!(first(&[10.0, 10.5, 10.5, 11.0, 11.5, 12.0, 12.0]), Change::Within(1.1));
        assert_eq!(first(&[20.0; 5]), Change::Few(2.0, 5), "five samples bound no median");
        let told = compare(&old, &record(&[20.0; 5]))[0].to_string();
        assert!(
            told.starts_with("unsure  2.000  ") && told.contains("5 samples") && told.contains("6 do"),
            "{told}"
        );
    }

    #[test]
    fn counts_have_no_noise() {
        let mut old = record(&[1.0; 7]);
        old.rows.iter_mut().for_each(|row| row.time = None);
        let mut new = old.clone();
        assert_eq!(compare(&old, &new)[0].change, Change::Same);
        let counts = new.rows[0].counts.as_mut().unwrap();
        counts.instructions *= 3;
        let told = compare(&old, &new)[0].to_string();
        assert!(told.starts_with("counts") && told.ends_with(": instructions 3.000"), "{told}");
        new.rows[0].time = record(&[1.0; 7]).rows[0].time.clone();
        assert_eq!(compare(&old, &new)[0].change, Change::Apart);
    }

    #[test]
    fn what_is_no_record_of_this_schema_says_so() {
        let text = include_str!("../tests/record.json");
        assert!(read("a.json", text).is_ok());
        for (text, told) in [
            ("", "no record"),
            ("[]", "no number `schema`"),
            ("{\"schema\": 2}", "schema 2, this program knows 1"),
            ("{\"schema\": 1}", "missing field"),
        ] {
            let error = read("a.json", text).unwrap_err().to_string();
            assert!(error.starts_with("a.json") && error.contains(told), "{error}");
        }
    }

    #[test]
    fn rows_that_came_went_or_ended_otherwise_are_told() {
        let old = record(&[1.0; 7]);
        let mut new = old.clone();
        new.rows[1].implementation = "another".into();
        new.rows[2].status = Status::Unsupported;
        let told: Vec<String> = compare(&old, &new).iter().map(ToString::to_string).collect();
        assert!(told[1].starts_with("gone") && told[1].contains("torch softmax"), "{told:?}");
        assert!(told[2].contains("unsupported, before refused") && told[2].contains(": wrong"), "{told:?}");
        assert!(told[3].starts_with("new") && told[3].contains("another"), "{told:?}");
        assert_eq!(doubts(&old, &new), [] as [String; 0]);
        new.machine.name = "Another GPU".into();
        assert!(doubts(&old, &new)[0].contains("Another GPU now"));
        new = old.clone();
        new.machine.commit = None;
        let before = old.machine.commit.as_deref().unwrap();
        assert_eq!(doubts(&old, &new), [format!("commit: {before} before, unknown now")]);
    }
}
