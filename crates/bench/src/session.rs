//! A run: the limits of the device, then case after case. Prove, then time in turn, then prove once more.

use warpsmith_tensor::{DType, Device, Shape, Tensor};

use crate::clock::{Cache, Clock, Timed};
use crate::contender::{Call, Contender, prove, prove_twice};
use crate::counts::{Counts, Meter};
use crate::ladder::gains;
use crate::machine::{self, Power};
use crate::memory;
use crate::oracle::Verdict;
use crate::record::{COUNTED, Ceilings, Method, Row, Status, Time};
use crate::stats::{Ratio, Summary};
use crate::tasks::{Case, Pass, parse};
use crate::tensors::overwrite;
use crate::{Error, Result};

/// Rounds that even a slow case gets.
const FEWEST: usize = 3;
/// Calls that are no samples: two for the proof, one that is counted, two to warm up, and one for the proof behind them.
const CALLS_BESIDE: usize = 6;

/// How to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// What lies in the caches.
    pub cache: Cache,
    /// Rounds, at most.
    pub rounds: usize,
    /// Seconds for each contender of a case, about.
    pub seconds: f64,
    /// The seed of the inputs.
    pub seed: u64,
    /// Whether to take times; a device that is no hardware is only counted.
    pub timed: bool,
    /// On what the device's limits are measured.
    pub limits: Limits,
}

/// On what the limits of a device are measured: large enough that nothing but the limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Numbers in f32 that are copied.
    pub copied: usize,
    /// Rows and columns of both matrices of a product.
    pub side: usize,
}

impl Limits {
    /// 128 MiB and products of 1024³ on a CPU, 1 GiB and 8192³ on a GPU.
    pub fn usual(device: &Device) -> Self {
        if device.is_cpu() {
            Self { copied: 32 << 20, side: 1024 }
        } else {
            Self { copied: 256 << 20, side: 8192 }
        }
    }
}

impl Options {
    /// The usual: fifteen rounds in a second.
    pub fn usual(device: &Device) -> Self {
        let (cache, limits) = (Cache::usual(device), Limits::usual(device));
        Self { cache, rounds: 15, seconds: 1.0, seed: 1337, timed: true, limits }
    }

    /// As it stands in a record.
    pub fn method(&self) -> Method {
        let cache = if self.timed { self.cache.name() } else { COUNTED };
        Method { cache: cache.into(), rounds: self.rounds, seconds: self.seconds, seed: self.seed }
    }
}

/// A run on one device.
pub struct Session<'a> {
    device: Device,
    options: Options,
    clock: Clock,
    meter: &'a dyn Meter,
}

/// A contender that is right, and its samples.
struct Entry {
    /// Its place in the list of contenders.
    index: usize,
    call: Box<dyn Call>,
    timed: Timed,
    calls: usize,
    seconds: Vec<f64>,
    power: Option<Power>,
    failure: Option<Error>,
}

/// What a contender has shown before it is timed.
struct Proof {
    worst: f64,
    counts: Option<Counts>,
}

impl<'a> Session<'a> {
    /// A run on `device`.
    ///
    /// # Errors
    /// If there is no memory for what empties the caches.
    pub fn new(device: &Device, options: Options, meter: &'a dyn Meter) -> Result<Self> {
        // What is not timed needs no empty cache.
        let cache = if options.timed { options.cache } else { Cache::Warm };
        Ok(Self { device: device.clone(), options, clock: Clock::new(device, cache)?, meter })
    }

    /// Whether the case and those who compute it have a chance to fit the memory; known before any of it is allocated.
    ///
    /// # Errors
    /// If not: what is needed, and what there is.
    pub fn fits(&self, case: &Case, contenders: &[Box<dyn Contender>]) -> Result<()> {
        memory::check(case, contenders, &self.device, !self.options.timed)
    }

    /// Seconds that so many contenders take for a case at the limits of the device, at least: the oracle comes on top.
    ///
    /// # Errors
    /// If the case is impossible.
    pub fn least_seconds(&self, case: &Case, contenders: usize, ceilings: &Ceilings) -> Result<f64> {
        let (bytes, flops) = case.work.cost(case.pass, &case.work.metas(case.pass, case.dtype)?)?;
        let at = |amount: u64, rate: Option<f64>| rate.map_or(0.0, |rate| amount as f64 / rate / 1e9);
        let call = at(bytes, ceilings.copy_gb_s).max(at(flops, ceilings.matmul(case.dtype.name())));
        Ok(((CALLS_BESIDE + FEWEST.min(self.options.rounds)) * contenders) as f64 * call)
    }

