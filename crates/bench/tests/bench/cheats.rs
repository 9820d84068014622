//! Contenders in Rust that are wrong in the ways in which benches have been fooled. None of them may get a time.

use warpsmith_bench::contender::{Call, Contender};
use warpsmith_bench::engine::Engine;
use warpsmith_bench::record::{Row, Status};
use warpsmith_bench::tasks::{Case, Pass};
use warpsmith_bench::{Error, Result};
use warpsmith_tensor::{DType, Device, Tensor};

use crate::{case, rows};

/// How to be wrong.
#[derive(Clone, Copy, PartialEq)]
enum Trick {
    /// Nothing is computed; the outputs are zeros.
    Zeros,
    /// The first answer, over and over.
    Cached,
    /// The outputs are not written.
    Nothing,
    /// All rows but the last.
    OneRowShort,
    /// It fails, quickly.
    Fails,
    /// Right as long as it is watched: it stops computing when it has been called four times.
    TiresLater,
    /// One output too few.
    TooFew,
}

struct Cheat(Trick);

struct CheatCall {
    trick: Trick,
    honest: Box<dyn Call>,
    kept: Option<Vec<Tensor>>,
    calls: usize,
    given: Vec<Tensor>,
}

impl Contender for Cheat {
    fn name(&self) -> String {
        "cheat".into()
    }

    fn prepare(&mut self, case: &Case, inputs: &[Tensor]) -> Result<Box<dyn Call>> {
        let honest = Engine.prepare(case, inputs)?;
        Ok(Box::new(CheatCall { trick: self.0, honest, kept: None, calls: 0, given: Vec::new() }))
    }
}

impl Call for CheatCall {
    fn load(&mut self, inputs: &[Tensor]) -> Result<()> {
        self.honest.load(inputs)
    }

    fn poison(&mut self) -> Result<()> {
        if self.trick != Trick::TiresLater {
            self.given.clear();
        }
        self.honest.poison()
    }

    fn run(&mut self) -> Result<()> {
        self.calls += 1;
        if self.trick == Trick::TiresLater && self.calls > 4 {
            return Ok(());
        }
        if self.trick == Trick::Fails {
            return Err(Error::Failed("out of luck".into()));
        }
        self.honest.run()?;
        let answer: Vec<Tensor> =
            self.honest.outputs()?.iter().map(Tensor::copy).collect::<warpsmith_tensor::Result<_>>()?;
        self.given = match self.trick {
            Trick::Zeros => filled(&answer, 0.0)?,
            Trick::Nothing => filled(&answer, f64::NAN)?,
            Trick::Cached => self.kept.get_or_insert(answer).clone(),
            Trick::OneRowShort => short(answer)?,
            Trick::TooFew => Vec::new(),
            _ => answer,
        };
        Ok(())
    }

    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        Ok(self.given.clone())
    }
}

fn filled(like: &[Tensor], value: f64) -> Result<Vec<Tensor>> {
    let one = |x: &Tensor| Tensor::full(*x.shape(), value, x.dtype(), &x.device());
    Ok(like.iter().map(one).collect::<warpsmith_tensor::Result<_>>()?)
}

fn short(mut answer: Vec<Tensor>) -> Result<Vec<Tensor>> {
    let width = answer[0].shape().last();
    let values = answer[0].data_mut::<f32>()?;
    let rest = values.len() - width;
    values[rest..].fill(f32::NAN);
    Ok(answer)
}

fn row_of(trick: Trick) -> Row {
    let case = case("softmax", "5x70", Pass::Forward, DType::F32);
    let mut rows = rows(&case, &Device::Cpu, vec![Box::new(Engine), Box::new(Cheat(trick))]);
    assert_eq!(rows[0].status, Status::Ok, "{:?}", rows[0].reason);
    assert!(rows[0].time.is_some());
    rows.remove(1)
}

#[test]
fn no_cheat_is_timed_and_each_is_told_what_it_did() {
    for (trick, told) in [
        (Trick::Zeros, "all zeros"),
        (Trick::Cached, "the answer to the inputs before, again"),
        (Trick::Nothing, "not written"),
        (Trick::OneRowShort, "output 0[4, 0] is NaN"),
        (Trick::Fails, "out of luck"),
        (Trick::TiresLater, "wrong after it was timed"),
        (Trick::TooFew, "expected (5, 70)"),
    ] {
        let row = row_of(trick);
        assert_eq!(row.status, Status::Refused, "{told}");
        assert!(row.time.is_none() && row.counts.is_none(), "{told}");
        let reason = row.reason.unwrap();
        assert!(reason.contains(told), "{reason}");
    }
}

/// 16-bit outputs near zero, where a tolerance in absolute terms would let zeros pass.
#[test]
fn zeros_do_not_pass_for_small_numbers() {
    let case = case("softmax", "3x4099", Pass::Forward, DType::BF16);
    let row = rows(&case, &Device::Cpu, vec![Box::new(Cheat(Trick::Zeros))]).remove(0);
    assert_eq!(row.status, Status::Refused);
}
