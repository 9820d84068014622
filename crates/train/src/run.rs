//! A run: the loop from the first step to the last, and the folder that it leaves.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use warpsmith_metrics::language;
use warpsmith_tensor::DeviceMemory;

use crate::atomic::{find_latest, prune, remove_checkpoints, write_atomic, write_checkpoint};
use crate::checkpoint::{self, Progress};
use crate::folder::{write_description, write_weights};
use crate::lock::Lock;
use crate::log::{LogWriter, Record};
use crate::report::{self, Report};
use crate::samples::Samples;
use crate::trainer::{StepReport, Trainer};
use crate::{Error, Result, runs};

/// What a run tells whoever watches it.
pub enum Event<'a> {
    /// A checkpoint was passed over because it is damaged.
    Skipped(&'a Error),
    /// The run goes on from a checkpoint made after this many steps.
    Resumed(usize),
    /// Text written before the first step, or at a sample interval, or after the last.
    Sampled {
        /// How many steps the model has made.
        step: usize,
        /// The text, prompt included.
        text: &'a str,
    },
    /// A step was made.
    Stepped(&'a StepReport),
    /// An evaluation was made.
    Evaluated {
        /// How many steps the model has made.
        step: usize,
        /// The loss, in nats.
        val_loss: f64,
        /// Whether it is the best so far.
        best: bool,
    },
    /// A line for the log.
    Logged(&'a Record),
    /// A checkpoint was written.
    Saved(&'a Path),
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All steps were made.
    Finished,
    /// The validation loss did not improve for `patience` evaluations.
    StoppedEarly,
    /// The stop flag was raised: the run can be resumed.
    Interrupted,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Why it ended.
    pub ending: Ending,
    /// Steps made in all.
    pub steps: usize,
    /// The last validation loss, in nats.
    pub val_loss: f64,
    /// The best validation loss, in nats: that of the weights in the run folder.
    pub best_val: f64,
    /// Seconds of training.
    pub seconds: f64,
}

/// A run in its folder.
pub struct Run {
    trainer: Trainer,
    dir: PathBuf,
    _lock: Lock,
    log: LogWriter,
    records: Vec<Record>,
    samples: Samples,
    progress: Progress,
    /// Of what is learned from.
    digest: String,
    unigram_nats: Option<f64>,
    bytes_per_token: Option<f64>,
    resumed: bool,
}

impl Run {
    /// A new run: writes the folder's description and starts its log.
    ///
    /// # Errors
    /// If the folder cannot be written, another process trains there, or it holds a run or a model already
    /// ([`runs::check_vacant`]).
    pub fn start(trainer: Trainer) -> Result<Self> {
        let dir = Path::new(&trainer.config().out_dir);
        let lock = Lock::take(dir)?;
        runs::check_vacant(dir)?;
        let digest = trainer.data().digest();
        Self::open(trainer, lock, digest, None, Progress::default())
    }

    /// A new run in the place of one that the folder may hold, whose checkpoints and log are removed.
    ///
    /// # Errors
    /// If the folder cannot be written, or another process trains there.
    pub fn replace(trainer: Trainer) -> Result<Self> {
        let dir = Path::new(&trainer.config().out_dir);
        let lock = Lock::take(dir)?;
        remove_checkpoints(dir)?;
        let digest = trainer.data().digest();
        Self::open(trainer, lock, digest, None, Progress::default())
    }

    /// Goes on from the newest whole checkpoint of the run folder.
    ///
    /// # Errors
    /// If there is none, it belongs to another model, or another process trains there.
    pub fn resume(mut trainer: Trainer, watch: &mut dyn FnMut(Event<'_>)) -> Result<Self> {
        let dir = PathBuf::from(&trainer.config().out_dir);
        let lock = Lock::take(&dir)?;
        let latest = find_latest(&dir)?;
        latest.skipped.iter().for_each(|error| watch(Event::Skipped(error)));
        let found = latest.found.ok_or_else(|| runs::nothing_to_resume(&dir))?;
        let digest = trainer.data().digest();
        let progress = checkpoint::restore(&mut trainer, &found, &digest)?;
        watch(Event::Resumed(trainer.steps()));
        let steps = trainer.steps();
        Self::open(trainer, lock, digest, Some(steps), progress)
    }

    /// With the digest of the data: it is read whole for it, so only once.
    fn open(
        trainer: Trainer,
        lock: Lock,
        digest: String,
        from: Option<usize>,
        progress: Progress,
    ) -> Result<Self> {
        let dir = PathBuf::from(&trainer.config().out_dir);
        write_description(&dir, trainer.model().config(), trainer.data().tokenizer())?;
        let config = trainer.config().to_toml();
        write_atomic(&dir.join("config.toml"), |out| out.write_all(config.as_bytes()))?;
        let path = dir.join("log.jsonl");
        let (log, records) = match from {
            Some(step) => LogWriter::resume(&path, step)?,
            None => (LogWriter::create(&path)?, Vec::new()),
        };
        let samples = Samples::open(&dir, from)?;
        let unigram_nats = trainer.data().unigram_nats();
        let bytes_per_token = trainer.data().bytes_per_token()?;
        let resumed = from.is_some();
        Ok(Self {
            trainer,
            dir,
            _lock: lock,
            log,
            records,
            samples,
            progress,
            digest,
            unigram_nats,
            bytes_per_token,
            resumed,
        })
    }

    /// The trainer.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The unigram entropy of the validation text, in nats per token.
    pub fn unigram_nats(&self) -> Option<f64> {
        self.unigram_nats
    }

    /// Nats per token as bits per byte of the validation text.
    pub fn bits_per_byte(&self, nats: f64) -> Option<f64> {
        language::bits_per_byte(nats, 1_000_000, (self.bytes_per_token? * 1e6) as usize)
    }

    /// Trains to the end, or until `stop` is raised: the step in hand is finished, an evaluation is left for the resumed run, and a
    /// checkpoint written then.
    ///
    /// # Errors
    /// If a step diverges or the folder cannot be written. Earlier checkpoints are intact.
    pub fn train(&mut self, stop: &AtomicBool, watch: &mut dyn FnMut(Event<'_>)) -> Result<Outcome> {
        self.train_on(stop, watch)
            .map_err(|error| if error.ends_all_writing() { self.kept(error) } else { error })
    }

    /// A full disk or file, with what there is to go on from.
    fn kept(&self, error: Error) -> Error {
        let dir = self.dir.display();
        Error::Run(match find_latest(&self.dir).ok().and_then(|latest| latest.found) {
            Some(found) => {
                format!("{error}, then --resume {dir} goes on after {} steps", found.manifest.step)
            }
            None => format!("{error}, then start again: no checkpoint is saved yet"),
        })
    }

    fn train_on(&mut self, stop: &AtomicBool, watch: &mut dyn FnMut(Event<'_>)) -> Result<Outcome> {
        let config = self.trainer.config().clone();
        let begun = Instant::now();
        let earlier = self.progress.seconds;
        if !self.resumed {
            self.sample(watch)?;
        }
        let mut val_loss = f64::NAN;
        let mut saved_at = self.resumed.then(|| self.trainer.steps());
        // Steps since the last log line, and the time they took: on a GPU only a step that is logged is waited for.
        let (mut queued, mut busy) = (0u32, Duration::ZERO);
        let ending = loop {
            let step = self.trainer.steps();
            self.progress.seconds = earlier + begun.elapsed().as_secs_f64();
            let last = step >= config.max_iters || config.eval_only;
            // A resumed run has evaluated its checkpoint already, before it was saved.
            let evaluated = saved_at == Some(step) && !last && !self.progress.owes_evaluation;
            if last || (step.is_multiple_of(config.eval_interval) && !evaluated) {
                let found = self.evaluate(stop, watch)?;
                self.progress.owes_evaluation = found.is_none();
                if let Some((loss, best)) = found {
                    val_loss = loss;
                    if best || config.always_save_checkpoint || last {
                        self.save(watch)?;
                        saved_at = Some(step);
                    }
                    if config.patience > 0 && self.progress.since_best >= config.patience {
                        break Ending::StoppedEarly;
                    }
                    if last {
                        break Ending::Finished;
                    }
                }
            }
            if stop.load(Ordering::Relaxed) {
                if saved_at != Some(step) || self.progress.owes_evaluation {
                    self.save(watch)?;
                }
                break Ending::Interrupted;
            }
            if config.sample_interval > 0 && step > 0 && step.is_multiple_of(config.sample_interval) {
                self.sample(watch)?;
            }
            // Records count the steps made, as evaluations do.
            let made = step + 1;
            let logs = made == 1 || made.is_multiple_of(config.log_interval.max(1));
            let start = Instant::now();
            let report = if logs { self.trainer.step()? } else { self.trainer.step_unread()? };
            (queued, busy) = (queued + 1, busy + start.elapsed());
            watch(Event::Stepped(&report));
            if logs {
                let seconds =
                    std::mem::take(&mut busy).as_secs_f64() / f64::from(std::mem::take(&mut queued));
                self.append(step_record(&report, &self.trainer, seconds, self.progress.seconds), watch)?;
            }
        };
        if ending != Ending::Interrupted {
            self.sample(watch)?;
        }
        self.write_report()?;
        Ok(Outcome {
            ending,
            steps: self.trainer.steps(),
            val_loss,
            best_val: self.progress.best_val.unwrap_or(val_loss),
            seconds: self.progress.seconds,
        })
    }

    /// The loss, and whether it is the best so far; none if `stop` was raised.
    fn evaluate(
        &mut self,
        stop: &AtomicBool,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<(f64, bool)>> {
        let Some(val_loss) = self.trainer.evaluate_unless(stop)? else { return Ok(None) };
        let best = self.progress.improves(val_loss);
        if best {
            self.progress.best_val = Some(val_loss);
            self.progress.since_best = 0;
            write_weights(&self.dir, self.trainer.model())?;
        } else {
            self.progress.since_best += 1;
        }
        let memory = self.trainer.model().device().memory();
        let mib = |of: fn(&DeviceMemory) -> u64| memory.as_ref().map(|m| of(m) as f64 / f64::from(1 << 20));
        let record = Record {
            memory_live: mib(|m| m.live),
            memory_peak: mib(|m| m.peak),
            memory_copies: mib(|m| m.copies),
            step: self.trainer.steps(),
            val_loss: Some(val_loss),
            val_bpb: self.bits_per_byte(val_loss),
            tokens: Some(self.trainer.tokens() as f64),
            time: Some(self.progress.seconds),
            ..Record::default()
        };
        self.append(record, watch)?;
        watch(Event::Evaluated { step: self.trainer.steps(), val_loss, best });
        Ok(Some((val_loss, best)))
    }

    fn save(&mut self, watch: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        let Self { trainer, progress, digest, .. } = self;
        let path = write_checkpoint(&self.dir, trainer.steps(), |files| {
            checkpoint::write(files, trainer, progress, digest)
        })?;
        prune(&self.dir, trainer.config().keep_last)?;
        watch(Event::Saved(&path));
        Ok(())
    }

    fn sample(&mut self, watch: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        let step = self.trainer.steps();
        let text = self.trainer.sample(self.trainer.config().sample_tokens)?;
        watch(Event::Sampled { step, text: &text });
        self.samples.add(step, text)
    }

    fn append(&mut self, record: Record, watch: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        self.log.append(&record)?;
        watch(Event::Logged(&record));
        self.records.push(record);
        Ok(())
    }

    fn write_report(&self) -> Result<()> {
        let model = self.trainer.model();
        let parameters = model.parameters();
        let report = Report {
            title: format!("{}: {} parameters", self.dir.display(), model.parameter_count()),
            config_toml: self.trainer.config().to_toml(),
            records: self.records.clone(),
            samples: self.samples.shown(),
            parameters: parameters
                .iter()
                .map(|p| (p.name().to_string(), p.shape().dims().to_vec()))
                .collect(),
            unigram_nats: self.unigram_nats,
            bytes_per_token: self.bytes_per_token,
            facts: vec![("device".into(), model.device().to_string())],
        };
        let html = report::render(&report);
        write_atomic(&self.dir.join("report.html"), |out| out.write_all(html.as_bytes()))
    }
}

/// The record of a step of which each of the last took `each` seconds, `seconds` after the start.
fn step_record(report: &StepReport, trainer: &Trainer, each: f64, seconds: f64) -> Record {
    let per_second = report.tokens as f64 / each.max(1e-9);
    Record {
        step: report.step + 1,
        train_loss: report.loss,
        lr: Some(report.lr),
        grad_norm: report.grad_norm,
        ms: Some(each * 1e3),
        tok_per_sec: Some(per_second),
        mfu: Some(trainer.mfu(per_second)),
        tokens: Some(trainer.tokens() as f64),
        time: Some(seconds),
        ..Record::default()
    }
}