    /// Proves every contender on the case, and measures those that are right. One row for each, in their order.
    ///
    /// # Errors
    /// If the case itself is impossible; what is wrong with a contender stands in its row.
    pub fn case(&mut self, case: &Case, contenders: &mut [Box<dyn Contender>]) -> Result<Vec<Row>> {
        self.fits(case, contenders)?;
        let seed = self.options.seed;
        let inputs = [0, 1, 2].map(|i| case.inputs(seed.wrapping_add(i), &self.device));
        let [first, second, third] = inputs;
        let (first, second, third) = (first?, second?, third?);
        let (bytes, flops) = case.cost(&first)?;
        let (mut rows, mut entries) = (Vec::new(), Vec::new());
        for (index, contender) in contenders.iter_mut().enumerate() {
            let mut row = blank(case, contender.name(), bytes, flops);
            match self.enter(case, contender.as_mut(), [&first, &second]) {
                Ok((call, timed, proof)) => {
                    (row.error, row.counts) = (Some(proof.worst), proof.counts);
                    entries.push(Entry {
                        index,
                        call,
                        timed,
                        calls: 1,
                        seconds: Vec::new(),
                        power: None,
                        failure: None,
                    });
                }
                Err(error) => self.refuse(&mut row, &error),
            }
            rows.push(row);
        }
        if self.options.timed {
            self.rounds(&mut entries);
        }
        for entry in &mut entries {
            let contender = &contenders[entry.index];
            let failure =
                entry.failure.take().or_else(|| last_proof(case, entry, &third, contender.is_peer()).err());
            let row = &mut rows[entry.index];
            match failure {
                Some(error) => self.refuse(row, &error),
                None => row.time = times(entry, bytes, flops),
            }
        }
        compare(&mut rows, &entries);
        let rungs: Vec<_> = contenders.iter().map(|contender| contender.rung()).collect();
        let samples = |i| entries.iter().find(|entry| entry.index == i).map_or(&[][..], |e| &e.seconds[..]);
        gains(&mut rows, &rungs, &(0..rungs.len()).map(samples).collect::<Vec<_>>());
        Ok(rows)
    }

    /// Prepares, proves and counts a contender, and records its work if the device can.
    fn enter(
        &self,
        case: &Case,
        contender: &mut dyn Contender,
        sets: [&[Tensor]; 2],
    ) -> Result<(Box<dyn Call>, Timed, Proof)> {
        if contender.is_guest() || case.work.wants_proof_on_small() {
            self.examine(case, contender)?;
        }
        let mut call = contender.prepare(case, sets[0])?;
        let worst = prove_twice(call.as_mut(), case, sets, contender.is_peer())?;
        // What was counted before is not one run's. And a recorded call is not run again but replayed, so this comes first.
        self.meter.take();
        call.run()?;
        self.device.synchronize()?;
        let counts = self.meter.take();
        let own_watch = !self.options.timed || contender.is_peer();
        let timed = if own_watch { Timed::Direct } else { self.clock.start(call.as_mut())? };
        Ok((call, timed, Proof { worst, counts }))
    }

    /// Proves a contender on the awkward shapes of the task.
    fn examine(&self, case: &Case, contender: &mut dyn Contender) -> Result<()> {
        for work in case.work.awkward() {
            let small = Case { work, ..case.clone() };
            let sets = [0, 1].map(|i| small.inputs(self.options.seed.wrapping_add(i), &self.device));
            let [first, second] = sets;
            let (first, second) = (first?, second?);
            let mut call = contender.prepare(&small, &first)?;
            let proven = prove_twice(call.as_mut(), &small, [&first, &second], contender.is_peer());
            proven.map_err(|error| Error::Failed(format!("on {}: {error}", small.work)))?;
        }
        Ok(())
    }

