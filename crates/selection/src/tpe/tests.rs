use std::f64::consts::PI;

use super::*;
use crate::sampler::Sampler;
use crate::space::Scale;

/// Branin's function as Dixon and Szegö (1978) have it: three minima of 0.397887, at (-π, 12.275), (π, 2.275), (9.42478, 2.475).
fn branin(x: f64, y: f64) -> f64 {
    let (b, c, t) = (5.1 / (4.0 * PI * PI), 5.0 / PI, 1.0 / (8.0 * PI));
    (y - b * x * x + c * x - 6.0).powi(2) + 10.0 * (1.0 - t) * x.cos() + 10.0
}

fn plane() -> Space {
    let real = |low, high| Domain::Real { low, high, scale: Scale::Linear, points: None };
    Space::new(vec![("x".into(), real(-5.0, 10.0)), ("y".into(), real(0.0, 15.0))]).unwrap()
}

/// The least value of Branin's function in 40 trials.
fn best_of_40(sampler: &Sampler, seed: u64) -> f64 {
    let (space, mut past): (Space, Vec<Observation>) = (plane(), Vec::new());
    for _ in 0..40 {
        let point = sampler.propose(&space, seed, &past).unwrap();
        let loss = branin(point[0].real().unwrap(), point[1].real().unwrap());
        past.push(Observation { point, loss: Some(loss) });
    }
    past.iter().filter_map(|seen| seen.loss).fold(f64::INFINITY, f64::min)
}

#[test]
fn tpe_beats_random_on_branin() {
    for (x, y) in [(-PI, 12.275), (PI, 2.275), (9.424_78, 2.475)] {
        assert!((branin(x, y) - 0.397_887).abs() < 1e-5);
    }
    let (tpe, random) = (Sampler::default(), Sampler::Random);
    let (mut wins, mut ties, mut sums) = (0, 0, [0.0, 0.0]);
    println!("seed |    TPE | random");
    for seed in 0..20 {
        let (ours, theirs) = (best_of_40(&tpe, seed), best_of_40(&random, seed));
        println!("{seed:>4} | {ours:>6.3} | {theirs:>6.3}");
        wins += usize::from(ours < theirs);
        ties += usize::from(ours == theirs);
        sums = [sums[0] + ours, sums[1] + theirs];
    }
    let [ours, theirs] = sums.map(|sum| sum / 20.0);
    println!(
        "mean | {ours:>6.3} | {theirs:>6.3}   TPE is better in {wins} of 20, {ties} ties; the minimum is 0.398"
    );
    // Fifteen heads of twenty coins: 2 %.
    assert!(wins >= 15 && ours < theirs, "{wins} wins, {ours} against {theirs}");
}

#[test]
fn good_points_are_the_lowest_share_and_failures_are_never_good() {
    let seen = |loss: Option<f64>| Observation { point: vec![Value::Whole(0)], loss };
    let past: Vec<Observation> =
        [None, Some(3.0), Some(f64::NAN), Some(1.0), Some(2.0), None, Some(5.0), None].map(seen).to_vec();
    let losses = |gamma| -> Vec<Option<f64>> {
        Tpe { gamma, ..Tpe::default() }.split(&past).0.iter().map(|seen| seen.loss).collect()
    };
    assert_eq!(losses(0.25), [Some(1.0), Some(2.0)]);
    assert_eq!(losses(0.26), [Some(1.0), Some(2.0), Some(3.0)]);
    // Five of eight would be good, but only four have a loss.
    assert_eq!(losses(0.6), [Some(1.0), Some(2.0), Some(3.0), Some(5.0)]);
    let (good, bad) = Tpe::default().split(&past);
    assert_eq!((good.len(), bad.len()), (2, 6));
}

#[test]
fn lists_and_whole_numbers_are_learned_too() {
    let words = ["bad", "worse", "good", "awful"].map(|word| Value::Word(word.into())).to_vec();
    let layers = Domain::Whole { low: 1, high: 40, step: 1, scale: Scale::Log, points: None };
    let space = Space::new(vec![("word".into(), Domain::Choice(words)), ("n".into(), layers)]).unwrap();
    let mut past: Vec<Observation> = Vec::new();
    for _ in 0..80 {
        let point = Sampler::default().propose(&space, 3, &past).unwrap();
        let wrong = if point[0] == Value::Word("good".into()) { 0.0 } else { 1.0 };
        let loss = Some(wrong + libm::log(point[1].real().unwrap() / 6.0).abs());
        past.push(Observation { point, loss });
    }
    let late = &past[40..];
    let good = late.iter().filter(|seen| seen.point[0] == Value::Word("good".into())).count();
    let near = late.iter().filter(|seen| (4.0..=9.0).contains(&seen.point[1].real().unwrap())).count();
    // At random 10 of 40 words, and 9 of 40 numbers: ln(9.5 / 3.5) of ln(40.5 / 0.5).
    assert!(good >= 20 && near >= 20, "{good} and {near} of 40");
}

#[test]
fn without_a_loss_it_stays_random() {
    let past: Vec<Observation> =
        (0..15).map(|i| Observation { point: random(&plane(), 1, i), loss: None }).collect();
    assert_eq!(Tpe::default().propose(&plane(), 1, &past), random(&plane(), 1, 15));
}

#[test]
fn settings_out_of_range_are_refused() {
    for (gamma, candidates) in [(0.0, 1), (1.0, 1), (f64::NAN, 1), (0.5, 0)] {
        assert!(Tpe::new(1, gamma, candidates).is_err());
    }
}
