//! Keeps what a reader wants to see: the trace of one thread, and what a warp holds whenever it comes to a line.

use super::Observer;
use super::listing::{Listing, Register, is_file};
use super::matrix::{Matrix, matrices};
use super::step::{Access, Step};

/// A thread to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thread {
    /// `blockIdx`.
    pub block: [u32; 3],
    /// Its number in the block: x first, then y, then z.
    pub thread: u32,
}

/// A line to stop at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The source file, by the end of its path.
    pub file: String,
    /// The line.
    pub line: u32,
    /// `blockIdx` of the warp whose arrivals count.
    pub block: [u32; 3],
    /// The warp's place in the block.
    pub warp: u32,
    /// Arrivals to keep; later ones are only counted.
    pub most: usize,
}

/// An instruction that the followed thread has run.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    /// How many instructions its warp has issued.
    pub count: u64,
    /// The instruction: [`Listing::line`].
    pub pc: u32,
    /// What it wrote: registers with this thread's bits.
    pub writes: Vec<(Register, u64)>,
    /// What it touched.
    pub accesses: Vec<Access>,
}

/// A register with what all lanes hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The register.
    pub register: Register,
    /// Its bits in each lane.
    pub lanes: [u64; 32],
}

/// An instruction that a warp ran at the line.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// The instruction: [`Listing::line`].
    pub pc: u32,
    /// The lanes that took part.
    pub lanes: u32,
    /// What it wrote.
    pub writes: Vec<Held>,
    /// What it touched.
    pub accesses: Vec<Access>,
    /// The operands of a product, then its result.
    pub matrices: Vec<Matrix>,
}

/// A warp's stay at the line: from its first instruction there until it runs one of another line.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// How many instructions the warp had issued, the first one here included.
    pub count: u64,
    /// The first instruction's pc.
    pub pc: u32,
    /// The lanes that came.
    pub lanes: u32,
    /// What the line reads, as it was when the warp came.
    pub holds: Vec<Held>,
    /// What it then did.
    pub ran: Vec<Ran>,
}

/// An observer that keeps a trace and arrivals.
#[derive(Debug)]
pub struct Recorder<'l> {
    listing: &'l Listing,
    thread: Option<Thread>,
    stop: Option<Stop>,
    touched: Vec<Access>,
    factors: Vec<Matrix>,
    is_there: bool,
    /// The trace so far.
    pub trace: Vec<Traced>,
    /// The arrivals so far, at most as many as were asked for.
    pub arrivals: Vec<Arrival>,
    /// How often the warp came to the line.
    pub arrived: usize,
}

impl<'l> Recorder<'l> {
    /// A recorder of an entry's launch, which follows a thread, or stops at a line, or both.
    pub fn new(listing: &'l Listing, thread: Option<Thread>, stop: Option<Stop>) -> Recorder<'l> {
        Recorder {
            listing,
            thread,
            stop,
            touched: Vec::new(),
            factors: Vec::new(),
            is_there: false,
            trace: Vec::new(),
            arrivals: Vec::new(),
            arrived: 0,
        }
    }

    fn follows(&self, step: &Step<'_>) -> Option<usize> {
        let thread = self.thread.filter(|t| t.block == step.block() && t.thread / 32 == step.warp())?;
        let lane = (thread.thread % 32) as usize;
        (step.lanes() >> lane & 1 != 0).then_some(lane)
    }

    /// Whether the step is one of the warp that stops, and of the line.
    fn stops(&self, step: &Step<'_>) -> Option<bool> {
        let stop = self.stop.as_ref().filter(|s| s.block == step.block() && s.warp == step.warp())?;
        let source = self.listing.line(step.pc()).and_then(|line| line.source.as_ref());
        Some(source.is_some_and(|at| at.line == stop.line && is_file(&at.file, &stop.file)))
    }

    /// The arrival that goes on, if it is one of those kept.
    fn current(&mut self) -> Option<&mut Arrival> {
        if self.is_there && self.arrived == self.arrivals.len() { self.arrivals.last_mut() } else { None }
    }

    fn arrive(&mut self, step: &Step<'_>) {
        let most = self.stop.as_ref().map_or(0, |stop| stop.most);
        if !self.is_there {
            self.is_there = true;
            self.arrived += 1;
            if self.arrived <= most {
                let (count, pc, lanes) = (step.count(), step.pc(), step.lanes());
                self.arrivals.push(Arrival { count, pc, lanes, holds: Vec::new(), ran: Vec::new() });
            }
        }
        let Some(line) = self.listing.line(step.pc()) else { return };
        let Some(arrival) = self.current() else { return };
        for register in &line.reads {
            let is_known = arrival.holds.iter().any(|held| held.register == *register)
                || arrival.ran.iter().any(|ran| ran.writes.iter().any(|held| held.register == *register));
            if !is_known {
                arrival.holds.push(Held { register: register.clone(), lanes: step.value(register) });
            }
        }
    }
}

impl Observer for Recorder<'_> {
    fn before(&mut self, step: &Step<'_>) {
        let (follows, stops) = (self.follows(step).is_some(), self.stops(step));
        if stops == Some(false) {
            self.is_there = false;
        }
        let is_stop = stops == Some(true);
        if is_stop {
            self.arrive(step);
        }
        let Some(line) = self.listing.line(step.pc()).filter(|_| follows || is_stop) else { return };
        self.touched = step.accesses(&line.opcode);
        self.factors = if is_stop { matrices(step, line, false) } else { Vec::new() };
    }

    fn after(&mut self, step: &Step<'_>) {
        let (follows, is_stop) = (self.follows(step), self.stops(step) == Some(true));
        let Some(line) = self.listing.line(step.pc()).filter(|_| follows.is_some() || is_stop) else {
            return;
        };
        let touched = std::mem::take(&mut self.touched);
        if let Some(lane) = follows {
            let value = |register: &Register| (register.clone(), step.value(register)[lane]);
            self.trace.push(Traced {
                count: step.count(),
                pc: step.pc(),
                writes: line.writes.iter().map(value).collect(),
                accesses: touched.clone(),
            });
        }
        let mut factors = std::mem::take(&mut self.factors);
        factors.extend(matrices(step, line, true));
        if let Some(arrival) = self.current().filter(|_| is_stop) {
            let held = |register: &Register| Held { register: register.clone(), lanes: step.value(register) };
            arrival.ran.push(Ran {
                pc: step.pc(),
                lanes: step.lanes(),
                writes: line.writes.iter().map(held).collect(),
                accesses: touched,
                matrices: factors,
            });
        }
    }
}
