//! The turns of a block's warps, and its barriers.

use super::block::{Block, Trouble};
use super::warp::{Pause, Stop, Warp};
use crate::code::{Action, BarrierKind, Code, Instr, NONE};
use crate::fault::FaultKind;
use crate::launch::Schedule;

/// Barriers of a block.
const BARRIERS: usize = 16;
/// Instructions of one turn. Warps may wait for each other through memory, so none may run for ever.
const TURN: u64 = 50_000;

/// What a warp is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// Waits at this barrier, at this pc.
    Waiting(usize, u32),
    Done,
}

#[derive(Debug, Clone, Copy, Default)]
struct Barrier {
    /// Warps that came, and those of them that wait.
    arrived: u32,
    /// Threads it waits for; without a count, all that are left.
    expected: Option<u32>,
    /// Of all threads that came: for how many the predicate holds, and how many there are.
    holds: u32,
    threads: u32,
}

/// Draws the next warp of those that can run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    schedule: Schedule,
    state: u64,
}

impl Order {
    /// The order within one block.
    pub(crate) fn new(schedule: Schedule, block: u64) -> Order {
        let seed = if let Schedule::Seeded(seed) = schedule { seed } else { 0 };
        Order { schedule, state: seed ^ block.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    /// One of `count` things.
    pub(crate) fn draw(&mut self, count: usize) -> usize {
        match self.schedule {
            Schedule::Forward => 0,
            Schedule::Reverse => count - 1,
            Schedule::Seeded(_) => {
                // SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
                self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut bits = self.state;
                bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
                ((bits ^ bits >> 31) % count as u64) as usize
            }
        }
    }
}

/// Runs the warps of a block to their end.
///
/// # Errors
///
/// The index of the warp that broke a rule, and how.
pub(crate) fn run_warps(
    block: &mut Block<'_>,
    warps: &mut [Warp],
    code: &Code,
    mut order: Order,
    max_steps: u64,
) -> Result<(), (usize, Stop)> {
    let mut states = vec![State::Running; warps.len()];
    let mut barriers = [Barrier::default(); BARRIERS];
    // Warps that ran a whole turn without an end go behind the others.
    let mut tired = vec![0u64; warps.len()];
    loop {
        let least = (0..warps.len()).filter(|&w| states[w] == State::Running).map(|w| tired[w]).min();
        let Some(least) = least else { return finish(&states, code) };
        let is_next = |warp: &usize| states[*warp] == State::Running && tired[*warp] == least;
        let ready: Vec<usize> = (0..warps.len()).filter(is_next).collect();
        let at = ready[order.draw(ready.len())];
        let warp = &mut warps[at];
        match warp.run(block, code, TURN).map_err(|stop| (at, stop))? {
            Pause::Quantum => {
                tired[at] += 1;
                if warp.steps > max_steps {
                    let sentence = format!("a warp issued more than {max_steps} instructions");
                    let trouble = Trouble { kind: FaultKind::Timeout, lane: 0, sentence };
                    return Err((at, Stop { trouble, pc: u32::MAX }));
                }
            }
            Pause::Done => states[at] = State::Done,
            Pause::Barrier(pc) => {
                let number = arrive(block, warp, &mut barriers, &code.instrs[pc as usize])
                    .map_err(|trouble| (at, Stop { trouble, pc }))?;
                states[at] = State::Waiting(number, pc);
                check_same_place(&states, at, code)?;
                if matches!(code.instrs[pc as usize].action, Action::Barrier(BarrierKind::Arrive)) {
                    warp.release();
                    states[at] = State::Running;
                }
            }
        }
        for number in 0..BARRIERS {
            complete(block, &mut barriers[number], number, warps, &mut states, code);
        }
    }
}

/// Notes that a warp came to a barrier; returns the barrier's number.
fn arrive(
    block: &mut Block<'_>,
    warp: &Warp,
    barriers: &mut [Barrier; BARRIERS],
    instr: &Instr,
) -> Result<usize, Trouble> {
    block.counts.barriers += 1;
    let lane = warp.live.trailing_zeros() as usize & 31;
    let number = warp.registers.b32[instr.args.a as usize][lane] as usize;
    let undefined = |sentence: String| Trouble { kind: FaultKind::Undefined, lane, sentence };
    let Some(barrier) = barriers.get_mut(number) else {
        return Err(undefined(format!("barrier {number}: a block has barriers 0 to {}", BARRIERS - 1)));
    };
    let expected = (instr.args.b != NONE).then(|| warp.registers.b32[instr.args.b as usize][lane]);
    if let Some(count) = expected.filter(|count| *count == 0 || count % 32 != 0) {
        return Err(undefined(format!("a barrier for {count} threads: the count must be a multiple of 32")));
    }
    if barrier.arrived > 0 && barrier.expected != expected {
        let say =
            |count: Option<u32>| count.map_or("all threads".to_owned(), |count| format!("{count} threads"));
        let (one, other) = (say(barrier.expected), say(expected));
        let sentence = format!("barrier {number} was to wait for {one} and is now to wait for {other}");
        return Err(Trouble { kind: FaultKind::BarrierDivergence, lane, sentence });
    }
    barrier.expected = expected;
    if expected.is_some() {
        block.watch_arrival(number, warp);
    }
    barrier.arrived += 1;
    barrier.threads += warp.live.count_ones();
    if instr.args.c != NONE {
        barrier.holds += (warp.registers.pred(instr.args.c) & warp.live).count_ones();
    }
    Ok(number)
}

/// Warps that wait for the whole block must wait at the same place.
fn check_same_place(states: &[State], at: usize, code: &Code) -> Result<(), (usize, Stop)> {
    let State::Waiting(number, pc) = states[at] else { return Ok(()) };
    let is_whole = |pc: u32| code.instrs[pc as usize].args.b == NONE;
    if !is_whole(pc) {
        return Ok(());
    }
    for (other, state) in states.iter().enumerate() {
        if let State::Waiting(same, elsewhere) = *state
            && same == number
            && elsewhere != pc
        {
            let line = code.instrs[elsewhere as usize].line;
            let sentence = format!(
                "warp {at} comes to barrier {number} here while warp {other} waits for it at PTX line {line}"
            );
            let trouble = Trouble { kind: FaultKind::BarrierDivergence, lane: 0, sentence };
            return Err((at, Stop { trouble, pc }));
        }
    }
    Ok(())
}

/// Opens a barrier that has all it waits for.
fn complete(
    block: &mut Block<'_>,
    barrier: &mut Barrier,
    number: usize,
    warps: &mut [Warp],
    states: &mut [State],
    code: &Code,
) {
    let left = states.iter().filter(|state| **state != State::Done).count() as u32;
    let wanted = barrier.expected.map_or(left, |threads| threads / 32);
    if barrier.arrived == 0 || barrier.arrived < wanted {
        return;
    }
    let mut waiting = Vec::new();
    for (warp, state) in warps.iter_mut().zip(states) {
        let State::Waiting(_, pc) = *state else { continue };
        if *state != State::Waiting(number, pc) {
            continue;
        }
        let instr = &code.instrs[pc as usize];
        if let Action::Barrier(kind) = instr.action {
            reduce(warp, kind, instr.args.d, barrier);
        }
        warp.release();
        *state = State::Running;
        waiting.push((warp.index, warp.live));
    }
    if barrier.expected.is_some() {
        block.watch_opening(number, &waiting);
    } else {
        block.watch_barrier();
    }
    *barrier = Barrier::default();
}

fn reduce(warp: &mut Warp, kind: BarrierKind, target: u32, barrier: &Barrier) {
    use super::registers::Value;
    let (registers, live) = (&mut warp.registers, warp.live);
    match kind {
        BarrierKind::Sync | BarrierKind::Arrive => {}
        BarrierKind::CountTrue => u32::put(registers, target, live, [barrier.holds; 32]),
        BarrierKind::All => bool::put(registers, target, live, [barrier.holds == barrier.threads; 32]),
        BarrierKind::Any => bool::put(registers, target, live, [barrier.holds > 0; 32]),
    }
}

/// Nobody can run: either all have left, or those that are left wait for ever.
fn finish(states: &[State], code: &Code) -> Result<(), (usize, Stop)> {
    let waits =
        |state: &State| if let State::Waiting(number, pc) = *state { Some((number, pc)) } else { None };
    let Some(first) = states.iter().position(|state| waits(state).is_some()) else { return Ok(()) };
    let who: Vec<String> = states
        .iter()
        .enumerate()
        .filter_map(|(warp, state)| waits(state).map(|(number, pc)| (warp, number, pc)))
        .map(|(warp, number, pc)| {
            format!("warp {warp} at barrier {number}, PTX line {}", code.instrs[pc as usize].line)
        })
        .collect();
    let sentence = format!("nobody can go on: {}", who.join("; "));
    let pc = waits(&states[first]).map_or(0, |(_, pc)| pc);
    let trouble = Trouble { kind: FaultKind::Deadlock, lane: 0, sentence };
    Err((first, Stop { trouble, pc }))
}
