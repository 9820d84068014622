//! Axes: which range they cover, where their ticks stand, and what is written there.

use super::numbers;

/// A range of values along one side of a chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    /// Where lines and labels stand, ascending, all within the range.
    pub(super) ticks: Vec<f64>,
    step: f64,
}

impl Axis {
    /// A linear axis from `low` to `high`, widened to whole ticks if `widen`; about `count` ticks.
    pub(super) fn linear(low: f64, high: f64, count: usize, widen: bool) -> Axis {
        let (low, high) = apart(low, high);
        let step = nice_step((high - low) / count as f64);
        let (first, last) = if widen {
            ((low / step).floor(), (high / step).ceil())
        } else {
            ((low / step).ceil(), (high / step).floor())
        };
        let ticks: Vec<f64> =
            (0..=(last - first).max(0.0) as usize).map(|i| (first + i as f64) * step).collect();
        let (low, high) = if widen { (first * step, last * step) } else { (low, high) };
        Axis { low, high, logarithmic: false, ticks, step }
    }

    /// A logarithmic axis over positive values, widened to powers of ten and, within few of them, to 2 and 5 times those.
    pub(super) fn logarithmic(low: f64, high: f64) -> Axis {
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let decades = last - first;
        let factors: &[f64] = if decades <= 3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let stride = (decades / 6).max(1) as usize;
        let all = (first..=last)
            .step_by(stride)
            .flat_map(|power| factors.iter().map(move |f| f * 10f64.powi(power)));
        let all: Vec<f64> = all.collect();
        // The rounding of a power of ten must not push an end out of its own axis.
        let slack = 1e-9;
        let from = all.iter().rposition(|&tick| tick <= low * (1.0 + slack)).unwrap_or(0);
        let to = all.iter().position(|&tick| tick >= high * (1.0 - slack)).unwrap_or(all.len() - 1);
        let to = if to > from { to } else { (from + 1).min(all.len() - 1) };
        let ticks = all[from..=to].to_vec();
        let (low, high) = (ticks[0].min(low), ticks[ticks.len() - 1].max(high));
        let (low, high) = if low < high { (low, high) } else { (low / 2.0, high * 2.0) };
        Axis { low, high, logarithmic: true, ticks, step: 0.0 }
    }

