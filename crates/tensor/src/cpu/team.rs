//! Work shared by threads that stay awake for the next piece of it.
//!
//! Between two products of a decoding step lie some 20 µs in which one thread works alone. A pool whose idle threads sleep pays
//! for waking them at every product, about 20 µs again: a quarter of a small model's step. So whoever helped once looks
//! out for more for [`PATIENCE`], and then goes back to rayon's pool, which all helpers come from.

use std::any::Any;
use std::cell::Cell;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// How long a helper looks out for work before it goes.
const PATIENCE: Duration = Duration::from_micros(200);
/// Looks without giving way to other threads of this machine: about 2 µs.
const LOOKS: usize = 64;

thread_local! {
    /// Those who help this thread.
    static TEAM: Arc<Team> = Arc::new(Team::new(thread::current().id()));
    /// Whether this thread is at work that is shared already.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` on this thread and, so far as they come in time, on up to `count - 1` others of the current pool. A thread that
/// comes too late finds nothing left to do, and nobody waits for it. Inside of `work` this runs on one thread.
///
/// # Panics
/// If `work` does, on any thread, when all have ended.
pub(super) fn on_threads(count: usize, work: &(dyn Fn() + Sync)) {
    let count = if BUSY.get() { 1 } else { count.min(rayon::current_num_threads()) };
    if count <= 1 {
        return work();
    }
    TEAM.with(Arc::clone).run(count, work);
}

/// The helpers of one thread.
struct Team {
    leader: ThreadId,
    /// How many there are, those included who were asked and have not come yet.
    helpers: AtomicUsize,
    /// How many works there have been.
    works: AtomicUsize,
    /// The work that is open; null if none is.
    open: AtomicPtr<Work<'static>>,
    /// How many look at the open work or are at it: it lives until they are gone.
    inside: AtomicUsize,
}

/// What is to be done, on the leader's stack.
struct Work<'a> {
    run: &'a (dyn Fn() + Sync),
    /// The first panic of a helper.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Team {
    fn new(leader: ThreadId) -> Self {
        let zero = || AtomicUsize::new(0);
        Self { leader, helpers: zero(), works: zero(), open: AtomicPtr::new(null_mut()), inside: zero() }
    }

    fn run(self: Arc<Self>, count: usize, run: &(dyn Fn() + Sync)) {
        let work = Work { run, panic: Mutex::new(None) };
        {
            let _open = Open::new(&self, &work);
            for _ in self.helpers.load(SeqCst)..count - 1 {
                self.helpers.fetch_add(1, SeqCst);
                let team = Arc::clone(&self);
                rayon::spawn(move || team.help());
            }
            busy(run);
        }
        if let Some(panic) = work.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(panic);
        }
    }

    /// A helper's time.
    fn help(&self) {
        // Nobody took it from the leader's own queue: there is no one to help.
        let helps = thread::current().id() != self.leader;
        let mut done = 0;
        loop {
            if helps {
                done = self.look_out(done);
            }
            self.helpers.fetch_sub(1, SeqCst);
            // Work that was opened while we were still counted counts on us.
            if !helps || self.works.load(SeqCst) == done {
                return;
            }
            self.helpers.fetch_add(1, SeqCst);
        }
    }

    /// Takes part in every work behind number `done` until none comes any more; the number of the last.
    fn look_out(&self, mut done: usize) -> usize {
        let (mut since, mut looks) = (Instant::now(), 0);
        loop {
            let works = self.works.load(SeqCst);
            if works != done {
                self.take_part();
                (done, since, looks) = (works, Instant::now(), 0);
            } else if looks < LOOKS {
                spin_loop();
                looks += 1;
            } else if since.elapsed() < PATIENCE {
                thread::yield_now();
            } else {
                return done;
            }
        }
    }

    /// Does what is open, if something still is.
    fn take_part(&self) {
        self.inside.fetch_add(1, SeqCst);
        // SAFETY: the leader puts null here before it ends the work's life, and then waits until nobody is inside. We were
        // inside before we looked.
        if let Some(work) = unsafe { self.open.load(SeqCst).as_ref() }
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| busy(work.run)))
        {
            work.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
        self.inside.fetch_sub(1, SeqCst);
    }
}

