//! Threads of one block: barriers of the block and of the warp, and what is none.

use warpsmith_emulator::FaultKind::{Race, Undefined};

use super::Planted;

#[test]
fn shared_words_of_another_warp_need_a_block_barrier() {
    let planted = Planted::new(
        "st.shared.u32 [%mine], 0;
         bar.sync 0;
         st.shared.u32 [%mine], %tid;
         [twin] bar.sync 0;
         xor.b32 %b, %a, 252;
         add.u32 %b, %shared, %b;
         ld.shared.u32 %c, [%b];
         st.global.u32 [%global], %c;",
    );
    // Whichever comes second is reported: the load, or the store of a warp that comes late.
    for sentence in planted.check(&[Race], &["ld.shared", "st.shared"]) {
        assert!(sentence.contains("__syncthreads"), "{sentence}");
    }
}

#[test]
fn shared_words_of_another_lane_need_a_warp_barrier() {
    let mut planted = Planted::new(
        "st.shared.u32 [%mine], %tid;
         [twin] bar.warp.sync -1;
         xor.b32 %b, %a, 124;
         add.u32 %b, %shared, %b;
         ld.shared.u32 %c, [%b];
         st.global.u32 [%global], %c;",
    );
    planted.threads = 32;
    for sentence in planted.check(&[Race], &["ld.shared"]) {
        assert!(sentence.contains("__syncwarp"), "{sentence}");
    }
}

#[test]
fn lanes_may_store_one_value_to_one_place_but_not_several() {
    let mut planted = Planted::new(
        "mov.u32 %d, 7;
         xor.b32 %b, %lane, 5;
         [bug] shr.u32 %b, %b, 4;
         [twin] shr.u32 %b, %b, 5;
         st.shared.v2.u32 [%shared], {%d, %b};
         bar.warp.sync -1;
         ld.shared.u32 %c, [%shared+4];
         st.global.u32 [%global], %c;",
    );
    planted.threads = 32;
    planted.check(&[Race], &["st.shared.v2"]);
}

#[test]
fn warps_may_not_even_store_the_same_value() {
    let planted = Planted::new(
        "[twin] setp.lt.u32 %p, %tid, 32;
         [twin] @%p st.shared.u32 [%shared], 7;
         [bug] st.shared.u32 [%shared], 7;
         bar.sync 0;
         ld.shared.u32 %c, [%shared];
         st.global.u32 [%global], %c;",
    );
    planted.check(&[Race], &["st.shared"]);
}

#[test]
fn shuffles_and_votes_order_no_memory() {
    let mut planted = Planted::new(
        "st.shared.u32 [%mine], %tid;
         [bug] shfl.sync.bfly.b32 %d, %tid, 1, 31, -1;
         [bug] setp.eq.u32 %p, %tid, 3;
         [bug] vote.sync.ballot.b32 %d, %p, -1;
         [twin] bar.warp.sync -1;
         xor.b32 %b, %a, 4;
         add.u32 %b, %shared, %b;
         ld.shared.u32 %c, [%b];
         st.global.u32 [%global], %c;",
    );
    planted.threads = 32;
    planted.check(&[Race], &["ld.shared"]);
}

#[test]
fn a_tile_must_be_read_by_all_before_it_is_filled_again() {
    let planted = Planted::new(
        "mov.u32 %d, 0;
         mov.u32 %c, 0;
         AGAIN:
         add.u32 %b, %tid, %d;
         st.shared.u32 [%mine], %b;
         bar.sync 0;
         xor.b32 %b, %a, 128;
         add.u32 %b, %shared, %b;
         ld.shared.u32 %b, [%b];
         add.u32 %c, %c, %b;
         [twin] bar.sync 0;
         add.u32 %d, %d, 1;
         setp.lt.u32 %p, %d, 4;
         @%p bra AGAIN;
         st.global.u32 [%global], %c;",
    );
    planted.check(&[Race], &["st.shared", "ld.shared"]);
}

#[test]
fn every_lane_must_be_where_a_shuffle_reads_from() {
    let mut planted = Planted::new(
        "mov.u32 %c, 7;
         setp.lt.u32 %p, %lane, 16;
         [bug] @%p shfl.sync.bfly.b32 %c, %tid, 1, 31, 65280;
         [twin] @%p shfl.sync.bfly.b32 %c, %tid, 1, 31, 65535;
         st.global.u32 [%global], %c;",
    );
    planted.threads = 32;
    planted.check(&[Undefined], &["@%p shfl"]);
}

#[test]
fn a_producer_must_arrive_at_the_barrier_that_its_consumer_waits_at() {
    // Warp 0 fills, warp 1 reads: `bar.arrive` for the one, `bar.sync` for the other, after the stores.
    let planted = Planted::new(
        "st.shared.u32 [%mine], 0;
         bar.sync 0;
         setp.lt.u32 %p, %tid, 32;
         @!%p bra CONSUME;
         [bug] bar.arrive 1, 64;
         st.shared.u32 [%mine], %tid;
         [twin] bar.arrive 1, 64;
         bra DONE;
         CONSUME:
         bar.sync 1, 64;
         ld.shared.u32 %c, [%mine + -128];
         st.global.u32 [%global], %c;
         DONE:",
    );
    planted.check(&[Race], &["ld.shared", "st.shared"]);
}

#[test]
fn a_flag_must_be_released_and_acquired() {
    let planted = Planted::new(
        "setp.eq.u32 %p, %tid, 0;
         setp.eq.u32 %q, %tid, 32;
         @%p st.global.u32 [%out + 512], 41;
         [bug] @%p st.relaxed.cta.global.u32 [%out], 999;
         [twin] @%p st.release.cta.global.u32 [%out], 999;
         @!%q bra DONE;
         AGAIN:
         [bug] ld.relaxed.cta.global.u32 %c, [%out];
         [twin] ld.acquire.cta.global.u32 %c, [%out];
         setp.ne.u32 %p, %c, 999;
         @%p bra AGAIN;
         ld.global.u32 %d, [%out + 512];
         add.u32 %d, %d, 1;
         st.global.u32 [%out + 516], %d;
         DONE:",
    );
    planted.check(&[Race], &["ld.global"]);
}
