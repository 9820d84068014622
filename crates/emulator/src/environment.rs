//! How to run launches, by the variables of the environment.

use std::env;

use crate::{Approximation, Checks, Options, Schedule};

/// A value, or what was expected in its place.
type Read<T> = Result<T, String>;

impl Options {
    /// The options with what the environment says: `WARPSMITH_EMULATOR_SCHEDULE` is `forward`, `reverse` or a seed,
    /// `WARPSMITH_EMULATOR_CHECKS` is `all`, `none`, `init` or `races`, `WARPSMITH_EMULATOR_APPROX` is `rounded` or `nudge:` and
    /// a seed.
    ///
    /// # Errors
    ///
    /// The sentence names a variable that has another value.
    pub fn from_environment() -> Result<Options, String> {
        let mut options = Options::default();
        if let Some(schedule) = value("SCHEDULE") {
            options.schedule = read_schedule(&schedule)?;
        }
        if let Some(checks) = value("CHECKS") {
            options.checks = read_checks(&checks)?;
        }
        if let Some(approximation) = value("APPROX") {
            options.approximation = read_approximation(&approximation)?;
        }
        Ok(options)
    }
}

/// The value of the variable of this name, if it has one.
pub(crate) fn value(name: &str) -> Option<String> {
    env::var(format!("WARPSMITH_EMULATOR_{name}")).ok()
}

/// What is said of a variable with a value that is none.
pub(crate) fn refuse(name: &str, value: &str, expected: &str) -> String {
    format!("WARPSMITH_EMULATOR_{name} is {value:?}, not {expected}")
}

fn read_schedule(value: &str) -> Read<Schedule> {
    match value {
        "forward" => Ok(Schedule::Forward),
        "reverse" => Ok(Schedule::Reverse),
        seed => {
            let refused = |_| refuse("SCHEDULE", value, "forward, reverse or a number to seed it");
            seed.parse().map(Schedule::Seeded).map_err(refused)
        }
    }
}

fn read_checks(value: &str) -> Read<Checks> {
    match value {
        "all" => Ok(Checks { init: true, races: true }),
        "none" => Ok(Checks { init: false, races: false }),
        "init" => Ok(Checks { init: true, races: false }),
        "races" => Ok(Checks { init: false, races: true }),
        _ => Err(refuse("CHECKS", value, "all, none, init or races")),
    }
}

fn read_approximation(value: &str) -> Read<Approximation> {
    let seed = value.strip_prefix("nudge:").and_then(|seed| seed.parse().ok());
    match (value, seed) {
        ("rounded", _) => Ok(Approximation::Rounded),
        (_, Some(seed)) => Ok(Approximation::Nudged(seed)),
        _ => Err(refuse("APPROX", value, "rounded, or nudge: and a number to seed it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_or_refused_with_what_was_expected() {
        assert_eq!(read_schedule("17").unwrap(), Schedule::Seeded(17));
        assert_eq!(read_checks("init").unwrap(), Checks { init: true, races: false });
        assert_eq!(read_approximation("nudge:5").unwrap(), Approximation::Nudged(5));
        assert_eq!(read_approximation("rounded").unwrap(), Approximation::Rounded);
        for sentence in [
            read_schedule("sideways").unwrap_err(),
            read_checks("some").unwrap_err(),
            read_approximation("nudge").unwrap_err(),
        ] {
            assert!(sentence.starts_with("WARPSMITH_EMULATOR_") && sentence.contains(", not "), "{sentence}");
        }
    }
}
