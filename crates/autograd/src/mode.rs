//! Whether ops are remembered: a switch per thread.

use std::cell::Cell;

thread_local! {
    static ENABLED: Cell<bool> = const { Cell::new(true) };
}

/// Whether ops that this thread runs now are put on the tape.
pub fn is_grad_enabled() -> bool {
    ENABLED.get()
}

/// Runs `body` without a tape: evaluation and generation.
pub fn no_grad<R>(body: impl FnOnce() -> R) -> R {
    with_mode(false, body)
}

/// Runs `body` with a tape, also inside [`no_grad`].
pub fn with_grad<R>(body: impl FnOnce() -> R) -> R {
    with_mode(true, body)
}

fn with_mode<R>(enabled: bool, body: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ENABLED.set(self.0);
        }
    }
    let _restore = Restore(ENABLED.replace(enabled));
    body()
}
