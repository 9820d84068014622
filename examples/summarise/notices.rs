//! Made-up notices: a greeting, what happened, and two sentences about that. The summary says what happened, in few words.

use warpsmith::prelude::*;

const THINGS: [&str; 6] = ["lift", "library", "bridge", "pool", "garden", "station"];
const STATES: [(&str, &str); 4] =
    [("closed", "closes"), ("open", "opens"), ("repaired", "is repaired"), ("painted", "is painted")];
const DAYS: [&str; 5] = ["monday", "tuesday", "wednesday", "thursday", "friday"];
const GREETINGS: [&str; 4] =
    ["Dear neighbours.", "Good morning to all.", "A word from the office.", "Please read this."];

/// So many notices with their summaries; the same each time.
pub fn notices(count: usize) -> Vec<(String, String)> {
    let drawn = Rng::new(Seed(11)).uniform(5 * count);
    let notice = |u: &[f32]| {
        let of = |u: f32, n: usize| (u * n as f32) as usize;
        let (thing, (state, verb)) = (THINGS[of(u[0], 6)], STATES[of(u[1], 4)]);
        let (day, other) = (DAYS[of(u[2], 5)], DAYS[of(u[4], 5)]);
        let text = format!(
            "{} On {day} the {thing} will be {state}. We are sorry if the {thing} was missed on {other}. Until {day} nothing changes.",
            GREETINGS[of(u[3], 4)]
        );
        (text, format!("{thing} {verb} {day}"))
    };
    drawn.chunks(5).map(notice).collect()
}
