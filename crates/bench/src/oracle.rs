//! When an answer counts as right: the ops' own f64 references and error bounds, on the whole of a small case and on parts
//! of a large one.
//!
//! Per element |err| ≤ u·|ref| + roundings·2⁻²⁴·scale + inside·u·scale + smallest, where u is the unit roundoff of the
//! output's dtype, roundings and scale are what the op claims ([`Op::roundings`], [`Op::scale`]), and inside is how often
//! a kernel in 16-bit floats may round between its products ([`Workload::rounds_inside`]). Nothing is scaled by the size
//! of the tensor, and there is no absolute tolerance that zeros could pass. What a contender is allowed beyond its op's
//! claims is its [`Slack`].
//!
//! [`Workload::rounds_inside`]: crate::tasks::Workload::rounds_inside

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use warpsmith_autograd::{Array, Meta, Op};
use warpsmith_tensor::{DType, Tensor};

use crate::tasks::Case;
use crate::tensors::part;
use crate::{Error, Result};

/// A range of each axis of a tensor; none at all means the whole.
pub type Region = Vec<Range<usize>>;

/// An op on parts of the inputs: one summand of a window.
#[derive(Clone, Debug)]
pub struct Term {
    op: Arc<dyn Op>,
    inputs: Vec<Region>,
    first: usize,
    weight: f64,
}

impl Term {
    /// `op` on these parts of the inputs.
    pub fn new(op: impl Op, inputs: Vec<Region>) -> Self {
        Self { op: Arc::new(op), inputs, first: 0, weight: 1.0 }
    }

    /// `op` on all of `inputs` inputs.
    pub fn whole(op: impl Op, inputs: usize) -> Self {
        Self::new(op, vec![Region::new(); inputs])
    }

    /// The outputs multiplied by this.
    pub fn times(self, weight: f64) -> Self {
        Self { weight, ..self }
    }

    /// The parts of the inputs, each with its input's number.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (usize, &Region)> {
        self.inputs.iter().enumerate().map(|(i, region)| (self.first + i, region))
    }

    /// The inputs counted from this one on.
    pub fn of_inputs(self, first: usize) -> Self {
        Self { first, ..self }
    }
}

/// Parts of the outputs, and what the oracle says there: the sum of the terms.
#[derive(Clone, Debug)]
pub struct Window {
    /// What is added up.
    pub terms: Vec<Term>,
    /// The part of each output that is compared; `None`: not in this window. The terms' outputs stand in the same order,
    /// counted from the first that is compared.
    pub outputs: Vec<Option<Region>>,
}

impl Window {
    /// All of `outputs` outputs.
    pub fn whole(term: Term, outputs: usize) -> Self {
        Self { terms: vec![term], outputs: vec![Some(Region::new()); outputs] }
    }
}

/// Numbers above which rows are compared in parts.
const WHOLE: usize = 1 << 18;

/// All rows of a tensor of a few numbers; of a larger one some at the front, around the middle and at the end.
pub fn row_parts(rows: usize, columns: usize) -> Vec<Range<usize>> {
    if rows * columns <= WHOLE {
        return std::iter::once(0..rows).collect();
    }
    let part = (WHOLE / 4 / columns).clamp(1, rows.div_ceil(3));
    let middle = (rows / 2 + 7).min(rows - part);
    vec![0..part, middle..middle + part, rows - part..rows]
}

/// The first wrong element, with its neighbourhood.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong {
    /// Which output.
    pub output: usize,
    /// Its place.
    pub place: Vec<usize>,
    /// What the contender gave.
    pub got: f64,
    /// What the oracle says.
    pub expected: f64,
    /// How far they may lie apart.
    pub allowed: f64,
    /// How many elements are wrong, of how many compared.
    pub count: (usize, usize),
    /// What came and what was expected on both sides of it.
    pub around: [Vec<f64>; 2],
    /// What kind of mistake it looks like, if that can be told.
    pub looks_like: Option<&'static str>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { output, place, got, expected, allowed, count: (wrong, of), around, looks_like } = self;
        if let Some(kind) = looks_like {
            write!(f, "{kind}: ")?;
        }
        write!(
            f,
            "output {output}{place:?} is {}, expected {} ± {allowed:.1e}; {wrong} of {of} elements are wrong; \
             around it got {:.4?}, expected {:.4?}",
            told(*got),
            told(*expected),
            around[0],
            around[1]
        )
    }
}

