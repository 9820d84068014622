//! Jobs that are processes, or wait for them: as many at a time as there are cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What `run` makes of each job, in the order of the jobs. They are begun in that order too, so put the longest first.
pub fn map<J: Sync, R: Send>(jobs: &[J], run: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(jobs.len())));
    let workers = thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(number) else { return };
            let result = run(job);
            done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((number, result));
        }
    };
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_stand_in_the_order_of_their_jobs() {
        let jobs: Vec<u64> = (0..50).collect();
        let slow_first = |n: &u64| {
            std::thread::sleep(std::time::Duration::from_micros(50 - n));
            n * n
        };
        assert_eq!(super::map(&jobs, slow_first), jobs.iter().map(|n| n * n).collect::<Vec<_>>());
        assert!(super::map(&[], slow_first).is_empty());
    }
}
