//! The rungs of a ladder as contenders: the kernels of `kernels/ladder/`, from the naive one to the one that ships.

use warpsmith_kernels::ladder::attention::{self, SelfAttention, SelfAttentionGradient};
use warpsmith_kernels::ladder::{Claim, Rung, matmul, softmax};
use warpsmith_kernels::softmax::{Form, Softmax};
use warpsmith_kernels::{Float, ladder};
use warpsmith_tensor::{DType, Tensor};

use crate::contender::{Call, Contender};
use crate::launched::Launched;
use crate::record::{Row, Status, Step};
use crate::stats::Ratio;
use crate::tasks::{Case, Pass};
use crate::{Error, Result};

/// What the names of all rungs begin with.
pub const NAME: &str = "ladder";

/// The rungs of a task and pass, the naive one first; none where there is no ladder.
pub fn rungs(task: &str, pass: Pass) -> Vec<Box<dyn Contender>> {
    match (task, pass) {
        ("softmax", Pass::Forward) => contenders(&softmax::RUNGS, softmax_arguments),
        ("matmul", Pass::Forward) => contenders(&matmul::RUNGS, product_arguments),
        ("attention", Pass::Forward) => contenders(&attention::RUNGS, attention_arguments),
        ("attention", Pass::Backward) => contenders(&attention::BACKWARD_RUNGS, gradient_arguments),
        _ => Vec::new(),
    }
}

/// The dtype that the ladder of a task computes in.
pub fn dtype(task: &str) -> DType {
    if task == "softmax" { DType::F32 } else { DType::BF16 }
}

fn contenders<A>(rungs: &'static [Rung<A>], arguments: Arguments<A>) -> Vec<Box<dyn Contender>> {
    let one = |(i, rung)| -> Box<dyn Contender> { Box::new(Climber { number: i + 1, rung, arguments }) };
    rungs.iter().enumerate().map(one).collect()
}

/// A kernel's arguments from a case, the addresses of its inputs and behind them its outputs, and that of the room.
type Arguments<A> = fn(&Case, &[u64], u64) -> Result<A>;

fn letter(case: &Case, name: &str) -> Result<u32> {
    let size = case.work.letters().into_iter().find(|(own, _)| *own == name).map_or(0, |(_, size)| size);
    u32::try_from(size).map_err(|_| Error::Unsupported(format!("{name} = {size} does not fit in 32 bits")))
}

fn softmax_arguments(case: &Case, at: &[u64], _: u64) -> Result<Softmax> {
    let (rows, n) = (letter(case, "R")?.into(), letter(case, "C")?);
    Ok(Softmax { form: Form::Plain, dtype: Float::F32, x: at[0], y: at[1], rows, n })
}

fn product_arguments(case: &Case, at: &[u64], _: u64) -> Result<matmul::Product> {
    let (m, n, k) = (letter(case, "M")?, letter(case, "N")?, letter(case, "K")?);
    Ok(matmul::Product { a: at[0], b: at[1], c: at[2], m, n, k })
}

fn attention_arguments(case: &Case, at: &[u64], room: u64) -> Result<SelfAttention> {
    let (heads, kv_heads) = (letter(case, "H")?, letter(case, "Hkv")?);
    if heads != kv_heads {
        return Err(Error::Unsupported("in this ladder each head has keys of its own: BxTxHxD".into()));
    }
    let scale = case.work.attributes().first().map_or(1.0, |(_, scale)| *scale) as f32;
    let (batch, time, width) = (letter(case, "B")?, letter(case, "T")?, letter(case, "D")?);
    let causal = letter(case, "causal")? == 1;
    let (q, k, v, out) = (at[0], at[1], at[2], at[3]);
    Ok(SelfAttention { out, q, k, v, room, batch, time, heads, width, scale, causal })
}

/// Inputs dout, q, k, v, out, lse; outputs dq, dk, dv.
fn gradient_arguments(case: &Case, at: &[u64], room: u64) -> Result<SelfAttentionGradient> {
    let forward = attention_arguments(case, &at[1..], room)?;
    Ok(SelfAttentionGradient { forward, lse: at[5], dout: at[0], dq: at[6], dk: at[7], dv: at[8] })
}

struct Climber<A: 'static> {
    number: usize,
    rung: &'static Rung<A>,
    arguments: Arguments<A>,
}

impl<A> Contender for Climber<A> {
    fn name(&self) -> String {
        format!("{NAME} {} {}", self.number, self.rung.name)
    }

    fn rung(&self) -> Option<(usize, &'static [Claim])> {
        Some((self.number, self.rung.claims))
    }

    fn prepare(&mut self, case: &Case, inputs: &[Tensor]) -> Result<Box<dyn Call>> {
        let own = dtype(case.work.task());
        if case.dtype != own {
            return Err(Error::Unsupported(format!("this ladder computes in {}", own.name())));
        }
        let mut call = Launched::new(case, inputs)?;
        let addresses = call.addresses()?;
        // How much room it wants depends on sizes alone.
        let bytes = (self.rung.room)(&(self.arguments)(case, &addresses, 0)?);
        let room = call.room(bytes as usize)?;
        let arguments = (self.arguments)(case, &addresses, room)?;
        let launches = (self.rung.launches)(&arguments).map_err(|wants| Error::Unsupported(wants.into()))?;
        Ok(Box::new(call.with(launches)))
    }
}

/// Fills what each rung gains over the one before it, of rows and their samples in seconds, which a case has in this order.
pub(crate) fn gains(rows: &mut [Row], rungs: &[Option<(usize, &'static [Claim])>], samples: &[&[f64]]) {
    for i in 0..rows.len() {
        let Some((number, claims)) = rungs[i] else { continue };
        let mut step = Step { number, times_as_fast: None, times_fewer: Vec::new() };
        // The rung below has to be in the same table, and right.
        let below = (0..i).rev().find(|&j| rungs[j].is_some_and(|(other, _)| other + 1 == number));
        let below = below.filter(|&j| rows[j].status == Status::Ok && rows[i].status == Status::Ok);
        if let Some(j) = below {
            step.times_as_fast = Ratio::of(samples[j], samples[i]).map(|ratio| ratio.median);
            if let (Some(old), Some(new)) = (&rows[j].counts, &rows[i].counts) {
                let fewer = |claim: &Claim| {
                    let (old, new) = (old.of(claim.count), new.of(claim.count));
                    (claim.count.name().to_owned(), (new > 0).then(|| old as f64 / new as f64))
                };
                step.times_fewer = claims.iter().map(fewer).collect();
            }
        }
        rows[i].step = Some(step);
    }
}

impl crate::counts::Counts {
    /// The number that a ladder's claim is about.
    pub fn of(&self, count: ladder::Count) -> u64 {
        use ladder::Count;
        match count {
            Count::BytesRead => self.global_read_bytes,
            Count::BytesWritten => self.global_write_bytes,
            Count::SectorsRead => self.global_read_sectors,
            Count::SectorsWritten => self.global_write_sectors,
            Count::SharedBytes => self.shared_read_bytes + self.shared_write_bytes,
            Count::BankConflicts => self.shared_bank_conflicts,
            Count::Instructions => self.instructions,
            Count::MemoryInstructions => self.memory_instructions,
            Count::Barriers => self.barriers,
        }
    }
}
