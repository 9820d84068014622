//! Blocks of one grid: nothing orders them but fences and atomics.

use warpsmith_emulator::FaultKind::{OutOfBounds, Race};

use super::Planted;

#[test]
fn neighbouring_blocks_must_not_write_the_same_element() {
    let mut planted = Planted::new(
        "[bug] mad.lo.u32 %b, %block, 63, %tid;
         [twin] mad.lo.u32 %b, %block, 64, %tid;
         mul.wide.u32 %w, %b, 4;
         add.u64 %w, %out, %w;
         st.global.u32 [%w], %b;",
    );
    planted.blocks = 4;
    for sentence in planted.check(&[Race], &["st.global"]) {
        assert!(sentence.contains("of block (") && sentence.contains("end of the kernel"), "{sentence}");
    }
}

#[test]
fn one_element_too_far_is_outside() {
    let mut planted = Planted::new(
        "mad.lo.u32 %b, %block, 64, %tid;
         mul.wide.u32 %w, %b, 4;
         add.u64 %w, %out, %w;
         [bug] st.global.u32 [%w + 4], %b;
         [twin] st.global.u32 [%w], %b;",
    );
    planted.blocks = 4;
    planted.check(&[OutOfBounds], &["st.global"]);
}

#[test]
fn blocks_must_add_with_atomics() {
    let mut planted = Planted::new(
        "setp.ne.u32 %p, %tid, 0;
         @%p bra DONE;
         [bug] ld.global.u32 %c, [%out];
         [bug] add.u32 %c, %c, 5;
         [bug] st.global.u32 [%out], %c;
         [twin] red.global.add.u32 [%out], 5;
         DONE:",
    );
    planted.blocks = 4;
    planted.check(&[Race], &["ld.global", "st.global"]);
}

#[test]
fn an_atomic_of_the_block_does_not_reach_another() {
    let mut planted = Planted::new(
        "[bug] red.relaxed.cta.global.add.u32 [%out], 1;
         [twin] red.relaxed.gpu.global.add.u32 [%out], 1;",
    );
    planted.blocks = 2;
    planted.check(&[Race], &["red"]);
}

/// The last block to count itself adds up what all have written.
const LAST_BLOCK: &str = "add.u32 %b, %block, 1;
     mad.lo.u32 %c, %block, 32, %tid;
     mul.wide.u32 %w, %c, 4;
     add.u64 %w, %out, %w;
     st.global.u32 [%w + 512], %b;
     bar.sync 0;
     setp.ne.u32 %p, %tid, 0;
     @%p bra DONE;
     BEFORE
     atom.global.add.u32 %d, [%out], 1;
     setp.ne.u32 %p, %d, 3;
     @%p bra DONE;
     AFTER
     mov.u32 %c, 0;
     mov.u32 %d, 0;
     AGAIN:
     mul.wide.u32 %w, %d, 4;
     add.u64 %w, %out, %w;
     ld.global.u32 %b, [%w + 512];
     add.u32 %c, %c, %b;
     add.u32 %d, %d, 1;
     setp.lt.u32 %p, %d, 128;
     @%p bra AGAIN;
     st.global.u32 [%out + 4], %c;
     DONE:";

#[test]
fn what_the_last_block_adds_up_needs_a_fence_on_each_side() {
    for (before, after) in [
        ("[twin] fence.acq_rel.gpu;", "fence.acq_rel.gpu;"),
        ("fence.acq_rel.gpu;", "[twin] membar.gl;"),
        ("[bug] membar.cta;\n[twin] membar.gl;", "membar.gl;"),
    ] {
        let body = LAST_BLOCK.replace("BEFORE", before).replace("AFTER", after);
        let mut planted = Planted::new(Box::leak(body.into_boxed_str()));
        (planted.blocks, planted.threads) = (4, 32);
        planted.check(&[Race], &["ld.global"]);
    }
}
