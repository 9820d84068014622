//! What a run says while it trains: a line for people, after llm.c, and `log.jsonl` for programs, with wandb's names.
//!
//! Every number of a [`Record`] may be absent. A number that is there but not finite is written as `null` and read back
//! as NaN, so that a diverged run stays readable.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::atomic::write_atomic;
use crate::error::{Error, Result};

/// What is known about the run after `step` optimiser steps. Losses are in nats per token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Optimiser steps taken; 0 before the first.
    pub step: usize,
    /// Loss of the batch that step `step` learned from, before its update.
    pub train_loss: Option<f64>,
    /// Mean loss over the evaluation batches.
    pub val_loss: Option<f64>,
    /// `val_loss` in bits per byte of text.
    pub val_bpb: Option<f64>,
    /// Learning rate of the step.
    pub lr: Option<f64>,
    /// Global gradient norm of the step, before clipping.
    pub grad_norm: Option<f64>,
    /// Milliseconds that the step took.
    pub ms: Option<f64>,
    /// Training tokens per second.
    pub tok_per_sec: Option<f64>,
    /// Model FLOPs per second over the measured ceiling of the device, from 0 to 1; NaN where no ceiling is known.
    pub mfu: Option<f64>,
    /// Training tokens seen so far.
    pub tokens: Option<f64>,
    /// Seconds of training so far, those before a resume included.
    pub time: Option<f64>,
    /// MiB of a GPU's memory in tensors, those of bf16 copies of weights among them.
    pub memory_live: Option<f64>,
    /// The most of them at once.
    pub memory_peak: Option<f64>,
    /// Those copies.
    pub memory_copies: Option<f64>,
}