/// Runs it with this thread marked as busy.
fn busy(run: &(dyn Fn() + Sync)) {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            BUSY.set(self.0);
        }
    }
    let _before = Before(BUSY.replace(true));
    run();
}

/// A work that helpers may enter; when it is dropped, none is inside any more, also if the leader panics.
struct Open<'a>(&'a Team);

impl<'a> Open<'a> {
    fn new(team: &'a Team, work: &'a Work<'a>) -> Self {
        // The lifetime ends with this value, and with it every use.
        team.open.store(std::ptr::from_ref(work).cast_mut().cast(), SeqCst);
        team.works.fetch_add(1, SeqCst);
        Self(team)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.store(null_mut(), SeqCst);
        let mut looks = 0;
        while self.0.inside.load(SeqCst) != 0 {
            if looks < LOOKS {
                spin_loop()
            } else {
                thread::yield_now()
            }
            looks += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    /// Waits for `n` threads to come, so that they must be different ones.
    fn gather(n: usize) -> HashSet<ThreadId> {
        let seen = Mutex::new(HashSet::new());
        on_threads(n, &|| {
            seen.lock().unwrap().insert(thread::current().id());
            while seen.lock().unwrap().len() < n {
                thread::yield_now();
            }
        });
        seen.into_inner().unwrap()
    }

    #[test]
    fn as_many_threads_as_asked_for_work_at_once() {
        pool(3).install(|| {
            for _ in 0..200 {
                assert_eq!(gather(3).len(), 3);
            }
            // After the helpers have gone, too.
            thread::sleep(4 * PATIENCE);
            assert_eq!(gather(2).len(), 2);
        });
    }

    #[test]
    fn all_that_the_work_wrote_is_there_when_it_ends() {
        pool(4).install(|| {
            for round in 0..2000 {
                let (next, sums) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
                on_threads(4, &|| {
                    loop {
                        let i = next.fetch_add(1, SeqCst);
                        if i >= 7 {
                            break;
                        }
                        sums.lock().unwrap().push(i + round);
                    }
                });
                let mut sums = sums.into_inner().unwrap();
                sums.sort_unstable();
                assert_eq!(sums, (round..round + 7).collect::<Vec<_>>());
            }
        });
    }

    #[test]
    fn inside_of_shared_work_a_thread_works_alone() {
        pool(2).install(|| {
            on_threads(2, &|| {
                let me = thread::current().id();
                on_threads(2, &|| assert_eq!(thread::current().id(), me));
            });
            assert!(!BUSY.get());
        });
    }

    #[test]
    fn a_panic_on_any_thread_comes_out_and_the_team_goes_on() {
        pool(2).install(|| {
            let leader = thread::current().id();
            for panics_here in [true, false] {
                let all = AtomicUsize::new(0);
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    on_threads(2, &|| {
                        all.fetch_add(1, SeqCst);
                        while all.load(SeqCst) < 2 {
                            thread::yield_now();
                        }
                        assert!((thread::current().id() == leader) != panics_here, "by design");
                    });
                }));
                let message = *caught.unwrap_err().downcast::<&str>().unwrap();
                assert_eq!(message, "by design");
                assert!(!BUSY.get());
            }
            assert_eq!(gather(2).len(), 2);
        });
    }

    #[test]
    fn leaders_of_the_same_pool_and_from_outside_do_not_wait_for_each_other() {
        let count = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        let once = AtomicUsize::new(0);
                        on_threads(4, &|| {
                            count.fetch_add(usize::from(once.fetch_add(1, SeqCst) == 0), SeqCst);
                        });
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 6 * 300);
    }
}