    /// Where a value lies between the ends: 0 at the low one, 1 at the high one.
    pub(super) fn position(&self, value: f64) -> f64 {
        if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// What is written at a tick: as many digits as tell it from its neighbours.
    pub(super) fn label(&self, tick: f64) -> String {
        let largest = self.low.abs().max(self.high.abs());
        if self.logarithmic {
            return if (1e-3..1e4).contains(&tick) { trim_float(tick) } else { numbers::scientific(tick, 2) };
        }
        if tick == 0.0 {
            return "0".to_string();
        }
        if largest >= 1e4 {
            let text = numbers::short(tick);
            let (digits, prefix) = text.split_once(' ').unwrap_or((&text, ""));
            return format!("{} {prefix}", numbers::trim(digits)).trim_end().to_string();
        }
        if largest < 1e-2 {
            return numbers::scientific(tick, 3);
        }
        let decimals = (-self.step.log10()).ceil().max(0.0) as usize;
        // 0.25 needs one digit more than its size tells.
        let decimals = decimals + usize::from(!is_whole(self.step * 10f64.powi(decimals as i32)));
        let text = format!("{:.decimals$}", tick.abs());
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let whole = whole.parse().map_or(whole.to_string(), numbers::thousands);
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{}{whole}{point}{fraction}", if tick < 0.0 { "−" } else { "" })
    }
}

/// Two ends that differ: a single value stands in the middle of its axis.
fn apart(low: f64, high: f64) -> (f64, f64) {
    let least = 1e-6 * low.abs().max(high.abs());
    if high - low > least {
        return (low, high);
    }
    let half = if low == 0.0 && high == 0.0 { 1.0 } else { 0.1 * low.abs().max(high.abs()) };
    (low - half, high + half)
}

/// The smallest of 1, 2, 2.5, 5 times a power of ten that is at least `rough`.
fn nice_step(rough: f64) -> f64 {
    let power = 10f64.powi(rough.log10().floor() as i32);
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| factor * power >= rough * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

fn is_whole(number: f64) -> bool {
    (number - number.round()).abs() < 1e-6
}

fn trim_float(number: f64) -> String {
    // Through few digits, since 5 · 10⁻¹ need not be 0.5 to the last bit.
    numbers::scientific(number, 2).parse::<f64>().unwrap_or(number).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|&tick| axis.label(tick)).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels(&Axis::linear(0.0, 2000.0, 5, false)), ["0", "500", "1,000", "1,500", "2,000"]);
        assert_eq!(
            labels(&Axis::linear(1.85, 4.2, 5, true)),
            ["1.5", "2.0", "2.5", "3.0", "3.5", "4.0", "4.5"]
        );
        assert_eq!(labels(&Axis::linear(-1.0, 1.0, 4, true)), ["−1.0", "−0.5", "0", "0.5", "1.0"]);
        assert_eq!(labels(&Axis::linear(0.0, 1.0, 4, true)), ["0", "0.25", "0.50", "0.75", "1.00"]);
    }

    #[test]
    fn learning_rates_and_large_counts_are_short() {
        assert_eq!(labels(&Axis::linear(0.0, 1e-3, 4, true)), ["0", "2.5e-4", "5e-4", "7.5e-4", "1e-3"]);
        let ticks = labels(&Axis::linear(0.0, 4e5, 4, true));
        assert_eq!(ticks, ["0", "100 k", "200 k", "300 k", "400 k"]);
        assert_eq!(labels(&Axis::linear(0.0, 1e4, 4, true)), ["0", "2.5 k", "5 k", "7.5 k", "10 k"]);
    }

    #[test]
    fn logarithmic_ticks_are_powers_of_ten_with_two_and_five_between_few() {
        assert_eq!(labels(&Axis::logarithmic(0.3, 4.0)), ["0.2", "0.5", "1", "2", "5"]);
        assert_eq!(labels(&Axis::logarithmic(1e-3, 1e3)), ["0.001", "0.01", "0.1", "1", "10", "100", "1000"]);
        assert!(labels(&Axis::logarithmic(1e-300, 1e300)).len() <= 8);
        assert_eq!(labels(&Axis::logarithmic(1.0, 1.0)), ["1", "2"]);
    }

    #[test]
    fn a_single_value_stands_inside_its_axis() {
        for value in [0.0, 1.88, -3.0, 1e-9, 1e12] {
            let at = Axis::linear(value, value, 5, true).position(value);
            assert!((0.05..=0.95).contains(&at), "{value} at {at}");
        }
    }

    proptest! {
        #[test]
        fn linear_axes_cover_their_values_with_a_handful_of_distinct_ticks(
            a in -1e6f64..1e6, width in 1e-3f64..1e6, widen: bool,
        ) {
            let (low, high) = (a, a + width);
            let axis = Axis::linear(low, high, 5, widen);
            for value in [low, high] {
                prop_assert!((-1e-9..=1.0 + 1e-9).contains(&axis.position(value)));
            }
            prop_assert!((2..=9).contains(&axis.ticks.len()), "{:?}", axis.ticks);
            prop_assert!(axis.ticks.iter().all(|&tick| (-1e-9..=1.0 + 1e-9).contains(&axis.position(tick))));
        }

        #[test]
        fn logarithmic_axes_cover_their_values(low in -30f64..30.0, width in 0f64..40.0) {
            let (low, high) = (10f64.powf(low), 10f64.powf(low + width));
            let axis = Axis::logarithmic(low, high);
            for value in axis.ticks.iter().copied().chain([low, high]) {
                prop_assert!((-1e-6..=1.0 + 1e-6).contains(&axis.position(value)), "{axis:?}");
            }
            prop_assert!((2..=12).contains(&axis.ticks.len()), "{:?}", axis.ticks);
        }
    }
}
