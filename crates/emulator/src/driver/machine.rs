//! What the machine is that the driver finds: how many GPUs, of what age, and when one of them fails. By default one GPU
//! that never does; a program's tests ask for others, to see what it does then.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};

use super::code::Code;
use super::device::{CAPABILITY, DRIVER_VERSION};
use super::failure::{Failure, Outcome};
use crate::environment::{refuse, value};

/// The machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    /// How many GPUs, all alike.
    pub(crate) gpus: i32,
    /// The version of the driver, as CUDA counts it: 12080 is 12.8.
    pub(crate) driver: i32,
    /// The compute capability that the GPUs report.
    pub(crate) capability: (u32, u32),
    /// The number, from 1, of the launch in which a GPU is lost.
    pub(crate) lost_at: Option<u64>,
    /// Whether the driver is as [strict](super::late) as its documentation.
    pub(crate) is_strict: bool,
}

/// GPUs that a machine can have.
const MOST_GPUS: i32 = 8;

const USUAL: Machine =
    Machine { gpus: 1, driver: DRIVER_VERSION, capability: CAPABILITY, lost_at: None, is_strict: false };

impl Machine {
    /// The machine that the variables of the environment describe; without them the usual one, with `gpus` GPUs.
    fn read(gpus: i32, value: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mut machine = Self { gpus, ..USUAL };
        if let Some(gpus) = value("GPUS") {
            let known = gpus.parse().ok().filter(|gpus| (0..=MOST_GPUS).contains(gpus));
            machine.gpus = known.ok_or_else(|| refuse("GPUS", &gpus, "a number from 0 to 8"))?;
        }
        if let Some(driver) = value("DRIVER") {
            let (major, minor) = version(&driver)
                .ok_or_else(|| refuse("DRIVER", &driver, "a version of CUDA such as 12.2"))?;
            machine.driver = (major * 1000 + minor * 10) as i32;
        }
        if let Some(capability) = value("CAPABILITY") {
            // What a newer one can do is not emulated.
            let known = version(&capability).filter(|known| *known <= CAPABILITY);
            machine.capability =
                known.ok_or_else(|| refuse("CAPABILITY", &capability, "a compute capability up to 8.0"))?;
        }
        if let Some(launch) = value("LOST_AT") {
            let known = launch.parse().ok().filter(|launch| *launch > 0);
            machine.lost_at =
                Some(known.ok_or_else(|| refuse("LOST_AT", &launch, "the number of a launch, from 1"))?);
        }
        if let Some(strict) = value("STRICT") {
            machine.is_strict = match &*strict {
                "0" => false,
                "1" => true,
                _ => return Err(refuse("STRICT", &strict, "0 or 1")),
            };
        }
        Ok(machine)
    }
}

/// `major.minor`, of one to two digits each.
fn version(text: &str) -> Option<(u32, u32)> {
    let part = |text: &str| text.parse().ok().filter(|number| *number < 100);
    let (major, minor) = text.split_once('.')?;
    Some((part(major)?, part(minor)?))
}

/// The machine, as the environment described it at the first question.
pub(crate) fn machine() -> Machine {
    described().clone().unwrap_or(USUAL)
}

/// Refuses an environment that describes no machine.
pub(crate) fn check_machine() -> Outcome {
    described().clone().map(drop).map_err(|sentence| Code::INVALID_VALUE.says(sentence))
}

fn described() -> &'static Result<Machine, String> {
    static MACHINE: OnceLock<Result<Machine, String>> = OnceLock::new();
    MACHINE.get_or_init(|| Machine::read(USUAL_GPUS.load(Ordering::Relaxed), value))
}

/// How many GPUs there are if the environment says nothing.
static USUAL_GPUS: AtomicI32 = AtomicI32::new(USUAL.gpus);

/// Makes it so many, and says how many the machine has now: others if the environment says so, or if it was asked before.
pub(crate) fn ask_for(gpus: i32) -> i32 {
    USUAL_GPUS.store(gpus.clamp(0, MOST_GPUS), Ordering::Relaxed);
    machine().gpus
}

/// Counts a launch; the failure of the hardware if this is the one in which it comes.
pub(crate) fn hardware() -> Result<(), Failure> {
    static LAUNCHES: AtomicU64 = AtomicU64::new(0);
    static LOST_AT: LazyLock<Option<u64>> = LazyLock::new(|| machine().lost_at);
    let number = LAUNCHES.fetch_add(1, Ordering::Relaxed) + 1;
    match *LOST_AT {
        Some(lost) if lost == number => {
            let sentence = format!("the emulated GPU was told to fail in launch {number}");
            Err(Code::ECC_UNCORRECTABLE.says(sentence))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_described_or_refused_with_what_was_expected() {
        let read = |name: &'static str, text: &'static str| {
            Machine::read(1, move |asked| (asked == name).then(|| text.to_owned()))
        };
        assert_eq!(Machine::read(1, |_| None), Ok(USUAL));
        assert_eq!(Machine::read(2, |_| None), read("GPUS", "2"));
        assert_eq!(read("GPUS", "2"), Ok(Machine { gpus: 2, ..USUAL }));
        assert_eq!(read("DRIVER", "12.2"), Ok(Machine { driver: 12020, ..USUAL }));
        assert_eq!(read("CAPABILITY", "7.5"), Ok(Machine { capability: (7, 5), ..USUAL }));
        assert_eq!(read("STRICT", "1"), Ok(Machine { is_strict: true, ..USUAL }));
        assert_eq!(read("LOST_AT", "40"), Ok(Machine { lost_at: Some(40), ..USUAL }));
        for (name, text) in [
            ("GPUS", "many"),
            ("GPUS", "9"),
            ("STRICT", "yes"),
            ("DRIVER", "550"),
            ("CAPABILITY", "9.0"),
            ("LOST_AT", "0"),
        ] {
            let sentence = read(name, text).unwrap_err();
            assert!(sentence.starts_with(&format!("WARPSMITH_EMULATOR_{name} is \"{text}\", not ")));
        }
    }
}