    /// Takes the samples of all contenders, in turn; the order turns round each time, so that nobody is always first.
    fn rounds(&mut self, entries: &mut [Entry]) {
        let per_sample = self.options.seconds / self.options.rounds.max(1) as f64;
        let mut slowest = 0.0f64;
        for entry in entries.iter_mut().filter(|entry| entry.failure.is_none()) {
            match self.warm_up(entry) {
                Ok(seconds) => {
                    // Emptying the caches takes longer than most calls, so a cold sample is of one call.
                    let most = if self.clock.cache() == Cache::Cold { 1.0 } else { 10_000.0 };
                    entry.calls = (per_sample / seconds.max(1e-9)).clamp(1.0, most) as usize;
                    slowest = slowest.max(seconds);
                }
                Err(error) => entry.failure = Some(error),
            }
        }
        // A case that is slow gets fewer rounds, but never so few that nothing can be said.
        let affordable = 4.0 * self.options.seconds / slowest.max(1e-9);
        let rounds = (affordable as usize).clamp(FEWEST.min(self.options.rounds), self.options.rounds);
        for round in 0..rounds {
            let mut order: Vec<usize> = (0..entries.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for at in order {
                let entry = &mut entries[at];
                if entry.failure.is_some() {
                    continue;
                }
                match self.clock.sample(entry.call.as_mut(), &entry.timed, entry.calls) {
                    Ok(seconds) => entry.seconds.push(seconds),
                    Err(error) => entry.failure = Some(error),
                }
            }
        }
        // Behind all samples, since asking takes long enough for a GPU to rest; and behind one more of its own, which has no
        // row, so that what is told is of this contender's work.
        for entry in entries.iter_mut().filter(|entry| entry.failure.is_none() && !self.device.is_cpu()) {
            match self.clock.sample(entry.call.as_mut(), &entry.timed, entry.calls) {
                Ok(_) => entry.power = machine::power(&self.device),
                Err(error) => entry.failure = Some(error),
            }
        }
    }

    /// The seconds of a call after a first one.
    fn warm_up(&mut self, entry: &mut Entry) -> Result<f64> {
        self.clock.sample(entry.call.as_mut(), &entry.timed, 1)?;
        self.clock.sample(entry.call.as_mut(), &entry.timed, 1)
    }

    fn refuse(&self, row: &mut Row, error: &Error) {
        row.status = if error.is_unsupported() { Status::Unsupported } else { Status::Refused };
        let told = error.to_string();
        let more = if error.is_of_driver() { self.meter.explain() } else { None };
        // The driver's log may have said it already, without the name of the call.
        let more = more.filter(|more| {
            !told.contains(more.split_once(": ").map_or(&more[..], |(_, rest)| rest).trim_end())
        });
        row.reason = Some(more.map_or(told.clone(), |more| format!("{told}; {more}")));
        (row.time, row.counts) = (None, None);
    }

    /// Measures the limits: a copy of large buffers, and a large matrix product of each dtype by every contender.
    ///
    /// # Errors
    /// If the device has no memory for them.
    pub fn ceilings(&mut self, dtypes: &[DType], contenders: &mut [Box<dyn Contender>]) -> Result<Ceilings> {
        if !self.options.timed {
            return Ok(Ceilings::default());
        }
        let copy_gb_s = Some(self.copy_rate()?);
        let side = self.options.limits.side;
        let mut matmul_gflop_s = Vec::new();
        for &dtype in dtypes {
            let work = parse("matmul", &format!("{side}x{side}x{side}"))?;
            let rows = self.case(&Case { work, pass: Pass::Forward, dtype }, contenders)?;
            let best = rows.iter().filter_map(|row| row.time.as_ref()).map(|time| time.gflop_s);
            if let Some(best) = best.max_by(f64::total_cmp) {
                matmul_gflop_s.push((dtype.name().to_owned(), best));
            }
        }
        Ok(Ceilings { copy_gb_s, matmul_gflop_s })
    }

    /// GB/s of a copy, read and written bytes together.
    fn copy_rate(&mut self) -> Result<f64> {
        let elements = self.options.limits.copied;
        let shape = Shape::new(&[elements])?;
        let mut call = CopyCall {
            from: Tensor::full(shape, 1.5, DType::F32, &self.device)?,
            to: Tensor::full(shape, 0.0, DType::F32, &self.device)?,
        };
        let mut seconds = Vec::new();
        for _ in 0..self.options.rounds.max(3) {
            seconds.push(self.clock.sample(&mut call, &Timed::Direct, 1)?);
        }
        let median = Summary::of(&seconds).map_or(f64::INFINITY, |s| s.median);
        Ok(2.0 * 4.0 * elements as f64 / median / 1e9)
    }
}

/// The copy whose rate is the limit of everything that is bound by memory.
struct CopyCall {
    from: Tensor,
    to: Tensor,
}

impl Call for CopyCall {
    fn load(&mut self, _inputs: &[Tensor]) -> Result<()> {
        Ok(())
    }

    fn poison(&mut self) -> Result<()> {
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        if !self.to.device().is_cpu() {
            return overwrite(&mut self.to, &self.from);
        }
        use rayon::prelude::*;
        let (from, to) = (self.from.data::<f32>()?, self.to.data_mut::<f32>()?);
        let chunk = 1 << 18;
        to.par_chunks_mut(chunk).zip(from.par_chunks(chunk)).for_each(|(to, from)| to.copy_from_slice(from));
        Ok(())
    }

    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        Ok(vec![self.to.clone()])
    }
}