/// A number as people write it, with the digits that an f32 has, unless it is too large or too small for that.
fn told(value: f64) -> String {
    let is_plain = value == 0.0 || (1e-3..1e6).contains(&value.abs()) || !value.is_finite();
    if !is_plain {
        return format!("{value:.8e}");
    }
    let text = format!("{value:.9}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// How an answer compares.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Every compared element is within its bound: the largest error as a share of its bound, and how many were compared.
    Right {
        /// Largest |err| / bound.
        worst: f64,
        /// Elements compared.
        compared: usize,
    },
    /// Some are not.
    Wrong(Box<Wrong>),
}

/// What is allowed to a contender whose way to compute is not the op's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slack {
    /// How many roundings in f32 there may be for each that the op claims.
    pub times: f64,
    /// Roundings of 16-bit intermediates.
    pub inside: f64,
    /// Whether an element may be off by what is small beside its row, though it is none of the row's large ones: who sums up a
    /// row's mean in f32 moves all of the row by as much.
    pub by_row: bool,
}

/// Compares a contender's outputs for these inputs with the oracle. Both may lie on any device.
///
/// # Errors
/// If the oracle cannot be computed, or the outputs do not have the shapes of the case.
pub fn judge(case: &Case, inputs: &[Tensor], outputs: &[Tensor], slack: Slack) -> Result<Verdict> {
    let metas = case.outputs(inputs)?;
    let fits = outputs.len() == metas.len() && outputs.iter().zip(&metas).all(|(y, m)| y.dims() == m.dims());
    if !fits {
        let got: Vec<String> = outputs.iter().map(|y| y.shape().to_string()).collect();
        let want: Vec<String> = metas.iter().map(|m| m.shape.to_string()).collect();
        let (got, want) = (got.join(", "), want.join(", "));
        return Err(Error::Failed(format!("the outputs have the shapes {got}, expected {want}")));
    }
    case.work.judge(case, inputs, outputs, slack)
}

/// [`judge`] by the windows of the workload.
pub(crate) fn judge_windows(
    case: &Case,
    inputs: &[Tensor],
    outputs: &[Tensor],
    slack: Slack,
) -> Result<Verdict> {
    let all: Vec<Meta> = inputs.iter().map(Meta::from).collect();
    let roundings = slack.times * case.work.op(case.pass)?.roundings(&all);
    let (mut worst, mut compared) = (0.0f64, 0);
    for window in case.work.windows(case.pass) {
        for mut found in compare(&window, inputs, outputs, Slack { times: roundings, ..slack })? {
            if let Some(wrong) = found.wrong.take() {
                return Ok(Verdict::Wrong(Box::new(wrong)));
            }
            (worst, compared) = (worst.max(found.worst), compared + found.compared);
        }
    }
    Ok(Verdict::Right { worst, compared })
}

struct Compared {
    worst: f64,
    compared: usize,
    wrong: Option<Wrong>,
}

fn compare(window: &Window, inputs: &[Tensor], outputs: &[Tensor], slack: Slack) -> Result<Vec<Compared>> {
    let mut sums: Vec<(Array, Array)> = Vec::new();
    for term in &window.terms {
        let (values, scales) = evaluate(term, inputs)?;
        let pairs = values.into_iter().zip(scales);
        if sums.is_empty() {
            sums = pairs.collect();
        } else {
            sums.iter_mut().zip(pairs).for_each(|((v, s), (value, scale))| {
                add(v, &value);
                add(s, &scale);
            });
        }
    }
    let first = window.outputs.iter().position(Option::is_some).unwrap_or(0);
    // The outputs of a term are all outputs of its op; a window over one of many parameters starts at its own.
    let skipped = if sums.len() >= window.outputs.len() { 0 } else { first };
    let mut found = Vec::new();
    for (i, region) in window.outputs.iter().enumerate() {
        let Some(region) = region else { continue };
        let (value, scale) = &sums[i - skipped];
        let got = part(&outputs[i], region)?.to_f64_vec()?;
        let bound = Bound { dtype: outputs[i].dtype(), roundings: slack.times, inside: slack.inside };
        let of_rows = slack.by_row.then(|| no_less_than_the_rows(scale));
        found.push(bound.compare(i, region, &got, value, of_rows.as_ref().unwrap_or(scale)));
    }
    Ok(found)
}

