//! The next token of each row of logits l: the largest at temperature 0, else one drawn by the weights e^((l - max l)/t).
//!
//! Tokens stand in the order of falling logits, equal ones by id (-0 below +0). Kept are the first k of them, of those the
//! shortest run that holds the share p of their weights, of those the ones that weigh at least m of the largest; the draw
//! takes the token in which u·Σw falls, u = (number `draw` of the stream)/2³². Derivative: none. Shapes: `(…, V)` →
//! tokens `(…)` and flags `(…)`, both u32; a row whose flag is not [`FINE`] has no token. Row r draws from stream
//! `stream` + r.
//! Numerics: weights are rounded to integers, in units of 2⁻⁴⁰ of the largest, by one chain of IEEE operations that the
//! host and the kernel share: sums have no order, and the same logits give the same token on every device. What weighs
//! less than 2⁻⁴¹ is never drawn.
//! Source: Holtzman et al., *The Curious Case of Neural Text Degeneration*, 2019, arXiv 1904.09751, §3.1, for p.

use warpsmith_autograd::{Array, Cost, Differentiability, Input, Meta, Op, Spec};
use warpsmith_kernels::sample::{self as kernel, LARGEST_WEIGHT, MAX_TOKENS};
pub use warpsmith_kernels::sample::{ALL_EXCLUDED, FINE, HAS_NAN};
use warpsmith_tensor::cpu::dispatch;
use warpsmith_tensor::rng::bits;
use warpsmith_tensor::{DType, Error, Result, Seed, Tensor};

use crate::cuda;

/// How a token is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Logits are divided by it; 0 takes the largest.
    pub temperature: f64,
    /// Only so many of the likeliest stay; 0: all.
    pub top_k: usize,
    /// Only the likeliest that together reach this share stay, in (0, 1].
    pub top_p: f64,
    /// Only those with this share of the likeliest one's probability stay, in [0, 1].
    pub min_p: f64,
    /// The seed.
    pub seed: Seed,
    /// The stream of the first row.
    pub stream: u64,
    /// The number of the draw.
    pub draw: u64,
}

/// A token of a row: where it stands in the order, the largest first, and what it weighs.
type Candidate = (u64, u64);

/// The bits of a logit made to ascend with it.
#[inline(always)]
fn ascending(logit: f32) -> i32 {
    let bits = logit.to_bits() as i32;
    bits ^ (bits >> 31 & i32::MAX)
}

/// A logit's bits, without a sign, above the inverted id.
fn place(logit: f32, id: usize) -> u64 {
    u64::from(ascending(logit) as u32 ^ 1 << 31) << 32 | u64::from(!(id as u32))
}

/// The first of the largest logits, or None if one is no number.
fn likeliest(logits: &[f32]) -> Option<usize> {
    let (most, numbers) = dispatch(
        #[inline(always)]
        || {
            let (mut most, mut numbers) = (i32::MIN, true);
            for &logit in logits {
                most = most.max(ascending(logit));
                numbers &= !logit.is_nan();
            }
            (most, numbers)
        },
    );
    numbers.then(|| logits.iter().position(|&logit| ascending(logit) == most).unwrap_or(0))
}

/// The token that stands at a place.
fn token((place, _): Candidate) -> u32 {
    !(place as u32)
}

/// 2⁴⁰·eˣ for x ≤ 0, rounded to the nearest: line by line the function of the kernel's source.
fn weight(x: f64) -> u64 {
    if x.is_nan() || x <= -29.0 {
        return 0;
    }
    // x = n·ln 2 + r: adding 1.5·2⁵² leaves the nearest integer in the low bits. ln 2 in two parts, the first short.
    let n = (x * std::f64::consts::LOG2_E + 6_755_399_441_055_744.0) - 6_755_399_441_055_744.0;
    let r = (x - n * 6.931_471_803_691_238e-1) - n * 1.908_214_929_270_587_7e-10;
    // Taylor's series: |r| ≤ 0.35, and the term after the last is below 2⁻⁵³.
    let terms =
        [479_001_600.0, 39_916_800.0, 3_628_800.0, 362_880.0, 40_320.0, 5040.0, 720.0, 120.0, 24.0, 6.0];
    let first = 1.0 / 6_227_020_800.0;
    let y = terms.iter().fold(first, |y, factorial| y * r + 1.0 / factorial);
    let y = ((y * r + 0.5) * r + 1.0) * r + 1.0;
    // Times 2^(n + 40): exact, since n > -43.
    let scale = f64::from_bits(((n as i64 + 40 + 1023) as u64) << 52);
    (y * scale + 0.5) as u64
}