/// Proves what was timed: fresh inputs in the same memory, set off as it was timed.
fn last_proof(case: &Case, entry: &mut Entry, inputs: &[Tensor], is_peer: bool) -> Result<()> {
    let Entry { call, timed, .. } = entry;
    let mut replayed = Replayed { call: call.as_mut(), timed };
    match prove(&mut replayed, case, inputs, is_peer)? {
        Verdict::Right { .. } => Ok(()),
        Verdict::Wrong(wrong) => Err(Error::Failed(format!("wrong after it was timed: {wrong}"))),
    }
}

/// A call that is set off as it is timed.
struct Replayed<'a> {
    call: &'a mut dyn Call,
    timed: &'a Timed,
}

impl Call for Replayed<'_> {
    fn load(&mut self, inputs: &[Tensor]) -> Result<()> {
        match self.timed {
            Timed::Direct => self.call.load(inputs),
            // The recorded outputs are where the recording put them, and have to stay there.
            #[cfg(feature = "cuda")]
            Timed::Graph(_) => self.call.reload(inputs),
        }
    }

    fn poison(&mut self) -> Result<()> {
        match self.timed {
            Timed::Direct => self.call.poison(),
            #[cfg(feature = "cuda")]
            Timed::Graph(_) => self.call.poison_in_place(),
        }
    }

    fn run(&mut self) -> Result<()> {
        self.timed.run(self.call)
    }

    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        self.call.outputs()
    }
}

/// The row of a contender that was refused elsewhere.
pub fn refused(case: &Case, implementation: String, reason: String) -> Row {
    let (status, reason) = (Status::Refused, Some(reason));
    Row { status, reason, ..blank(case, implementation, 0, 0) }
}

fn blank(case: &Case, implementation: String, bytes: u64, flops: u64) -> Row {
    Row {
        task: case.work.task().into(),
        pass: case.pass.name().into(),
        dtype: case.dtype.name().into(),
        shape: case.work.to_string(),
        implementation,
        status: Status::Ok,
        reason: None,
        error: None,
        bytes,
        flops,
        time: None,
        counts: None,
        step: None,
        tokens: case.work.tokens(),
    }
}

fn times(entry: &Entry, bytes: u64, flops: u64) -> Option<Time> {
    let summary = Summary::of(&entry.seconds)?;
    let per_second = |amount: u64| amount as f64 / summary.median / 1e9;
    Some(Time {
        of: entry.timed.name().into(),
        n: summary.n,
        calls: entry.calls,
        median_us: summary.median * 1e6,
        min_us: summary.min * 1e6,
        spread: summary.spread(),
        gflop_s: per_second(flops),
        gb_s: per_second(bytes),
        percent_of_copy: None,
        percent_of_matmul: None,
        ratio: None,
        ratio_bounds: None,
        power: entry.power,
        samples_us: entry.seconds.iter().map(|s| s * 1e6).collect(),
    })
}

/// Fills the ratios to the first contender that was timed.
fn compare(rows: &mut [Row], entries: &[Entry]) {
    let Some(base) = entries.iter().find(|entry| rows[entry.index].time.is_some()) else { return };
    for entry in entries.iter().filter(|entry| entry.index != base.index) {
        let ratio = Ratio::of(&entry.seconds, &base.seconds);
        if let (Some(time), Some(ratio)) = (rows[entry.index].time.as_mut(), ratio) {
            time.ratio = Some(ratio.median);
            time.ratio_bounds = ratio.high.is_finite().then_some((ratio.low, ratio.high));
        }
    }
}

/// Fills the shares of the ceilings, of those that were measured. A product in the table that beats them raises them first.
pub fn measure_against(ceilings: &mut Ceilings, rows: &mut [Row]) {
    for row in rows.iter().filter(|row| row.task == "matmul") {
        let Some(time) = &row.time else { continue };
        let own = ceilings.matmul_gflop_s.iter_mut().find(|(name, _)| *name == row.dtype);
        if let Some((_, rate)) = own {
            *rate = rate.max(time.gflop_s);
        }
    }
    for row in rows {
        let Some(time) = &mut row.time else { continue };
        time.percent_of_copy = ceilings.copy_gb_s.map(|rate| 100.0 * time.gb_s / rate);
        time.percent_of_matmul = ceilings.matmul(&row.dtype).map(|rate| 100.0 * time.gflop_s / rate);
    }
}
