//! `ldmatrix` and `stmatrix` are accesses of shared memory like others, and `mma` orders nothing.

use warpsmith_emulator::FaultKind::Race;

use super::Planted;

#[test]
fn a_tile_written_by_the_warp_needs_a_barrier_before_ldmatrix() {
    let mut planted = Planted::new(
        "st.shared.u32 [%mine], %tid;
         [twin] bar.warp.sync -1;
         and.b32 %b, %lane, 7;
         shl.b32 %b, %b, 4;
         add.u32 %b, %shared, %b;
         ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%c}, [%b];
         st.global.u32 [%global], %c;",
    );
    planted.threads = 32;
    planted.check(&[Race], &["ldmatrix"]);
}

#[test]
fn an_mma_is_no_barrier() {
    let mut planted = Planted::new(
        "st.shared.u32 [%mine], %tid;
         [bug] mov.u32 %c, 0;
         [bug] mma.sync.aligned.m16n8k8.row.col.f16.f16.f16.f16 {%c, %d}, {%c, %c}, {%c}, {%c, %c};
         [twin] bar.warp.sync -1;
         xor.b32 %b, %a, 8;
         add.u32 %b, %shared, %b;
         ld.shared.u32 %c, [%b];
         st.global.u32 [%global], %c;",
    );
    planted.threads = 32;
    planted.check(&[Race], &["ld.shared"]);
}
