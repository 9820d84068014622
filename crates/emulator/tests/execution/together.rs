//! Blocks that run at the same time must not differ in anything from blocks that run one after another.

use warpsmith_emulator::{Counts, Fault, FaultKind, Schedule};

use crate::machine::Machine;

/// Each block of 32 threads adds 1 to its own 128 bytes; `%limit` says where a block breaks a rule.
const PTX: &str = "
.version 8.0
.target sm_80
.address_size 64
.visible .entry add(.param .u64 out, .param .u64 shift, .param .u64 rounds)
{
  .reg .pred %p;
  .reg .b32 %block, %lane, %at, %value, %left;
  .reg .b64 %out, %shift, %rounds, %place;
  ld.param.u64 %out, [out];
  ld.param.u64 %shift, [shift];
  ld.param.u64 %rounds, [rounds];
  cvt.u32.u64 %left, %rounds;
  mov.u32 %block, %ctaid.x;
  mov.u32 %lane, %tid.x;
  mad.lo.u32 %at, %block, 32, %lane;
  mul.wide.u32 %place, %at, 4;
  add.u64 %place, %place, %out;
again:
  ld.global.u32 %value, [%place];
  add.u32 %value, %value, 1;
  st.global.u32 [%place], %value;
  sub.u32 %left, %left, 1;
  setp.ne.u32 %p, %left, 0;
  @%p bra again;
  // Those blocks that are told to write behind their own bytes do so last.
  setp.lt.u32 %p, %block, 40;
  @%p ret;
  add.u64 %place, %place, %shift;
  st.global.u32 [%place], %value;
  ret;
}
";
const BLOCKS: u32 = 64;

/// The result of a launch, and what memory holds afterwards.
fn run(parallel: bool, schedule: Schedule, shift: i64) -> (Result<Counts, Fault>, Vec<u32>) {
    let mut machine = Machine::new(PTX);
    machine.options.parallel = parallel;
    machine.options.schedule = schedule;
    let start: Vec<u32> = (0..32 * BLOCKS).collect();
    let out = machine.put(&start);
    let ran = machine.launch("add", [BLOCKS, 1, 1], [32, 1, 1], 0, &[out, shift as u64, 20]);
    (ran, machine.get(out, start.len()))
}

#[test]
fn a_sound_launch_counts_and_writes_the_same() {
    for schedule in [Schedule::Forward, Schedule::Reverse, Schedule::Seeded(3)] {
        let (alone, together) = (run(false, schedule, 0), run(true, schedule, 0));
        assert_eq!(together, alone);
        assert!(alone.0.is_ok());
        assert!(alone.1.iter().enumerate().all(|(at, &value)| value == at as u32 + 20));
    }
}

#[test]
fn a_fault_is_the_same_and_leaves_the_same_behind() {
    // Into the bytes of the block before, and far behind the end.
    for (shift, kind) in [(-128, FaultKind::Race), (1 << 19, FaultKind::OutOfBounds)] {
        for schedule in [Schedule::Forward, Schedule::Reverse, Schedule::Seeded(3)] {
            let alone = run(false, schedule, shift);
            assert_eq!(alone.0.as_ref().unwrap_err().kind, kind);
            for _ in 0..5 {
                assert_eq!(run(true, schedule, shift), alone, "{schedule:?}");
            }
        }
    }
}
