//! Small problems with known answers, to see a model learn in minutes.
//!
//! A problem is a line `prompt answer⏎`; only the answer and its newline are scored. Which side of the split a
//! problem is on is a hash of its prompt and of nothing else, so no problem is ever on both, whatever the seeds, and
//! about one in ten is kept for validation. A split is drawn from by trying problems until one is on its side.

use std::fmt;
use std::str::FromStr;

use crate::batches::{Batch, IGNORE_INDEX, check_shape};
use crate::counter::{Draws, mix};
use crate::{Error, Result, Tokenizer};

/// Digits in a `sort` problem.
const SORT_LEN: usize = 6;
/// Letters in a `reverse` problem.
const REVERSE_LEN: std::ops::RangeInclusive<u64> = 3..=8;
/// Bound of the operands of an `add` problem.
const ADD_BOUND: u64 = 100;
/// One in this many problems is for validation.
const VAL_SHARE: u64 = 10;
const END: char = '\n';

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Six digits in ascending order: `3 1 2 9 0 1|` to `0 1 1 2 3 9`.
    Sort,
    /// Three to eight letters from last to first: `abcd|` to `dcba`.
    Reverse,
    /// The sum of two numbers below 100: `12+34=` to `46`.
    Add,
}

/// The side of the split a problem is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// About nine problems in ten.
    Train,
    /// About one problem in ten.
    Val,
}

/// A problem and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What the model is given.
    pub prompt: String,
    /// What it has to say next, before a newline.
    pub answer: String,
}

impl Task {
    /// All tasks.
    pub const ALL: [Self; 3] = [Self::Sort, Self::Reverse, Self::Add];

    /// `sort`, `reverse` or `add`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sort => "sort",
            Self::Reverse => "reverse",
            Self::Add => "add",
        }
    }

    /// One id for each character of the task.
    ///
    /// # Errors
    /// None in practice: the alphabet is not empty.
    pub fn tokenizer(self) -> Result<Tokenizer> {
        Tokenizer::from_chars(self.alphabet())
    }

    fn alphabet(self) -> &'static str {
        match self {
            Self::Sort => "\n |0123456789",
            Self::Reverse => "\n|abcdefghijklmnopqrstuvwxyz",
            Self::Add => "\n+=0123456789",
        }
    }

    /// T that fits the longest problem: its characters and the newline, less one, as targets are moved by one.
    pub fn block_size(self) -> usize {
        match self {
            Self::Sort => 2 * (2 * SORT_LEN),
            Self::Reverse => 2 * *REVERSE_LEN.end() as usize + 2,
            Self::Add => "99+99=198\n".len(),
        }
        .saturating_sub(1)
    }

    /// Problem number `index` of a side: a function of the arguments alone.
    pub fn problem(self, side: Side, seed: u64, index: u64) -> Problem {
        let draws = Draws::new(seed ^ mix(self as u64 + 1)).child(index);
        let mut tries = 0;
        loop {
            let prompt = self.prompt(draws.child(tries));
            if side_of(&prompt) == side {
                let answer = self.answer_unchecked(&prompt);
                return Problem { prompt, answer };
            }
            tries += 1;
        }
    }

    fn prompt(self, draws: Draws) -> String {
        match self {
            Self::Sort => {
                let digits: Vec<String> =
                    (0..SORT_LEN as u64).map(|i| draws.below(i, 10).to_string()).collect();
                digits.join(" ") + "|"
            }
            Self::Reverse => {
                let choices = REVERSE_LEN.end() - REVERSE_LEN.start() + 1;
                let letters = REVERSE_LEN.start() + draws.below(0, choices);
                let letter = |i| char::from(b'a' + draws.below(i, 26) as u8);
                (1..=letters).map(letter).chain(['|']).collect()
            }
            Self::Add => format!("{}+{}=", draws.below(0, ADD_BOUND), draws.below(1, ADD_BOUND)),
        }
    }

    fn answer_unchecked(self, prompt: &str) -> String {
        let given = prompt.trim_end_matches(['|', '=']);
        match self {
            Self::Sort => {
                let mut digits: Vec<&str> = given.split(' ').collect();
                digits.sort_unstable();
                digits.join(" ")
            }
            Self::Reverse => given.chars().rev().collect(),
            Self::Add => {
                given.split('+').filter_map(|term| term.parse::<u64>().ok()).sum::<u64>().to_string()
            }
        }
    }

    /// The right answer to a prompt of the task, drawn or typed.
    ///
    /// # Errors
    /// [`Error::Prompt`] if the prompt has another form; an example is in the message.
    pub fn answer(self, prompt: &str) -> Result<String> {
        if self.is_prompt(prompt) {
            return Ok(self.answer_unchecked(prompt));
        }
        let expected = match self {
            Self::Sort => "single digits, as in \"3 1 2 9 0 1|\"",
            Self::Reverse => "small letters, as in \"abcd|\"",
            Self::Add => "two numbers of at most 18 digits, as in \"12+34=\"",
        };
        Err(Error::Prompt { task: self.name(), prompt: prompt.to_string(), expected })
    }

    fn is_prompt(self, prompt: &str) -> bool {
        let is_digit = |part: &str| part.len() == 1 && part.bytes().all(|b| b.is_ascii_digit());
        let is_number =
            |part: &str| (1..=18).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        match self {
            Self::Sort => prompt.strip_suffix('|').is_some_and(|list| list.split(' ').all(is_digit)),
            Self::Reverse => prompt
                .strip_suffix('|')
                .is_some_and(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase())),
            Self::Add => prompt
                .strip_suffix('=')
                .and_then(|sum| sum.split_once('+'))
                .is_some_and(|(a, b)| is_number(a) && is_number(b)),
        }
    }

    /// Whether a continuation of the prompt is the right answer: all before its first newline counts.
    ///
    /// # Errors
    /// As [`Task::answer`].
    pub fn is_right(self, prompt: &str, continuation: &str) -> Result<bool> {
        let said = continuation.split(END).next().unwrap_or_default();
        Ok(said == self.answer(prompt)?)
    }

    /// Endless batches of shape (B, T) from one side, each row a problem, filled up with newlines.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if T is below [`Task::block_size`], B is zero, or B·T is above 2²⁸.
    pub fn batches(self, side: Side, batch_size: usize, block_size: usize, seed: u64) -> Result<TaskBatches> {
        check_shape(batch_size, block_size)?;
        if block_size < self.block_size() {
            let (low, high) = (self.block_size(), usize::MAX);
            return Err(Error::OutOfRange { what: "block_size of this task", low, high, got: block_size });
        }
        Ok(TaskBatches {
            task: self,
            side,
            tokenizer: self.tokenizer()?,
            batch_size,
            block_size,
            seed,
            step: 0,
        })
    }
}