impl Sample {
    /// Checks the parameters in the name of `op`.
    ///
    /// # Errors
    /// Names the first parameter outside its range.
    pub fn validate(&self, op: &'static str) -> Result<()> {
        let error = |message: String| Err(Error::value(op, message));
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return error(format!("temperature = {} must be 0 or more", self.temperature));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return error(format!("top_p = {} must be above 0 and at most 1", self.top_p));
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return error(format!("min_p = {} must be in [0, 1]", self.min_p));
        }
        Ok(())
    }

    /// The least weight that stays.
    fn least(&self) -> u64 {
        (self.min_p * LARGEST_WEIGHT as f64).ceil() as u64
    }

    fn choose(&self, logits: &[f32], row: u64) -> (u32, u32) {
        let Some(best) = likeliest(logits) else {
            return (logits.iter().position(|l| l.is_nan()).unwrap_or(0) as u32, HAS_NAN);
        };
        let top = logits[best];
        if top == f32::NEG_INFINITY {
            return (best as u32, ALL_EXCLUDED);
        }
        if self.temperature == 0.0 {
            return (best as u32, FINE);
        }
        // Equal logits have the full weight, also where ∞ - ∞ is no number.
        let weigh = |l: f32| match l == top {
            true => LARGEST_WEIGHT,
            false => weight((f64::from(l) - f64::from(top)) / self.temperature),
        };
        let mut all: Vec<Candidate> =
            logits.iter().enumerate().map(|(id, &l)| (place(l, id), weigh(l))).collect();
        if 0 < self.top_k && self.top_k < all.len() {
            all.select_nth_unstable_by(self.top_k - 1, likelier);
            all.truncate(self.top_k);
        }
        let total: u64 = all.iter().map(|c| c.1).sum();
        let mut kept: u64 = all.iter().map(|c| c.1).filter(|&w| w >= self.least()).sum();
        if self.top_p < 1.0 {
            let end = ((total as f64 * self.top_p).ceil() as u64).clamp(1, total);
            kept = find(&mut all, end - 1).1.min(kept);
        }
        let random = bits(self.seed, self.stream.wrapping_add(row), self.draw);
        let point = (u128::from(random) * u128::from(kept)) >> 32;
        (token(find(&mut all, point as u64).0), FINE)
    }
}

fn likelier(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.0.cmp(&a.0)
}

/// The candidate in which a point of the sum falls, with the sum up to its end; reorders as it looks.
fn find(all: &mut [Candidate], point: u64) -> (Candidate, u64) {
    let (mut low, mut high, mut before) = (0, all.len(), 0);
    while high - low > 1 {
        let middle = (high - low) / 2;
        all[low..high].select_nth_unstable_by(middle, likelier);
        let upper: u64 = all[low..low + middle].iter().map(|c| c.1).sum();
        if point < before + upper {
            high = low + middle;
        } else {
            (before, low) = (before + upper, low + middle);
        }
    }
    (all[low], before + all[low].1)
}

impl Op for Sample {
    fn name(&self) -> &'static str {
        "sample"
    }

    fn shape(&self, x: &[Meta]) -> Result<Vec<Meta>> {
        self.validate(self.name())?;
        let logits = x[0];
        let tokens = logits.shape.last();
        if logits.shape.rank() == 0
            || !logits.dtype.is_float()
            || !(1..=MAX_TOKENS as usize).contains(&tokens)
        {
            let message = format!("takes rows of floats, with 1 to {MAX_TOKENS} tokens");
            return Err(Error::shape(self.name(), &[], message).operands([(logits.shape, logits.dtype)]));
        }
        let rows = logits.shape.without(logits.shape.rank() - 1, false);
        Ok(vec![Meta::new(rows, DType::U32); 2])
    }

    fn reference(&self, x: &[Array], y: &mut [Array]) -> Result<()> {
        for (r, logits) in x[0].data.chunks(x[0].last()).enumerate() {
            let (token, flag) = self.by_sorting(logits, r as u64);
            (y[0].data[r], y[1].data[r]) = (token as f64, f64::from(flag));
        }
        Ok(())
    }

    fn cpu(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let logits = x[0].contiguous()?;
        let rows = logits.data::<f32>()?.chunks(logits.shape().last()).enumerate();
        let (tokens, flags): (Vec<u32>, Vec<u32>) = rows.map(|(r, row)| self.choose(row, r as u64)).unzip();
        [tokens, flags]
            .into_iter()
            .map(|values| Tensor::from_slice(&values, y[0].dims(), &warpsmith_tensor::Device::Cpu))
            .collect()
    }

    fn cuda(&self, x: Vec<Tensor>, y: &[Meta]) -> Result<Vec<Tensor>> {
        let (logits, device) = (x[0].contiguous()?, x[0].device());
        let mut out = [
            Tensor::empty(y[0].shape, DType::U32, &device)?,
            Tensor::empty(y[1].shape, DType::U32, &device)?,
        ];
        let room = if self.temperature == 0.0 { 0 } else { 8 * logits.numel() };
        let (_room, weights) = cuda::workspace(&device, room as u64)?;
        let [tokens, flags] = &mut out;
        device.launch(&kernel::sample(&kernel::Sample {
            dtype: logits.dtype().float_on_device(self.name())?,
            tokens: tokens.device_address_mut()?,
            flags: flags.device_address_mut()?,
            logits: logits.device_address()?,
            weights,
            rows: cuda::size(self.name(), y[0].shape.numel())?,
            n: cuda::size(self.name(), logits.shape().last())?,
            temperature: self.temperature,
            top_k: self.top_k.min(logits.shape().last()) as u32,
            top_p: self.top_p,
            least: self.least(),
            seed: self.seed.0,
            stream: self.stream,
            draw: self.draw,
            advance: device.advance(),
        }))?;
        Ok(out.into())
    }

    fn differentiability(&self) -> Differentiability {
        Differentiability::ByDefinitionNot
    }

    fn cost(&self) -> Cost {
        Cost::new("N*s", "8*R", "30*N")
    }

    fn symbols(&self, x: &[Meta]) -> Vec<(&'static str, usize)> {
        vec![("R", x[0].shape.numel() / x[0].shape.last().max(1))]
    }
}

