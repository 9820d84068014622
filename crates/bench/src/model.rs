//! A model as its users run it: how many tokens a second of a prompt it reads, and how many it writes, alone and beside
//! llama.cpp's own bench on the same file.
//!
//! Both figures are what llama-bench means by `pp` and `tg`: reading fills an empty cache with a prompt and ends with the
//! logits of the last token; writing puts one token after another behind a single one, and here draws the likeliest, too.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde::Serialize;
use warpsmith_autograd::no_grad;
use warpsmith_model::{CausalModel, Decoder, Sampling};
use warpsmith_tensor::{DType, Rng, Seed, Tensor};

use crate::machine::Machine;
use crate::stats::{Ratio, Summary};
use crate::{Error, Result};

/// How much is read and written in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lengths {
    /// Tokens of the prompt; 0 leaves reading out.
    pub prompt_tokens: usize,
    /// Tokens written; 0 leaves writing out.
    pub new_tokens: usize,
}

/// Tokens per second of one round: reading, writing; `None` where nothing was asked for.
pub type Round = [Option<f64>; 2];

/// Somebody who runs the model.
pub trait Runner {
    /// The name in the table.
    fn name(&self) -> String;

    /// One round.
    ///
    /// # Errors
    /// Whatever goes wrong; the runner is left out from then on.
    fn round(&mut self, lengths: Lengths) -> Result<Round>;
}

/// This engine.
pub struct Ours<'a> {
    model: &'a dyn CausalModel,
    /// Tokens of no meaning: what is read does not change the work.
    ids: Vec<u32>,
}

impl<'a> Ours<'a> {
    /// Gets ready, and holds what the model writes with a cache to the model without one.
    ///
    /// # Errors
    /// If the lengths do not fit the model, or a token that was written is not the likeliest.
    pub fn new(model: &'a dyn CausalModel, lengths: Lengths, seed: u64) -> Result<Self> {
        let (longest, context) = (lengths.prompt_tokens.max(lengths.new_tokens), model.context());
        if longest == 0 {
            return Err(Error::Usage("nothing to read and nothing to write: give either a number".into()));
        }
        if longest > context {
            return Err(Error::Usage(format!("the model sees {context} tokens, {longest} are asked for")));
        }
        let drawn = Rng::new(Seed(seed)).uniform(lengths.prompt_tokens.max(1));
        let ids = drawn.into_iter().map(|u| (u * model.vocab_size() as f32) as u32).collect();
        let ours = Self { model, ids };
        ours.prove(lengths.new_tokens.min(CHECKED))?;
        Ok(ours)
    }

    /// Whether each token that is written is the likeliest after those before, by one pass without a cache.
    fn prove(&self, count: usize) -> Result<()> {
        let tokens = self.write(count)?;
        if tokens.len() < 2 {
            return Ok(());
        }
        let ids = Tensor::from_slice(&tokens[..count], &[1, count], self.model.device())?;
        let logits = no_grad(|| self.model.forward(&ids))?.to_dtype(DType::F32)?.to_vec::<f32>()?; // (1, T, V)
        for (i, row) in logits.chunks_exact(self.model.vocab_size()).enumerate() {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let size = row.iter().fold(0.0f32, |size, logit| size.max(logit.abs()));
            let below = largest - row[tokens[i + 1] as usize];
            // On the CPU both ways have the same bits; elsewhere sums of other orders may part near ties.
            let allowed = if self.model.device().is_cpu() { 0.0 } else { size / 256.0 };
            if below.is_nan() || below > allowed {
                return Err(Error::Failed(format!(
                    "token {} that was written, {}, lies {below} below the likeliest of a pass without a cache",
                    i + 1,
                    tokens[i + 1],
                )));
            }
        }
        Ok(())
    }

    /// One token, and the likeliest `count` that follow it.
    fn write(&self, count: usize) -> Result<Vec<u32>> {
        let sampling = Sampling::greedy().max_new_tokens(count);
        let mut decoder = Decoder::new(self.model, &self.ids[..1], &sampling, &[])?;
        while decoder.next_token()?.is_ok() {}
        Ok(decoder.tokens().to_vec())
    }

    fn seconds_to_read(&self) -> Result<f64> {
        let mut cache = self.model.cache(1, self.ids.len())?;
        let ids = Tensor::from_slice(&self.ids, &[1, self.ids.len()], self.model.device())?;
        let start = Instant::now();
        no_grad(|| self.model.forward_cached(&ids, &mut cache))?;
        self.model.device().synchronize()?;
        Ok(start.elapsed().as_secs_f64())
    }

