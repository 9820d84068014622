//! Failures on demand, for tests of what happens after one.

use std::cell::Cell;

thread_local! {
    static COUNTDOWN: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Lets one allocation of tensors' memory fail, on whatever device this thread asks for it next: after `after` that
/// succeed, once. `None`: none fails, which is the state that every thread starts in. Returns what was left to count,
/// `None` if the failure has happened.
///
/// For tests of programs that must outlive a full memory: the failure is the one that a full device gives.
pub fn fail_allocation(after: Option<u64>) -> Option<u64> {
    COUNTDOWN.replace(after)
}

/// Whether the allocation that asks has to fail.
pub(crate) fn fails_now() -> bool {
    COUNTDOWN.with(|countdown| {
        let left = countdown.get();
        countdown.set(left.and_then(|left| left.checked_sub(1)));
        left == Some(0)
    })
}