impl Sample {
    /// The definition, with real weights.
    fn by_sorting(&self, logits: &[f64], row: u64) -> (usize, u32) {
        if let Some(at) = logits.iter().position(|l| l.is_nan()) {
            return (at, HAS_NAN);
        }
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let top = logits[order[0]];
        if top == f64::NEG_INFINITY {
            return (order[0], ALL_EXCLUDED);
        }
        if self.temperature == 0.0 {
            return (order[0], FINE);
        }
        if self.top_k > 0 {
            order.truncate(self.top_k);
        }
        let weigh = |l: f64| if l == top { 1.0 } else { ((l - top) / self.temperature).exp() };
        let weights: Vec<f64> = order.iter().map(|&id| weigh(logits[id])).collect();
        let total: f64 = weights.iter().sum();
        let mut before = 0.0;
        let stays = |&&w: &&f64| {
            let stays = before < self.top_p * total && w >= self.min_p;
            before += w;
            stays
        };
        let kept: Vec<f64> = weights.iter().take_while(stays).copied().collect();
        let random = bits(self.seed, self.stream.wrapping_add(row), self.draw);
        let point = f64::from(random) / 4_294_967_296.0 * kept.iter().sum::<f64>();
        let mut sum = 0.0;
        let at = kept.iter().position(|w| {
            sum += w;
            point < sum
        });
        (order[at.unwrap_or(kept.len() - 1)], FINE)
    }
}

methods! {
    /// The next token of each row of logits (…, V), with a flag for rows that have none: both (…), u32.
    ///
    /// # Errors
    /// If a parameter is outside its range, or the rows are empty.
    fn sample(&self, how: Sample) -> Result<[Tensor; 2]> {
        let mut made = warpsmith_autograd::apply(how, &[self])?.into_iter();
        made.next().zip(made.next()).map(|(tokens, flags)| [tokens, flags]).ok_or_else(|| Error::internal("sample", "no output"))
    }
}

/// The registry's entry.
pub fn specs() -> Vec<Spec> {
    vec![Spec {
        name: "sample",
        summary: "the next token of each row of logits",
        samples: || {
            let drawn = Sample {
                temperature: 1.0,
                top_k: 0,
                top_p: 1.0,
                min_p: 0.0,
                seed: Seed(7),
                stream: 3,
                draw: 5,
            };
            let sample = |op: Sample, dims: &[usize]| {
                warpsmith_autograd::Sample::new(op, [Input::between(dims, -8.0, 8.0)])
            };
            vec![
                sample(drawn, &[2, 300]),
                sample(Sample { temperature: 0.0, ..drawn }, &[2, 1, 65]),
                sample(Sample { temperature: 0.7, top_k: 20, ..drawn }, &[2, 130]),
                sample(Sample { temperature: 1.5, top_p: 0.9, draw: 2, ..drawn }, &[2, 130]),
                sample(Sample { top_k: 50, top_p: 0.8, min_p: 0.05, ..drawn }, &[1, 515]),
                sample(drawn, &[3, 1]),
                sample(drawn, &[0, 9]),
            ]
        },
    }]
}