    fn seconds_to_write(&self, count: usize) -> Result<f64> {
        let start = Instant::now();
        self.write(count)?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// Tokens that are held to the pass without a cache.
const CHECKED: usize = 32;

impl Runner for Ours<'_> {
    fn name(&self) -> String {
        "warpsmith".into()
    }

    fn round(&mut self, lengths: Lengths) -> Result<Round> {
        let Lengths { prompt_tokens, new_tokens } = lengths;
        let rate = |count: usize, seconds: f64| count as f64 / seconds;
        let reading = match prompt_tokens {
            0 => None,
            _ => Some(rate(prompt_tokens, self.seconds_to_read()?)),
        };
        let writing = match new_tokens {
            0 => None,
            _ => Some(rate(new_tokens, self.seconds_to_write(new_tokens)?)),
        };
        Ok([reading, writing])
    }
}

/// llama.cpp's `llama-bench`, on the CPU, with as many threads as this engine has.
pub struct LlamaBench {
    program: PathBuf,
    file: PathBuf,
}

impl LlamaBench {
    /// For a GGUF file; the program is that of `WARPSMITH_LLAMA_BENCH`, else `llama-bench` of the path.
    ///
    /// # Errors
    /// If there is no such program.
    pub fn new(file: &Path) -> Result<Self> {
        let program = std::env::var_os("WARPSMITH_LLAMA_BENCH").unwrap_or_else(|| "llama-bench".into());
        let program = PathBuf::from(program);
        let found = Command::new(&program).arg("--help").output();
        match found {
            Ok(_) => Ok(Self { program, file: file.to_owned() }),
            Err(error) => Err(Error::Unsupported(format!(
                "{} does not start: {error}; name llama.cpp's bench in WARPSMITH_LLAMA_BENCH",
                program.display()
            ))),
        }
    }
}

impl Runner for LlamaBench {
    fn name(&self) -> String {
        "llama.cpp".into()
    }

    fn round(&mut self, lengths: Lengths) -> Result<Round> {
        let Lengths { prompt_tokens, new_tokens } = lengths;
        let done = Command::new(&self.program)
            .arg("-m")
            .arg(&self.file)
            .args(["-ngl", "0", "-r", "1", "-o", "json"])
            .args(["-p", &prompt_tokens.to_string(), "-n", &new_tokens.to_string()])
            .args(["-t", &rayon::current_num_threads().to_string()])
            .output()?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            let last = said.lines().last().unwrap_or("nothing");
            return Err(Error::Failed(format!(
                "{}: {}, it said: {last}",
                self.program.display(),
                done.status
            )));
        }
        read_llama_bench(&done.stdout)
    }
}

/// The rates in what llama-bench prints with `-o json`.
fn read_llama_bench(text: &[u8]) -> Result<Round> {
    #[derive(serde::Deserialize)]
    struct Test {
        n_gen: usize,
        avg_ts: f64,
    }
    let tests: Vec<Test> = serde_json::from_slice(text)
        .map_err(|error| Error::Failed(format!("llama-bench printed no list of tests: {error}")))?;
    let rate = |writes: bool| tests.iter().find(|test| (test.n_gen > 0) == writes).map(|test| test.avg_ts);
    Ok([rate(false), rate(true)])
}

/// A run: where, on what, and what each runner did.
#[derive(Clone, Debug, Serialize)]
pub struct ModelRecord {
    /// The number of this record's schema.
    pub schema: u32,
    /// Where it ran.
    pub machine: Machine,
    /// The model's file or folder.
    pub model: String,
    /// How much was read and written.
    pub lengths: Lengths,
    /// Rounds of everybody in turn.
    pub rounds: usize,
    /// One for each runner and what it does.
    pub rows: Vec<ModelRow>,
}

/// What a runner did.
#[derive(Clone, Debug, Serialize)]
pub struct ModelRow {
    /// `reading` or `writing`.
    pub task: String,
    /// Who.
    pub implementation: String,
    /// Tokens per second, of each round.
    pub tokens_per_second: Vec<f64>,
    /// Their median.
    pub median: f64,
    /// Half the distance of the quartiles, as a share of the median.
    pub spread: f64,
    /// How many times as long as the first runner it takes: the median of the rounds.
    pub ratio: Option<f64>,
    /// Bounds of that with 95 % confidence; none if there were too few rounds.
    pub ratio_bounds: Option<(f64, f64)>,
}

