//! What a call that fails hands back: the driver's code, and a sentence that teaches.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use super::code::Code;
use crate::{Fault, FaultKind};

/// A call's failure.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// What was expected, what came, what to do; without the name of the call.
    pub(crate) sentence: String,
}

/// What a call comes to.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Code {
    /// The failure of this code with its sentence.
    pub(crate) fn says(self, sentence: impl Into<String>) -> Failure {
        Failure { code: self, sentence: sentence.into() }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let code = match fault.kind {
            FaultKind::InvalidLaunch => Code::INVALID_VALUE,
            FaultKind::UnsupportedInstruction => Code::ILLEGAL_INSTRUCTION,
            FaultKind::OutOfBounds | FaultKind::UseAfterFree => Code::ILLEGAL_ADDRESS,
            FaultKind::Misaligned => Code::MISALIGNED_ADDRESS,
            FaultKind::Timeout | FaultKind::Deadlock => Code::LAUNCH_TIMEOUT,
            FaultKind::Trap if fault.sentence.contains("assert") => Code::ASSERT,
            _ => Code::LAUNCH_FAILED,
        };
        code.says(fault.to_string())
    }
}

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

static LOGGING: LazyLock<bool> =
    LazyLock::new(|| std::env::var("WARPSMITH_EMULATOR_LOG").is_ok_and(|value| value == "1"));

/// Runs the body of the exported call `call`. Nothing unwinds out of it: a panic is [`Code::UNKNOWN`].
pub(crate) fn enter(call: &str, body: impl FnOnce() -> Outcome) -> Code {
    let outcome = catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|panic| Err(Code::UNKNOWN.says(format!("the emulator panicked: {}", said(&*panic)))));
    match outcome {
        Ok(()) => Code::SUCCESS,
        Err(failure) => {
            note(format!("{call}: {}", failure.sentence));
            failure.code
        }
    }
}

/// Keeps a sentence for [`last`], and prints it if `WARPSMITH_EMULATOR_LOG=1`.
fn note(sentence: String) {
    if *LOGGING {
        eprintln!("warpsmith emulator: {sentence}");
    }
    keep(sentence);
}

/// Keeps a sentence for [`last`], and prints it: no code that a caller sees tells of it.
pub(crate) fn say(sentence: String) {
    eprintln!("warpsmith emulator: {sentence}");
    keep(sentence);
}

fn keep(sentence: String) {
    // A thread that is ending has no place for the sentence any more.
    let _ = LAST.try_with(|last| {
        let mut last = last.borrow_mut();
        // What only repeats the fault of an earlier call says less than that call did.
        let fault = last.split_once(": ").map_or("", |(_, fault)| fault);
        let repeats = !fault.is_empty() && sentence.len() > last.len() && sentence.ends_with(fault);
        if !repeats {
            *last = sentence;
        }
    });
}

/// The sentence of this thread's last failure; empty if none has failed.
pub(crate) fn last() -> String {
    LAST.try_with(|last| last.borrow().clone()).unwrap_or_default()
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_unwinds_out_of_a_call() {
        assert_eq!(enter("cuCall", || Ok(())), Code::SUCCESS);
        assert_eq!(enter("cuCall", || Err(Code::NOT_FOUND.says("no such thing"))), Code::NOT_FOUND);
        assert_eq!(last(), "cuCall: no such thing");
        assert_eq!(enter("cuCall", || panic!("number {}", 7)), Code::UNKNOWN);
        assert_eq!(last(), "cuCall: the emulator panicked: number 7");
        let again = "a kernel failed earlier: the emulator panicked: number 7";
        assert_eq!(enter("cuLaterCall", || Err(Code::UNKNOWN.says(again))), Code::UNKNOWN);
        assert_eq!(last(), "cuCall: the emulator panicked: number 7", "the first to tell of a fault is kept");
    }

    #[test]
    fn each_kind_of_fault_has_the_code_of_the_driver() {
        for (kind, sentence, code) in [
            (FaultKind::OutOfBounds, "", Code::ILLEGAL_ADDRESS),
            (FaultKind::UseAfterFree, "", Code::ILLEGAL_ADDRESS),
            (FaultKind::Misaligned, "", Code::MISALIGNED_ADDRESS),
            (FaultKind::Trap, "trap", Code::LAUNCH_FAILED),
            (FaultKind::Trap, "an assertion failed", Code::ASSERT),
            (FaultKind::Race, "", Code::LAUNCH_FAILED),
            (FaultKind::Deadlock, "", Code::LAUNCH_TIMEOUT),
            (FaultKind::UnsupportedInstruction, "", Code::ILLEGAL_INSTRUCTION),
            (FaultKind::InvalidLaunch, "", Code::INVALID_VALUE),
        ] {
            let fault = Fault {
                kind,
                kernel: "kernel".to_owned(),
                block: [1, 2, 3],
                thread: [4, 5, 6],
                ptx_line: 7,
                instruction: "trap;".to_owned(),
                source: None,
                sentence: sentence.to_owned(),
            };
            let failure = Failure::from(fault);
            assert_eq!(failure.code, code, "{kind:?}");
            assert!(failure.sentence.contains("block (1,2,3) thread (4,5,6)"), "{}", failure.sentence);
        }
    }
}
