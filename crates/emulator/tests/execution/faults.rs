//! Kernels that break a rule, each with the fault that names it.

use warpsmith_emulator::{FaultKind, Schedule};

use crate::machine::Machine;

/// A kernel `k` of one address, over registers enough for every body.
fn kernel(body: &str) -> String {
    format!(
        ".version 8.4\n.target sm_80\n.address_size 64\n.file 1 \"k.cu\"\n.visible .entry k(.param .u64 p)\n{{\n\
         .reg .pred %p<4>;\n.reg .b32 %r<9>;\n.reg .b64 %rd<9>;\n.shared .align 16 .b8 s[256];\n\
         ld.param.u64 %rd1, [p];\nmov.u32 %r1, %tid.x;\nmul.wide.u32 %rd2, %r1, 4;\nadd.s64 %rd3, %rd1, %rd2;\n\
         shl.b32 %r2, %r1, 2;\nmov.u32 %r3, s;\nadd.s32 %r4, %r3, %r2;\n{body}\nret;\n}}\n"
    )
}

/// Runs the body with 64 threads on 64 numbers, and gives the fault's kind, thread and text.
fn fault(body: &str) -> (FaultKind, u32, String) {
    let mut machine = Machine::new(&kernel(body));
    machine.options.max_steps = 200_000;
    let data = machine.put(&[1u32; 64]);
    let fault = machine.launch("k", [1, 1, 1], [64, 1, 1], 0, &[data]).unwrap_err();
    (fault.kind, fault.thread[0], fault.to_string())
}

fn kind(body: &str) -> FaultKind {
    fault(body).0
}

#[test]
fn addresses_that_belong_to_nobody() {
    let (kind, thread, text) = fault(".loc 1 7 3\nst.global.u32 [%rd3+8], %r1;");
    assert_eq!((kind, thread), (FaultKind::OutOfBounds, 62));
    let past = "lies 0 bytes past the end of an allocation of 256 bytes";
    for part in ["k:", "thread (62,0,0)", "k.cu:7", "PTX line 19", "st.global.u32 [%rd3+8], %r1;", past] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(self::kind("mov.u64 %rd4, 0;\nld.global.u32 %r5, [%rd4];"), FaultKind::OutOfBounds);
    assert_eq!(self::kind("st.shared.u32 [%r4+4], %r1;"), FaultKind::OutOfBounds);
    assert_eq!(self::kind("ld.global.u32 %r5, [%rd3+1];"), FaultKind::Misaligned);
    assert_eq!(self::kind("ld.global.v2.u32 {%r5, %r6}, [%rd3];"), FaultKind::Misaligned);
}

#[test]
fn freed_memory() {
    let mut machine = Machine::new(&kernel("ld.global.u32 %r5, [%rd3];"));
    let data = machine.put(&[1u32; 64]);
    machine.memory.free(data).unwrap();
    let fault = machine.launch("k", [1, 1, 1], [64, 1, 1], 0, &[data]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::UseAfterFree);
}

#[test]
fn bytes_that_nobody_wrote() {
    assert_eq!(kind("ld.shared.u32 %r5, [%r4];"), FaultKind::Uninitialised);
    let mut machine = Machine::new(&kernel("ld.global.u32 %r5, [%rd3];"));
    let data = machine.room(256);
    machine.memory.write(data, &[0; 255]).unwrap();
    let fault = machine.launch("k", [1, 1, 1], [64, 1, 1], 0, &[data]).unwrap_err();
    assert_eq!((fault.kind, fault.thread[0]), (FaultKind::Uninitialised, 63));
    machine.options.checks.init = false;
    machine.launch("k", [1, 1, 1], [64, 1, 1], 0, &[data]).unwrap();
}

#[test]
fn a_barrier_too_few() {
    let body = |barrier: &str| {
        format!(
            "st.shared.u32 [%r4], %r1;\n{barrier}\nxor.b32 %r5, %r2, 4;\nadd.s32 %r6, %r3, %r5;\nld.shared.u32 %r7, [%r6];\n\
             st.global.u32 [%rd3], %r7;"
        )
    };
    assert_eq!(kind(&body("")), FaultKind::Race);
    let far = body("").replace("xor.b32 %r5, %r2, 4", "xor.b32 %r5, %r2, 128");
    assert!(matches!(kind(&far), FaultKind::Race | FaultKind::Uninitialised));
    let mut machine = Machine::new(&kernel(&body("bar.sync 0;")));
    let data = machine.put(&[1u32; 64]);
    machine.launch("k", [1, 1, 1], [64, 1, 1], 0, &[data]).unwrap();
    let expected: Vec<u32> = (0..64).map(|i| i ^ 1).collect();
    assert_eq!(machine.get::<u32>(data, 64), expected);
}

#[test]
fn races_between_blocks() {
    let mut machine = Machine::new(&kernel("st.global.u32 [%rd3], %r1;"));
    let data = machine.put(&[1u32; 64]);
    let fault = machine.launch("k", [2, 1, 1], [64, 1, 1], 0, &[data]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Race);
}

