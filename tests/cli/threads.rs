//! The number of threads changes the time that a run takes, and nothing else.

use super::{Place, state_at, succeeded, tiny};

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let place = Place::new();
    let states = ["1", "2", "4"].map(|threads| {
        let out = format!("run{threads}");
        let mut command = place.command();
        command.env("RAYON_NUM_THREADS", threads).args(tiny(&out));
        command.args(["--max_iters", "12", "--dropout", "0.1"]);
        succeeded(&command.output().expect("the command starts"));
        state_at(&place.path(&out), 12)
    });
    assert!(states[0] == states[1], "two threads differ from one");
    assert!(states[0] == states[2], "four threads differ from one");
}
