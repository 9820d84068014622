//! What a run leaves: one record with a stable schema. `RECORD.md` beside this crate's manifest describes every key.

use serde::{Deserialize, Serialize};

use crate::counts::Counts;
use crate::machine::{Machine, Power};
use crate::tasks;

/// The number of the schema: it grows when a key changes its meaning or goes away; new keys do not change it.
pub const SCHEMA: u32 = 1;

/// What stands for the state of the caches where nothing was timed.
pub const COUNTED: &str = "counted";

/// One run of the bench.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`] of the program that wrote it.
    pub schema: u32,
    /// Where it ran.
    pub machine: Machine,
    /// How it was measured.
    pub method: Method,
    /// The limits of this device, measured in the same run.
    pub ceilings: Ceilings,
    /// What was found.
    pub rows: Vec<Row>,
}

/// How it was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Method {
    /// `cold` or `warm` caches; `counted` if nothing was timed.
    pub cache: String,
    /// Rounds of A-B-A-B, at most.
    pub rounds: usize,
    /// Seconds for each contender of a case, about.
    pub seconds: f64,
    /// The seed of the inputs.
    pub seed: u64,
}

/// The limits of the device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ceilings {
    /// Bytes read and written per second by a copy of large buffers, in GB/s.
    pub copy_gb_s: Option<f64>,
    /// The fastest matrix product of each dtype in this run, whoever computed it, in GFLOP/s.
    pub matmul_gflop_s: Vec<(String, f64)>,
}

impl Ceilings {
    /// The rate of products in a dtype, in GFLOP/s.
    pub fn matmul(&self, dtype: &str) -> Option<f64> {
        self.matmul_gflop_s.iter().find(|(name, _)| name == dtype).map(|(_, rate)| *rate)
    }
}

/// How a contender ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Right, and measured.
    Ok,
    /// It does not do this case.
    Unsupported,
    /// Wrong, or failed; never timed.
    Refused,
}

impl Status {
    /// As it stands in a record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unsupported => "unsupported",
            Self::Refused => "refused",
        }
    }
}

/// One contender on one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The task.
    pub task: String,
    /// `fwd` or `bwd`.
    pub pass: String,
    /// The dtype of the floats.
    pub dtype: String,
    /// The sizes, as `--shapes` takes them.
    pub shape: String,
    /// The contender.
    pub implementation: String,
    /// How it ended.
    pub status: Status,
    /// Why it was not measured; a remark otherwise.
    pub reason: Option<String>,
    /// The largest error, as a share of its bound.
    pub error: Option<f64>,
    /// Bytes read and written, by formula, each tensor once.
    pub bytes: u64,
    /// Floating-point operations, by formula; causal attention counts half.
    pub flops: u64,
    /// Tokens that one call reads or writes, where speed is told in tokens per second.
    #[serde(default)]
    pub tokens: Option<u64>,
    /// The times, if there are any.
    pub time: Option<Time>,
    /// The counts, if the device counts.
    pub counts: Option<Counts>,
    /// Which rung of a ladder it is, and what it gains over the one below.
    #[serde(default)]
    pub step: Option<Step>,
}

/// A rung of a ladder beside the one below.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its number, from 1.
    pub number: usize,
    /// How many times as fast it is: the median of the rounds.
    pub times_as_fast: Option<f64>,
    /// What it says that it does less often, and how many times fewer there were; `null` if none are left.
    pub times_fewer: Vec<(String, Option<f64>)>,
}

/// The times of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Time {
    /// What was timed: `calls` or `graph replays`.
    pub of: String,
    /// How many samples.
    pub n: usize,
    /// Calls in each sample.
    pub calls: usize,
    /// The median, in microseconds per call.
    pub median_us: f64,
    /// The smallest, in microseconds per call.
    pub min_us: f64,
    /// Half the distance of the quartiles, as a share of the median.
    pub spread: f64,
    /// 10⁹ floating-point operations per second, at the median.
    pub gflop_s: f64,
    /// 10⁹ bytes per second, at the median.
    pub gb_s: f64,
    /// Of the measured copy.
    pub percent_of_copy: Option<f64>,
    /// Of the measured matrix product in this dtype.
    pub percent_of_matmul: Option<f64>,
    /// How many times as long as the first contender of the case it takes: the median of the rounds.
    pub ratio: Option<f64>,
    /// Bounds of that with 95 % confidence; none if there were too few rounds.
    pub ratio_bounds: Option<(f64, f64)>,
    /// Clocks and power after the rounds, where `nvidia-smi` tells them.
    pub power: Option<Power>,
    /// Every sample, in microseconds per call, in the order of the rounds.
    pub samples_us: Vec<f64>,
}

impl Row {
    /// Tokens per second at the median, where that is how speed is told.
    pub fn tokens_per_second(&self) -> Option<f64> {
        Some(self.tokens? as f64 / (self.time.as_ref()?.median_us * 1e-6))
    }

    /// Why it was not measured, or a remark, in one line: a compiler's log has many.
    pub fn why(&self) -> String {
        let lines = self.reason.as_deref().unwrap_or("").lines().map(str::trim);
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
    }

    /// `attention bwd bf16`; `step bf16`, since a step has no passes to tell apart.
    pub fn kind(&self) -> String {
        tasks::kind(&self.task, &self.pass, &self.dtype)
    }

    /// `attention bwd bf16 8x1024x12x64`
    pub fn case(&self) -> String {
        format!("{} {}", self.kind(), self.shape)
    }

    /// Whether its limit is arithmetic: more operations per byte than the device's ceilings have.
    pub fn is_compute_bound(&self, ceilings: &Ceilings) -> bool {
        let intensity = self.flops as f64 / self.bytes.max(1) as f64;
        let balance =
            ceilings.matmul(&self.dtype).zip(ceilings.copy_gb_s).map(|(flops, bytes)| flops / bytes);
        intensity > balance.unwrap_or(20.0)
    }

    /// The share of the ceiling that binds it, in percent, with the ceiling's name.
    pub fn of_ceiling(&self, ceilings: &Ceilings) -> Option<(f64, &'static str)> {
        let time = self.time.as_ref()?;
        if self.is_compute_bound(ceilings) {
            time.percent_of_matmul.map(|p| (p, "matmul"))
        } else {
            time.percent_of_copy.map(|p| (p, "copy"))
        }
    }
}