/// Lets all runners take turns. The first round warms up and does not count. One that fails is named on the list that comes
/// second, and left out.
pub fn take_turns(
    runners: &mut [Box<dyn Runner + '_>],
    lengths: Lengths,
    rounds: usize,
) -> (Vec<ModelRow>, Vec<String>) {
    let mut failures: Vec<Option<Error>> = runners.iter().map(|_| None).collect();
    let mut samples: Vec<[Vec<f64>; 2]> = runners.iter().map(|_| Default::default()).collect();
    for round in 0..=rounds {
        for (i, runner) in
            runners.iter_mut().enumerate().filter(|(i, _)| failures[*i].is_none()).collect::<Vec<_>>()
        {
            match runner.round(lengths) {
                Ok(rates) if round > 0 => {
                    for (list, rate) in samples[i].iter_mut().zip(rates) {
                        list.extend(rate);
                    }
                }
                Ok(_) => {}
                Err(error) => failures[i] = Some(error),
            }
        }
    }
    let mut rows = Vec::new();
    for (task, name) in ["reading", "writing"].into_iter().enumerate() {
        for (i, runner) in runners.iter().enumerate().filter(|(i, _)| failures[*i].is_none()) {
            rows.extend(row(name, runner.name(), &samples[i][task], &samples[0][task], i == 0));
        }
    }
    let failed = runners.iter().zip(failures);
    let failed =
        failed.filter_map(|(runner, error)| Some(format!("{}: {}", runner.name(), error?))).collect();
    (rows, failed)
}

fn row(task: &str, who: String, rates: &[f64], first: &[f64], is_first: bool) -> Option<ModelRow> {
    let summary = Summary::of(rates)?;
    // A rate is the inverse of a time, so the first one's rates stand above.
    let ratio = if is_first { None } else { Ratio::of(first, rates) };
    let bounds = ratio.filter(|ratio| ratio.high.is_finite()).map(|ratio| (ratio.low, ratio.high));
    Some(ModelRow {
        task: task.into(),
        implementation: who,
        tokens_per_second: rates.to_vec(),
        median: summary.median,
        spread: summary.spread(),
        ratio: ratio.map(|ratio| ratio.median),
        ratio_bounds: bounds,
    })
}

impl ModelRecord {
    /// The table for people.
    pub fn markdown(&self) -> String {
        let Lengths { prompt_tokens, new_tokens } = self.lengths;
        let machine = &self.machine;
        let mut text = format!("{} on {}, {} threads\n\n", self.model, machine.name, machine.threads);
        text.push_str("| what | who | tokens/s | spread | takes times as long |\n|---|---|---:|---:|---:|\n");
        for row in &self.rows {
            let what = if row.task == "reading" {
                format!("reading {prompt_tokens}")
            } else {
                format!("writing {new_tokens}")
            };
            let bounds = row.ratio_bounds.map(|(low, high)| format!(" ({low:.2} to {high:.2})"));
            let ratio = row.ratio.map(|ratio| format!("{ratio:.2}{}", bounds.unwrap_or_default()));
            let (who, spread) = (&row.implementation, 100.0 * row.spread);
            text.push_str(&format!(
                "| {what} | {who} | {:.1} | {spread:.0} % | {} |\n",
                row.median,
                ratio.unwrap_or_default()
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake(&'static str, Vec<Result<Round>>);

    impl Runner for Fake {
        fn name(&self) -> String {
            self.0.into()
        }

        fn round(&mut self, _: Lengths) -> Result<Round> {
            self.1.remove(0)
        }
    }

    const LENGTHS: Lengths = Lengths { prompt_tokens: 8, new_tokens: 4 };

    #[test]
    fn the_first_round_warms_up_and_ratios_are_of_rounds() {
        let ours = [1.0, 100.0, 300.0, 200.0].map(|rate| Ok([Some(rate), None]));
        let theirs = [1.0, 50.0, 100.0, 200.0].map(|rate| Ok([Some(rate), None]));
        let mut runners: Vec<Box<dyn Runner>> =
            vec![Box::new(Fake("a", ours.into())), Box::new(Fake("b", theirs.into()))];
        let (rows, failed) = take_turns(&mut runners, LENGTHS, 3);
        assert!(failed.is_empty());
        let told: Vec<_> = rows.iter().map(|row| (&*row.implementation, row.median, row.ratio)).collect();
        assert_eq!(told, [("a", 200.0, None), ("b", 100.0, Some(2.0))]);
    }

    #[test]
    fn who_fails_is_named_and_left_out() {
        let ours = [1.0, 2.0].map(|rate| Ok([None, Some(rate)]));
        let theirs = vec![Err(Error::Failed("no such file".into()))];
        let mut runners: Vec<Box<dyn Runner>> =
            vec![Box::new(Fake("a", ours.into())), Box::new(Fake("b", theirs))];
        let (rows, failed) = take_turns(&mut runners, LENGTHS, 1);
        assert_eq!(rows.len(), 1);
        assert_eq!(failed, ["b: no such file"]);
    }

    #[test]
    fn rates_of_llama_bench_are_found_by_what_was_done() {
        let text = br#"[{"n_prompt": 0, "n_gen": 128, "avg_ts": 95.5}, {"n_prompt": 512, "n_gen": 0, "avg_ts": 220.0}]"#;
        assert_eq!(read_llama_bench(text).unwrap(), [Some(220.0), Some(95.5)]);
        assert_eq!(read_llama_bench(b"[]").unwrap(), [None, None]);
        assert!(read_llama_bench(b"error: no model").is_err());
    }
}
