//! `cp.async`: waits, groups, and the barrier behind.

use warpsmith_emulator::FaultKind::{PendingCopy, Race};
use warpsmith_emulator::Schedule;

use super::Planted;

#[test]
fn a_copy_must_be_waited_for() {
    let planted = Planted::new(
        "cp.async.ca.shared.global [%mine], [%global], 4;
         cp.async.commit_group;
         [twin] cp.async.wait_group 0;
         ld.shared.u32 %c, [%mine];
         add.u32 %c, %c, 1;
         st.global.u32 [%global], %c;",
    );
    planted.check(&[PendingCopy], &["ld.shared"]);
}

#[test]
fn copies_of_others_need_a_barrier_behind_the_wait() {
    let planted = Planted::new(
        "cp.async.ca.shared.global [%mine], [%global], 4;
         cp.async.commit_group;
         [bug] bar.sync 0;
         cp.async.wait_group 0;
         [twin] bar.sync 0;
         xor.b32 %b, %a, 252;
         add.u32 %b, %shared, %b;
         ld.shared.u32 %c, [%b];
         st.global.u32 [%global], %c;",
    );
    // If the other warp has waited already, the missing barrier is a race; if not, its copy is still in flight.
    planted.check(&[PendingCopy, Race], &["ld.shared"]);
}

#[test]
fn the_group_that_is_used_must_be_among_those_waited_for() {
    let planted = Planted::new(
        "cp.async.ca.shared.global [%mine], [%global], 4;
         cp.async.commit_group;
         cp.async.ca.shared.global [%mine + 256], [%global + 256], 4;
         cp.async.commit_group;
         [bug] cp.async.wait_group 2;
         [twin] cp.async.wait_group 1;
         ld.shared.u32 %c, [%mine];
         add.u32 %c, %c, 1;
         st.global.u32 [%global], %c;
         cp.async.wait_all;",
    );
    planted.check(&[PendingCopy], &["ld.shared"]);
}

#[test]
fn a_copy_must_not_land_where_others_still_read() {
    let planted = Planted::new(
        "st.shared.u32 [%mine], %tid;
         bar.sync 0;
         xor.b32 %b, %a, 252;
         add.u32 %b, %shared, %b;
         ld.shared.u32 %c, [%b];
         [twin] bar.sync 0;
         cp.async.ca.shared.global [%mine], [%global], 4;
         cp.async.wait_all;
         ld.shared.u32 %d, [%mine];
         add.u32 %c, %c, %d;
         st.global.u32 [%global], %c;",
    );
    planted.check(&[Race], &["cp.async", "ld.shared"]);
}

/// A limit that the README names: hardware may read the source until the wait, so this is wrong and goes unseen.
#[test]
fn a_source_changed_before_the_wait_is_not_seen() {
    let planted = Planted::new(
        "cp.async.ca.shared.global [%mine], [%global], 4;
         st.global.u32 [%global], 0;
         cp.async.wait_all;",
    );
    planted.run(&planted.text("[bug]", "[twin]"), Schedule::Forward).unwrap();
}
