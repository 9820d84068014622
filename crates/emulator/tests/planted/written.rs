//! Bytes that nobody has written.

use warpsmith_emulator::FaultKind::Uninitialised;

use super::{Planted, WORDS};

#[test]
fn shared_memory_begins_unwritten() {
    let mut planted = Planted::new(
        "setp.lt.u32 %p, %tid, 31;
         [bug] @%p st.shared.u32 [%mine], %tid;
         [twin] st.shared.u32 [%mine], %tid;
         bar.sync 0;
         ld.shared.u32 %c, [%mine];
         st.global.u32 [%global], %c;",
    );
    planted.threads = 32;
    planted.check(&[Uninitialised], &["ld.shared"]);
}

#[test]
fn shared_memory_does_not_outlive_its_block() {
    let mut planted = Planted::new(
        "setp.eq.u32 %p, %block, 0;
         [bug] @%p st.shared.u32 [%mine], %tid;
         [twin] st.shared.u32 [%mine], %tid;
         ld.shared.u32 %c, [%mine];
         mad.lo.u32 %b, %block, 32, %tid;
         mul.wide.u32 %w, %b, 4;
         add.u64 %w, %out, %w;
         st.global.u32 [%w], %c;",
    );
    (planted.blocks, planted.threads) = (2, 32);
    planted.check(&[Uninitialised], &["ld.shared"]);
}

#[test]
fn global_memory_that_the_host_has_not_written_is_unwritten() {
    let mut planted = Planted::new(
        "[bug] ld.global.u32 %c, [%global + 512];
         [twin] ld.global.u32 %c, [%global + 384];
         st.global.u32 [%global], %c;",
    );
    (planted.threads, planted.filled) = (32, 4 * WORDS / 2);
    planted.check(&[Uninitialised], &["ld.global"]);
}
