use super::*;

fn real(low: f64, high: f64, scale: Scale) -> Domain {
    Domain::Real { low, high, scale, points: None }
}

fn whole(low: u64, high: u64, step: u64, scale: Scale) -> Domain {
    Domain::Whole { low, high, step, scale, points: None }
}

fn complaint(domain: Domain) -> String {
    Space::new(vec![("x".into(), domain)]).unwrap_err().to_string()
}

#[test]
fn what_is_no_space_is_refused() {
    assert_eq!(Space::new(Vec::new()), Err(Error::EmptySpace));
    for (domain, mention) in [
        (real(2.0, 1.0, Scale::Linear), "x: the range goes from 2 to 1"),
        (real(1.0, 1.0, Scale::Linear), "min must be below max"),
        (real(0.0, 1.0, Scale::Log), "begin above 0"),
        (real(f64::NAN, 1.0, Scale::Linear), "finite"),
        (real(0.0, f64::INFINITY, Scale::Linear), "finite"),
        (whole(8, 4, 1, Scale::Linear), "from 8 to 4"),
        (whole(0, 4, 1, Scale::Log), "begin above 0"),
        (whole(1, 4, 0, Scale::Linear), "step must be at least 1"),
        (whole(1, 4, 4, Scale::Linear), "step 4 leaves only 1"),
        (whole(1, 4, 2, Scale::Log), "step is for a linear range"),
        (Domain::Choice(Vec::new()), "the list is empty"),
        (Domain::Choice(vec![Value::Whole(1), Value::Whole(1)]), "1 stands in the list twice"),
        (
            Domain::Real { low: 0.0, high: 1.0, scale: Scale::Linear, points: Some(1) },
            "points must be at least 2",
        ),
    ] {
        let message = complaint(domain);
        assert!(message.contains(mention), "{message}");
    }
}

#[test]
fn values_and_places_go_both_ways() {
    for domain in [
        real(-2.0, 3.0, Scale::Linear),
        real(1e-5, 1e-1, Scale::Log),
        whole(3, 30, 9, Scale::Linear),
        whole(1, 64, 1, Scale::Log),
    ] {
        let axis = Axis::of(&domain).unwrap();
        for i in 0..=100 {
            let place = axis.low + axis.range() * f64::from(i) / 100.0;
            let value = axis.value(place);
            assert!(domain.contains(&value), "{value} of {domain:?}");
            let back = axis.value(axis.place(&value));
            let near = (back.real().unwrap() / value.real().unwrap() - 1.0).abs() < 1e-12;
            assert!(near || back == value, "{value} became {back}");
            // A whole number is the stretch that is rounded to it.
            let (from, to) = axis.stretch(&value).unwrap_or((place, place));
            assert!(from - 1e-9 <= place && place <= to + 1e-9, "{place} outside {from}..{to}");
        }
    }
}

#[test]
fn draws_are_uniform_on_their_scale() {
    let n = 20_000;
    let mut draws = Draws::new(5, 0);
    let below = |domain: &Domain, limit: f64, draws: &mut Draws| {
        (0..n).filter(|_| domain.draw(draws).real().unwrap() < limit).count() as f64 / f64::from(n)
    };
    // Six standard errors of a share: at most 6 · 0.5 / √20000 = 0.021.
    assert!((below(&real(1e-4, 1e-2, Scale::Log), 1e-3, &mut draws) - 0.5).abs() < 0.021);
    assert!((below(&real(0.0, 4.0, Scale::Linear), 1.0, &mut draws) - 0.25).abs() < 0.021);
    assert!((below(&whole(0, 30, 10, Scale::Linear), 10.0, &mut draws) - 0.25).abs() < 0.021);
    let low = libm::log(7.5 / 0.5) / libm::log(64.5 / 0.5);
    assert!((below(&whole(1, 64, 1, Scale::Log), 7.5, &mut draws) - low).abs() < 0.021);
    let words = ["a", "b", "c"].map(|word| Value::Word(word.into())).to_vec();
    let words = Domain::Choice(words);
    let is_a = (0..n).filter(|_| words.draw(&mut draws) == Value::Word("a".into())).count();
    assert!((is_a as f64 / f64::from(n) - 1.0 / 3.0).abs() < 0.021);
}

#[test]
fn grids_hold_both_ends() {
    let grid = |domain: Domain| Space::new(vec![("x".into(), domain)]).unwrap().grid();
    let numbers = |domain: Domain| -> Vec<f64> {
        grid(domain).unwrap()[0].iter().map(|value| value.real().unwrap()).collect()
    };
    let of = |low, high, scale, points| Domain::Real { low, high, scale, points: Some(points) };
    assert_eq!(numbers(of(0.0, 1.0, Scale::Linear, 3)), [0.0, 0.5, 1.0]);
    let log = numbers(of(1e-4, 1e-2, Scale::Log, 3));
    assert!(log[0] == 1e-4 && (log[1] / 1e-3 - 1.0).abs() < 1e-12 && log[2] == 1e-2, "{log:?}");
    assert_eq!(numbers(whole(32, 128, 32, Scale::Linear)), [32.0, 64.0, 96.0, 128.0]);
    let doubled = Domain::Whole { low: 1, high: 8, step: 1, scale: Scale::Log, points: Some(4) };
    assert_eq!(numbers(doubled), [1.0, 2.0, 4.0, 8.0]);
    assert!(grid(real(0.0, 1.0, Scale::Linear)).unwrap_err().to_string().contains("x: a grid takes"));
    let huge = whole(0, 1 << 40, 1, Scale::Linear);
    assert!(grid(huge).unwrap_err().to_string().contains("write points = N"));
    let wide = || whole(0, 9_999, 1, Scale::Linear);
    let both = Space::new(vec![("x".into(), wide()), ("y".into(), wide())]).unwrap();
    assert!(both.grid().unwrap_err().to_string().starts_with("y: with it the grid has more"));
}
