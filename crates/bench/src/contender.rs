//! Who computes a case, and how it is brought to the start: checked first, twice, on fresh inputs and poisoned outputs.

use warpsmith_kernels::ladder::Claim;
use warpsmith_tensor::Tensor;

use crate::oracle::{Slack, Verdict, judge};
use crate::tasks::Case;
use crate::{Error, Result};

/// Somebody who computes cases: this engine, a kernel of the user's, another library.
///
/// Implement it to bring code of your own into the table: prepare memory in [`Contender::prepare`], compute in
/// [`Call::run`]. What it gives is checked by the same oracle as everybody's.
pub trait Contender {
    /// The name in the table.
    fn name(&self) -> String;

    /// Whether it is somebody else's library: its rows are ratios to the first contender, and it may round where ours do not.
    fn is_peer(&self) -> bool {
        false
    }

    /// Whether it is a stranger, who has to be right on the task's awkward shapes before anything else.
    fn is_guest(&self) -> bool {
        false
    }

    /// Its number in a ladder of kernels and what it says that it improves, if it is a rung of one.
    fn rung(&self) -> Option<(usize, &'static [Claim])> {
        None
    }

    /// Gets ready to compute this case on inputs like these, which lie on the device that is measured.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it does not do such cases.
    fn prepare(&mut self, case: &Case, inputs: &[Tensor]) -> Result<Box<dyn Call>>;
}

/// A case in memory, ready to be computed again and again.
pub trait Call {
    /// Takes other inputs of the same shapes, in the memory where the first ones lie.
    ///
    /// # Errors
    /// Whatever copying may meet.
    fn load(&mut self, inputs: &[Tensor]) -> Result<()>;

    /// Fills the outputs with NaN, so that what is not written is seen. What is written over its inputs cannot be poisoned.
    ///
    /// # Errors
    /// Whatever filling may meet.
    fn poison(&mut self) -> Result<()>;

    /// Computes once. On a GPU it may return before the work is done.
    ///
    /// # Errors
    /// Whatever goes wrong; the contender is not timed then.
    fn run(&mut self) -> Result<()>;

    /// As [`Call::load`], while a recording of [`Call::run`] is kept: whatever the recording wrote has to stay where it is.
    ///
    /// # Errors
    /// As there.
    fn reload(&mut self, inputs: &[Tensor]) -> Result<()> {
        self.load(inputs)
    }

    /// As [`Call::poison`], while a recording of [`Call::run`] is kept.
    ///
    /// # Errors
    /// As there.
    fn poison_in_place(&mut self) -> Result<()> {
        self.poison()
    }

    /// What the last run gave, on any device.
    ///
    /// # Errors
    /// Whatever reading may meet, and what went wrong since the run.
    fn outputs(&mut self) -> Result<Vec<Tensor>>;

    /// Whether [`Call::run`] may be recorded and replayed. What writes over its inputs may not: the recording holds their
    /// memory too, so the call finds it shared, and writes elsewhere.
    fn may_be_recorded(&self) -> bool {
        true
    }

    /// Seconds per call over `calls` calls, for a contender that has to hold the watch itself (another process). `None` if
    /// the bench may.
    fn time(&mut self, _calls: usize, _cold: bool) -> Option<Result<f64>> {
        None
    }
}

/// A peer may round 16-bit intermediates so often more than the case's own allowance.
const PEER_ROUNDS: f64 = 4.0;
/// And in f32 so often for each rounding that our op claims: its sums may be in f32 where ours are in f64, as those of a norm,
/// whose elements then are off by as much as their row's others, be they ever so small ([`Slack::by_row`]).
const PEER_TIMES: f64 = 4.0;

/// Runs a prepared call on fresh inputs of the seed, over poisoned outputs, and compares.
///
/// # Errors
/// If it fails; a wrong answer is a [`Verdict`].
pub fn prove(call: &mut dyn Call, case: &Case, inputs: &[Tensor], is_peer: bool) -> Result<Verdict> {
    call.load(inputs)?;
    call.poison()?;
    call.run()?;
    let outputs = call.outputs()?;
    let (times, more) = if is_peer { (PEER_TIMES, PEER_ROUNDS) } else { (1.0, 0.0) };
    let slack = Slack { times, inside: case.work.rounds_inside(case.pass) + more, by_row: is_peer };
    judge(case, inputs, &outputs, slack)
}

/// [`prove`] on two sets of inputs in turn: an answer kept from the first is wrong for the second.
///
/// # Errors
/// As [`prove`]; a wrong answer is an error here that shows it.
pub fn prove_twice(call: &mut dyn Call, case: &Case, sets: [&[Tensor]; 2], is_peer: bool) -> Result<f64> {
    let mut worst = 0.0f64;
    let mut before: Option<Vec<Tensor>> = None;
    for (round, inputs) in sets.into_iter().enumerate() {
        match prove(call, case, inputs, is_peer)? {
            Verdict::Right { worst: share, .. } => worst = worst.max(share),
            Verdict::Wrong(wrong) => {
                let stale = before.is_some_and(|old| same(&old, &call.outputs().unwrap_or_default()));
                let kind = if stale { "the answer to the inputs before, again: " } else { "" };
                let which = if round == 0 { "" } else { " (second inputs)" };
                return Err(Error::Failed(format!("wrong{which}: {kind}{wrong}")));
            }
        }
        before = Some(call.outputs()?.iter().map(Tensor::copy).collect::<warpsmith_tensor::Result<_>>()?);
    }
    Ok(worst)
}

fn same(a: &[Tensor], b: &[Tensor]) -> bool {
    let values =
        |x: &[Tensor]| x.iter().map(Tensor::to_f64_vec).collect::<warpsmith_tensor::Result<Vec<_>>>();
    match (values(a), values(b)) {
        (Ok(a), Ok(b)) => !a.is_empty() && a == b,
        _ => false,
    }
}