#[test]
fn copies_read_before_they_are_waited_for() {
    let body = |wait: &str| {
        format!(
            "cp.async.ca.shared.global [%r4], [%rd3], 4;\ncp.async.commit_group;\n{wait}\nld.shared.u32 %r5, [%r4];\n\
             st.global.u32 [%rd3], %r5;"
        )
    };
    assert_eq!(kind(&body("")), FaultKind::PendingCopy);
    assert_eq!(kind(&body("cp.async.wait_group 1;")), FaultKind::PendingCopy);
    let mut machine = Machine::new(&kernel(&body("cp.async.wait_group 0;")));
    let data = machine.put(&(100..164).collect::<Vec<u32>>());
    machine.launch("k", [1, 1, 1], [64, 1, 1], 0, &[data]).unwrap();
    assert_eq!(machine.get::<u32>(data, 64), (100..164).collect::<Vec<u32>>());
}

#[test]
fn barriers_that_not_all_come_to() {
    let lanes = "setp.lt.u32 %p1, %r1, 7;\n@%p1 bra A;\nbar.sync 0;\nbra B;\nA: bar.sync 0;\nB:";
    assert_eq!(kind(lanes), FaultKind::BarrierDivergence);
    let warps = lanes.replace("7;", "32;");
    assert_eq!(kind(&warps), FaultKind::BarrierDivergence);
    let lacking = "setp.lt.u32 %p1, %r1, 32;\n@%p1 bra A;\nbar.sync 1, 64;\nbra B;\nA: bar.sync 2, 64;\nB:";
    let (kind, _, text) = fault(lacking);
    assert_eq!(kind, FaultKind::Deadlock);
    // Warp 1 is in line 20, warp 0 in line 22.
    for who in ["warp 0 at barrier 2, PTX line 22", "warp 1 at barrier 1, PTX line 20"] {
        assert!(text.contains(who), "{text}");
    }
    let left = "setp.lt.u32 %p1, %r1, 7;\n@%p1 exit;\nbar.sync 0;\nst.global.u32 [%rd3], %r1;";
    let mut machine = Machine::new(&kernel(left));
    let data = machine.put(&[1u32; 64]);
    machine.launch("k", [1, 1, 1], [64, 1, 1], 0, &[data]).unwrap();
}

#[test]
fn loops_traps_and_masks() {
    assert_eq!(kind("A: bra A;"), FaultKind::Timeout);
    assert_eq!(kind("trap;"), FaultKind::Trap);
    assert_eq!(kind("shfl.sync.idx.b32 %r5, %r1, 0, 31, 1;"), FaultKind::Undefined);
    let wait = "setp.lt.u32 %p1, %r1, 7;\n@%p1 bra A;\nbar.warp.sync -1;\nbra B;\nA: bar.warp.sync -1;\nB:";
    let (kind, _, text) = fault(wait);
    assert_eq!(kind, FaultKind::Deadlock);
    for who in [
        "lanes 0xffffff80 wait at PTX line 20 for lanes 0x0000007f",
        "lanes 0x0000007f wait at PTX line 22 for lanes 0xffffff80",
    ] {
        assert!(text.contains(who), "{text}");
    }
}

/// A lane spins on a flag that another lane of its warp, or another warp, sets further down.
#[test]
fn lanes_and_warps_that_wait_through_memory_get_their_turn() {
    for setter in [1, 40] {
        let body = format!(
            "setp.ne.u32 %p1, %r1, 0;\n@%p1 bra S;\nA: ld.volatile.global.u32 %r5, [%rd1];\nsetp.ne.u32 %p2, %r5, 9;\n\
             @%p2 bra A;\nbra E;\nS: setp.ne.u32 %p3, %r1, {setter};\n@%p3 bra E;\nmov.u32 %r6, 9;\n\
             st.volatile.global.u32 [%rd1], %r6;\nE:"
        );
        for schedule in [Schedule::Forward, Schedule::Reverse, Schedule::Seeded(3)] {
            let mut machine = Machine::new(&kernel(&body));
            machine.options.schedule = schedule;
            machine.options.max_steps = 5_000_000;
            let data = machine.put(&[1u32; 64]);
            machine.launch("k", [1, 1, 1], [64, 1, 1], 0, &[data]).unwrap();
        }
    }
}

#[test]
fn launches_that_cannot_be() {
    let mut machine = Machine::new(&kernel(""));
    for (grid, block, shared) in [
        ([0, 1, 1], [1, 1, 1], 0),
        ([1, 1, 1], [1025, 1, 1], 0),
        ([1, 70_000, 1], [1, 1, 1], 0),
        ([1, 1, 1], [1, 1, 1], 300_000),
    ] {
        let fault = machine.launch("k", grid, block, shared, &[0]).unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidLaunch, "{grid:?} {block:?} {shared}");
    }
}
