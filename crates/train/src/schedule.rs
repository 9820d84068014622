//! The learning rate as a function of the step.
//!
//! All shapes but a rate held fixed begin with the same linear warm-up: with `w` warm-up steps, step `i < w` uses
//! `lr · (i + 1) / (w + 1)`, so that step 0 already moves and step `w` is the first at the full rate.

use crate::config::{ScheduleKind, TrainConfig};

/// A learning-rate schedule: peak `lr`, floor `min`, warm-up `w` steps, decayed by step `d`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRate {
    /// Shape after the warm-up; `None`: `peak` throughout, without warm-up.
    pub shape: Option<ScheduleKind>,
    /// The rate that the warm-up reaches.
    pub peak: f64,
    /// The rate at the end of the decay and after it.
    pub min: f64,
    /// Steps of warm-up.
    pub warmup: usize,
    /// The step at which `min` is reached.
    pub decay_end: usize,
    /// [`ScheduleKind::Wsd`]: the share of `decay_end` that the decay takes, 0 to 1.
    pub decay_fraction: f64,
}

impl LearningRate {
    /// The schedule that a configuration asks for.
    pub fn new(config: &TrainConfig) -> Self {
        LearningRate {
            shape: config.decay_lr.then_some(config.schedule),
            peak: config.learning_rate,
            min: config.min_lr,
            warmup: config.warmup_iters,
            decay_end: config.lr_decay_iters,
            decay_fraction: config.decay_fraction,
        }
    }

    /// The learning rate of step `step`, counted from 0.
    pub fn at(&self, step: usize) -> f64 {
        let Some(shape) = self.shape else { return self.peak };
        if step < self.warmup {
            return self.peak * (step as f64 + 1.0) / (self.warmup as f64 + 1.0);
        }
        match shape {
            ScheduleKind::Constant => self.peak,
            // nanoGPT's get_lr, term by term.
            ScheduleKind::Cosine => {
                self.blend(0.5 * (1.0 + (std::f64::consts::PI * self.progress(step, self.warmup)).cos()))
            }
            ScheduleKind::Linear => self.blend(1.0 - self.progress(step, self.warmup)),
            // Hu et al., MiniCPM, arXiv 2404.06395, section 4: warm-up, stable, decay; here the decay is a line.
            ScheduleKind::Wsd => self.blend(1.0 - self.progress(step, self.decay_start())),
        }
    }

    /// The first step of the final decay of [`ScheduleKind::Wsd`], never inside the warm-up.
    fn decay_start(&self) -> usize {
        let decay = (self.decay_end as f64 * self.decay_fraction).round() as usize;
        self.decay_end.saturating_sub(decay).max(self.warmup)
    }

    /// How much of the way from step `start` to `decay_end` is done: 0 up to `start`, 1 at the end and after it.
    fn progress(&self, step: usize, start: usize) -> f64 {
        if step >= self.decay_end {
            1.0
        } else if step <= start {
            0.0
        } else {
            (step - start) as f64 / (self.decay_end - start) as f64
        }
    }