/// The scales, each no less than the mean of its row's.
fn no_less_than_the_rows(scale: &Array) -> Array {
    let mut scale = scale.clone();
    let width = scale.last().max(1);
    for row in scale.data.chunks_mut(width) {
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        row.iter_mut().for_each(|value| *value = value.max(mean));
    }
    scale
}

fn add(to: &mut Array, from: &Array) {
    to.data.iter_mut().zip(&from.data).for_each(|(to, from)| *to += from);
}

/// What the oracle says of a term, and the scale of its errors.
fn evaluate(term: &Term, inputs: &[Tensor]) -> Result<(Vec<Array>, Vec<Array>)> {
    let parts = term.inputs.iter().zip(&inputs[term.first..]).map(|(region, x)| part(x, region));
    let parts = parts.collect::<Result<Vec<_>>>()?;
    let metas: Vec<Meta> = parts.iter().map(Meta::from).collect();
    let arrays = parts.iter().map(|x| Ok(Array { shape: *x.shape(), data: x.to_f64_vec()? }));
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    let mut values: Vec<Array> = term.op.shape(&metas)?.iter().map(|m| Array::zeros(m.shape)).collect();
    term.op.reference(&arrays, &mut values)?;
    let mut scales = term.op.scale(&arrays, &values);
    let weigh = |array: &mut Array, by: f64| array.data.iter_mut().for_each(|v| *v *= by);
    values.iter_mut().for_each(|v| weigh(v, term.weight));
    scales.iter_mut().for_each(|s| weigh(s, term.weight.abs()));
    Ok((values, scales))
}

/// The bound of the module doc.
struct Bound {
    dtype: DType,
    roundings: f64,
    inside: f64,
}

impl Bound {
    fn of(&self, value: f64, scale: f64) -> f64 {
        let u = self.dtype.unit_roundoff();
        let inside = if self.dtype.is_half() { self.inside * u } else { 0.0 };
        let smallest = if self.dtype == DType::F16 { 2f64.powi(-24) } else { 2f64.powi(-126) };
        u * value.abs() + (self.roundings * 2f64.powi(-24) + inside) * scale + smallest
    }

    fn compare(&self, output: usize, region: &Region, got: &[f64], value: &Array, scale: &Array) -> Compared {
        let share = |i: usize| {
            let error = (got[i] - value.data[i]).abs() / self.of(value.data[i], scale.data[i]);
            // NaN is as far off as anything can be.
            if error.is_nan() { f64::INFINITY } else { error }
        };
        let wrong: Vec<usize> = (0..got.len()).filter(|&i| share(i) > 1.0).collect();
        let worst = (0..got.len()).map(share).fold(0.0, f64::max);
        let first = wrong.first().map(|&i| {
            let around = i.saturating_sub(2)..(i + 3).min(got.len());
            Wrong {
                output,
                place: place(i, value.dims(), region),
                got: got[i],
                expected: value.data[i],
                allowed: self.of(value.data[i], scale.data[i]),
                count: (wrong.len(), got.len()),
                around: [got[around.clone()].to_vec(), value.data[around].to_vec()],
                looks_like: kind_of_mistake(got, &wrong),
            }
        });
        Compared { worst, compared: got.len(), wrong: first }
    }
}

/// The signature of the commonest mistakes.
fn kind_of_mistake(got: &[f64], wrong: &[usize]) -> Option<&'static str> {
    let all = |test: fn(f64) -> bool| wrong.iter().all(|&i| test(got[i]));
    if got.iter().all(|v| *v == 0.0) {
        Some("all zeros")
    } else if all(f64::is_nan) {
        Some("not written, or NaN (outputs hold NaN before the kernel runs)")
    } else if all(|v| v == 0.0) {
        Some("zeros")
    } else {
        None
    }
}

/// The place of the `i`-th element of a part in the whole tensor.
pub(crate) fn place(i: usize, dims: &[usize], region: &Region) -> Vec<usize> {
    let mut left = i;
    let mut place = vec![0; dims.len()];
    for (axis, &size) in dims.iter().enumerate().rev() {
        place[axis] = left % size.max(1) + region.get(axis).map_or(0, |range| range.start);
        left /= size.max(1);
    }
    place
}