/// The optional numbers of a record and their keys in `log.jsonl`, in the order in which they are written.
type Key = (&'static str, fn(&mut Record) -> &mut Option<f64>);
const KEYS: &[Key] = &[
    ("train/loss", |record| &mut record.train_loss),
    ("val/loss", |record| &mut record.val_loss),
    ("val/bpb", |record| &mut record.val_bpb),
    ("lr", |record| &mut record.lr),
    ("train/grad_norm", |record| &mut record.grad_norm),
    ("train/ms", |record| &mut record.ms),
    ("train/tok_per_sec", |record| &mut record.tok_per_sec),
    ("train/mfu", |record| &mut record.mfu),
    ("tokens", |record| &mut record.tokens),
    ("time", |record| &mut record.time),
    ("memory/live_mib", |record| &mut record.memory_live),
    ("memory/peak_mib", |record| &mut record.memory_peak),
    ("memory/bf16_weights_mib", |record| &mut record.memory_copies),
];

impl Record {
    /// The line for people: `step    1/2000 | loss 4.174387 | norm 1.2034 | lr 9.90e-06 | 12.34 ms | 62237 tok/s |
    /// 41.5% MFU`, of
    /// `steps` in all. What is absent is left out.
    pub fn line(&self, steps: usize) -> String {
        let mut line = format!("step {:>width$}/{steps}", self.step, width = steps.to_string().len().max(4));
        let mut part = |number: Option<f64>, show: fn(f64) -> String| {
            if let Some(number) = number {
                let _ = write!(line, " | {}", show(number));
            }
        };
        part(self.train_loss, |loss| format!("loss {loss:.6}"));
        part(self.val_loss, |loss| format!("val loss {loss:.6}"));
        part(self.val_bpb, |bits| format!("val bpb {bits:.4}"));
        part(self.grad_norm, |norm| format!("norm {norm:.4}"));
        part(self.lr, |rate| format!("lr {}", scientific(rate)));
        part(self.ms, |ms| format!("{ms:.2} ms"));
        part(self.tok_per_sec, |rate| format!("{rate:.0} tok/s"));
        part(self.mfu, |share| match share.is_nan() {
            true => "n/a MFU".into(),
            false => format!("{:.1}% MFU", 100.0 * share),
        });
        part(self.memory_peak, |mib| format!("{mib:.1} MiB at most"));
        line
    }

    /// The record as one line of JSON, without the newline.
    pub fn to_json(&self) -> String {
        let mut json = format!("{{\"step\":{}", self.step);
        let mut copy = self.clone();
        for (key, number) in KEYS {
            match *number(&mut copy) {
                // Debug prints the shortest digits that read back to the same bits, in a form that JSON shares.
                Some(number) if number.is_finite() => {
                    let _ = write!(json, ",\"{key}\":{number:?}");
                }
                Some(_) => {
                    let _ = write!(json, ",\"{key}\":null");
                }
                None => {}
            }
        }
        json.push('}');
        json
    }

    /// Reads [`Record::to_json`]'s line; keys it does not know are passed over, `iter` counts as `step`.
    fn from_json(line: &[u8]) -> Result<Record, String> {
        let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let step = value.get("step").or_else(|| value.get("iter")).and_then(Value::as_u64);
        let step = step.and_then(|step| usize::try_from(step).ok()).ok_or("no `step`")?;
        let mut record = Record { step, ..Record::default() };
        for (key, number) in KEYS {
            *number(&mut record) = match value.get(key) {
                None => None,
                Some(Value::Null) => Some(f64::NAN),
                Some(value) => Some(value.as_f64().ok_or_else(|| format!("`{key}` is not a number"))?),
            };
        }
        Ok(record)
    }
}

/// `1.00e-03`, as C prints it: two digits of exponent, with sign.
fn scientific(number: f64) -> String {
    let text = format!("{number:.2e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

/// Reads `log.jsonl`. The last line may be cut, as a killed process leaves it, and is then passed over.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::BadLog`] if a line before the last is not a record.
pub fn read_log(path: &Path) -> Result<Vec<Record>> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let mut lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    // What follows the last newline: nothing, or a line without its end.
    let torn = lines.pop().unwrap_or_default();
    let last = lines.len().saturating_sub(usize::from(torn.is_empty()));
    let mut records = Vec::with_capacity(lines.len());
    for (index, line) in lines.into_iter().enumerate() {
        match Record::from_json(line) {
            Ok(record) => records.push(record),
            Err(_) if index == last => {}
            Err(problem) => return Err(Error::BadLog { path: path.to_path_buf(), line: index + 1, problem }),
        }
    }
    records.extend(Record::from_json(torn).ok());
    Ok(records)
}

/// Appends records to `log.jsonl`.
#[derive(Debug)]
pub struct LogWriter {
    file: File,
    path: PathBuf,
    /// Bytes of whole lines.
    length: u64,
}

impl LogWriter {
    /// Starts an empty log at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be created.
    pub fn create(path: &Path) -> Result<LogWriter> {
        File::create(path).map_err(Error::io("create", path))?;
        LogWriter::open(path, 0)
    }

    /// Continues the log at `path` after `step`: records of later steps, which the resumed run will write again, are
    /// dropped. Also returns the records kept. Without a file, starts an empty log.
    ///
    /// # Errors
    /// Those of [`read_log`]; [`Error::Io`] if the file cannot be written. The log is unchanged then.
    pub fn resume(path: &Path, step: usize) -> Result<(LogWriter, Vec<Record>)> {
        if !path.exists() {
            return Ok((LogWriter::create(path)?, Vec::new()));
        }
        let mut records = read_log(path)?;
        records.retain(|record| record.step <= step);
        let text: String = records.iter().map(|record| record.to_json() + "\n").collect();
        write_atomic(path, |out| out.write_all(text.as_bytes()))?;
        Ok((LogWriter::open(path, text.len() as u64)?, records))
    }

    fn open(path: &Path, length: u64) -> Result<LogWriter> {
        let file = File::options().append(true).open(path).map_err(Error::io("open", path))?;
        Ok(LogWriter { file, path: path.to_path_buf(), length })
    }

    /// Appends one line, which the operating system holds when this returns: it outlives the process.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written; the log then ends with the line before.
    pub fn append(&mut self, record: &Record) -> Result<()> {
        let line = record.to_json() + "\n";
        if let Err(error) = self.file.write_all(line.as_bytes()).and_then(|()| self.file.flush()) {
            self.drop_partial_line();
            return Err(Error::io("write", &self.path)(error));
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Half a line in the middle of the log would make it unreadable.
    fn drop_partial_line(&mut self) {
        // The error that led here is the one to report.
        let _ = self.file.set_len(self.length);
    }
}

#[cfg(test)]
mod tests;