fn side_of(prompt: &str) -> Side {
    let hash = prompt.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)));
    if hash % VAL_SHARE == 0 { Side::Val } else { Side::Train }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self> {
        let unknown = || Error::UnknownTask { given: given.to_string() };
        Self::ALL.into_iter().find(|task| task.name() == given).ok_or_else(unknown)
    }
}

/// Problems as batches; row `b` of step `s` is problem `s · B + b`. See [`Task::batches`].
#[derive(Clone, Debug)]
pub struct TaskBatches {
    task: Task,
    side: Side,
    tokenizer: Tokenizer,
    batch_size: usize,
    block_size: usize,
    seed: u64,
    step: u64,
}

impl TaskBatches {
    /// Continues at `step`.
    #[must_use]
    pub fn seek(mut self, step: u64) -> Self {
        self.step = step;
        self
    }

    /// The step of the next batch.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The tokenizer of the ids.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The next batch.
    ///
    /// # Errors
    /// None in practice: the tokenizer knows every character of the task.
    pub fn next_batch(&mut self) -> Result<Batch> {
        let mut batch = Batch::with_capacity(self.batch_size, self.block_size);
        for row in 0..self.batch_size as u64 {
            let index = self.step.wrapping_mul(self.batch_size as u64).wrapping_add(row);
            self.push_row(&self.task.problem(self.side, self.seed, index), &mut batch)?;
        }
        self.step += 1;
        Ok(batch)
    }

    fn push_row(&self, problem: &Problem, batch: &mut Batch) -> Result<()> {
        let line = format!("{}{}{END}", problem.prompt, problem.answer);
        let filled = line.clone() + &END.to_string().repeat(self.block_size + 1 - line.len());
        let ids = self.tokenizer.encode(&filled)?; // (T + 1)
        let answer = problem.prompt.len()..line.len();
        batch.ids.extend_from_slice(&ids[..self.block_size]);
        batch.targets.extend((1..=self.block_size).map(|position| match answer.contains(&position) {
            true => i64::from(ids[position]),
            false => IGNORE_INDEX,
        }));
        Ok(())
    }
}

impl Iterator for TaskBatches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        Some(self.next_batch())
    }
}