    /// The rate a share `high` of the way up from `min` to `peak`.
    fn blend(&self, high: f64) -> f64 {
        self.min + high * (self.peak - self.min)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHAPES: [ScheduleKind; 4] =
        [ScheduleKind::Cosine, ScheduleKind::Linear, ScheduleKind::Wsd, ScheduleKind::Constant];

    fn schedule(shape: ScheduleKind) -> LearningRate {
        LearningRate {
            shape: Some(shape),
            peak: 1e-3,
            min: 1e-4,
            warmup: 100,
            decay_end: 5100,
            decay_fraction: 0.1,
        }
    }

    /// Equal up to the rounding of a handful of operations.
    fn assert_close(got: f64, expected: f64) {
        assert!(
            (got - expected).abs() <= 8.0 * f64::EPSILON * expected.abs(),
            "{got:e}, expected {expected:e}"
        );
    }

    #[test]
    fn warm_up_is_that_of_nanogpt_for_every_shape() {
        for shape in SHAPES {
            let lr = schedule(shape);
            assert_close(lr.at(0), 1e-3 / 101.0);
            assert_close(lr.at(49), 1e-3 * 50.0 / 101.0);
            assert_close(lr.at(99), 1e-3 * 100.0 / 101.0);
            assert_close(lr.at(100), 1e-3);
        }
    }

    #[test]
    fn cosine_at_points_worked_by_hand() {
        let lr = schedule(ScheduleKind::Cosine);
        // A third, a half, two thirds of a cosine half-wave: coefficients 3/4, 1/2, 1/4.
        let sixths = LearningRate { decay_end: 6100, ..lr };
        assert_close(sixths.at(2100), 1e-4 + 0.75 * 9e-4);
        assert_close(sixths.at(3100), 1e-4 + 0.5 * 9e-4);
        assert_close(sixths.at(4100), 1e-4 + 0.25 * 9e-4);
        assert_eq!(lr.at(5100), 1e-4);
        assert_eq!(lr.at(5101), 1e-4);
        assert_eq!(lr.at(usize::MAX), 1e-4);
    }

    #[test]
    fn linear_at_points_worked_by_hand() {
        let lr = schedule(ScheduleKind::Linear);
        assert_close(lr.at(1350), 1e-4 + 0.75 * 9e-4);
        assert_close(lr.at(2600), 1e-4 + 0.5 * 9e-4);
        assert_eq!(lr.at(5100), 1e-4);
        assert_eq!(lr.at(9999), 1e-4);
    }

    #[test]
    fn wsd_is_stable_and_then_falls_in_its_last_tenth() {
        let lr = LearningRate { decay_end: 5000, ..schedule(ScheduleKind::Wsd) };
        for step in [100, 2000, 4500] {
            assert_close(lr.at(step), 1e-3);
        }
        assert!(lr.at(4501) < 1e-3);
        assert_close(lr.at(4750), 1e-4 + 0.5 * 9e-4);
        assert_eq!(lr.at(5000), 1e-4);
        assert_eq!(lr.at(6000), 1e-4);
    }

    #[test]
    fn wsd_with_the_whole_run_as_decay_is_linear() {
        let wsd = LearningRate { decay_fraction: 1.0, ..schedule(ScheduleKind::Wsd) };
        let linear = schedule(ScheduleKind::Linear);
        for step in 0..6000 {
            assert_eq!(wsd.at(step), linear.at(step), "step {step}");
        }
    }

    #[test]
    fn constant_stays_and_no_schedule_does_not_even_warm_up() {
        let constant = schedule(ScheduleKind::Constant);
        assert_eq!([100, 5100, 9999].map(|step| constant.at(step)), [1e-3; 3]);
        let fixed = LearningRate::new(&TrainConfig { decay_lr: false, ..TrainConfig::default() });
        assert_eq!([0, 99, 9999].map(|step| fixed.at(step)), [1e-3; 3]);
    }

    #[test]
    fn without_warm_up_the_first_step_has_the_full_rate() {
        for shape in SHAPES {
            assert_close(LearningRate { warmup: 0, ..schedule(shape) }.at(0), 1e-3);
        }
    }

    #[test]
    fn a_decay_that_ends_within_the_warm_up_leaves_the_floor() {
        for shape in [ScheduleKind::Cosine, ScheduleKind::Linear, ScheduleKind::Wsd] {
            for decay_end in [0, 50, 100] {
                let lr = LearningRate { decay_end, ..schedule(shape) };
                assert_close(lr.at(99), 1e-3 * 100.0 / 101.0);
                assert_eq!(lr.at(100), 1e-4, "{shape:?} {decay_end}");
            }
        }
    }

    proptest! {
        #[test]
        fn rises_then_falls_and_stays_within_its_bounds(
            warmup in 0usize..50, decay_end in 0usize..200, decay_fraction in 0.0f64..=1.0, min in 0.0f64..1.0,
        ) {
            for shape in SHAPES {
                let lr = LearningRate { shape: Some(shape), peak: 1.0, min, warmup, decay_end, decay_fraction };
                let rates: Vec<f64> = (0..260).map(|step| lr.at(step)).collect();
                prop_assert!(rates.iter().all(|&rate| 0.0 < rate && rate <= 1.0 || rate == min));
                prop_assert!(rates[..warmup].windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(rates[warmup..].windows(2).all(|pair| pair[0] >= pair[1]));
                if shape != ScheduleKind::Constant {
                    prop_assert_eq!(rates[250], min);
                }
            }
        }
    }
}
