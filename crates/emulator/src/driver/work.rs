//! Work: what a stream runs in its turn, or a capture writes down to run later.

use std::sync::Arc;
use std::time::Instant;

use super::abi::{Host, HostCall};
use super::code::Code;
use super::context::Context;
use super::event::State;
use super::failure::{Failure, Outcome};
use super::graph::Executable;
use super::launch::Kernel;
use super::state::driver;
use crate::{Memory, MemoryError};

/// One piece of work.
#[derive(Debug)]
pub(crate) enum Work {
    /// A kernel's launch.
    Kernel(Kernel),
    /// A copy between host and device, or within the device.
    Copy(Copy),
    /// A pattern written over and over.
    Fill(Fill),
    /// An allocation's end.
    Free(u64),
    /// A call of a host function.
    Call(HostCall),
    /// The moment that an event, by handle, takes.
    Record(usize),
    /// All work of a graph.
    Graph(Arc<Executable>),
    /// Nothing: a wait for work that is done already.
    Wait,
}

/// A copy, from and to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copy {
    pub(crate) target: Side,
    pub(crate) source: Side,
    pub(crate) bytes: usize,
}

/// One end of a copy.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    Device(u64),
    Host(Host),
}

/// A pattern of 1, 2 or 4 bytes, `count` times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fill {
    pub(crate) target: u64,
    pub(crate) pattern: u32,
    pub(crate) width: usize,
    pub(crate) count: usize,
}

impl From<MemoryError> for Failure {
    fn from(error: MemoryError) -> Self {
        let code = match error {
            MemoryError::OutOfMemory { .. } => Code::OUT_OF_MEMORY,
            _ => Code::INVALID_VALUE,
        };
        let advice = match error {
            MemoryError::Empty => "; ask for at least one",
            MemoryError::Freed { .. } => "; it is used, or freed, after its end",
            MemoryError::NotAllocated { .. } => "; is it a host pointer, or of another context?",
            _ => "",
        };
        code.says(format!("{error}{advice}"))
    }
}

impl Work {
    /// Refuses what cannot run, before it is written down.
    pub(crate) fn check(&self, context: &Context) -> Outcome {
        match self {
            Work::Copy(copy) => copy.check(&context.memory()),
            Work::Fill(fill) => fill.check(&context.memory()),
            Work::Free(_) => Err(Code::NOT_SUPPORTED.says(
                "the emulator does not capture allocations and their ends; allocate before the capture, free after it",
            )),
            _ => Ok(()),
        }
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, context: &Context) -> Outcome {
        match self {
            Work::Kernel(kernel) => kernel.run(context),
            Work::Copy(copy) => copy.run(&mut context.memory()),
            Work::Fill(fill) => fill.run(&mut context.memory()),
            Work::Free(address) => Ok(context.memory().free(*address)?),
            Work::Call(call) => {
                call.call();
                Ok(())
            }
            Work::Record(event) => {
                // One that was destroyed since has nobody to ask it.
                if let Ok(event) = driver().events.get_mut(*event) {
                    event.state = State::At(Instant::now());
                }
                Ok(())
            }
            Work::Graph(executable) => executable.run(),
            Work::Wait => Ok(()),
        }
    }

    /// Its `CUgraphNodeType`.
    pub(crate) fn node_type(&self) -> u32 {
        match self {
            Work::Kernel(_) => 0,
            Work::Copy(_) => 1,
            Work::Fill(_) => 2,
            Work::Call(_) => 3,
            Work::Graph(_) => 4,
            Work::Wait => 6,
            Work::Record(_) => 7,
            Work::Free(_) => 11,
        }
    }
}

impl Copy {
    fn check(&self, memory: &Memory) -> Outcome {
        for (side, what) in [(self.target, "target"), (self.source, "source")] {
            match side {
                Side::Device(address) => {
                    memory.find(address, self.bytes as u64).map_err(|error| named(what, error))?;
                }
                Side::Host(Host(0)) => {
                    return Err(Code::INVALID_VALUE.says(format!("the {what} in host memory is null")));
                }
                Side::Host(Host(address)) if memory.allocation_of(address as u64).is_some() => {
                    let sentence =
                        format!("the {what} {address:#x} is device memory where host memory belongs");
                    return Err(Code::INVALID_VALUE.says(sentence));
                }
                Side::Host(_) => {}
            }
        }
        Ok(())
    }

    fn run(&self, memory: &mut Memory) -> Outcome {
        self.check(memory)?;
        match (self.target, self.source) {
            (Side::Device(target), Side::Host(source)) => memory.write(target, source.bytes(self.bytes))?,
            (Side::Host(mut target), Side::Device(source)) => {
                memory.read(source, target.bytes_mut(self.bytes))?
            }
            (Side::Device(target), Side::Device(source)) => memory.copy(target, source, self.bytes as u64)?,
            (Side::Host(mut target), Side::Host(source)) => {
                let bytes = source.bytes(self.bytes).to_vec();
                target.bytes_mut(self.bytes).copy_from_slice(&bytes);
            }
        }
        Ok(())
    }
}

fn named(what: &str, error: MemoryError) -> Failure {
    let failure = Failure::from(error);
    Failure { sentence: format!("the {what}: {}", failure.sentence), ..failure }
}

impl Fill {
    fn bytes(&self) -> Outcome<u64> {
        let bytes = (self.count as u64).checked_mul(self.width as u64);
        bytes.ok_or_else(|| {
            Code::INVALID_VALUE.says(format!("{} values are more than any memory", self.count))
        })
    }

    fn check(&self, memory: &Memory) -> Outcome {
        if !self.target.is_multiple_of(self.width as u64) {
            let (target, width) = (self.target, self.width);
            return Err(Code::INVALID_VALUE
                .says(format!("{target:#x} is not a multiple of the value's {width} bytes")));
        }
        memory.find(self.target, self.bytes()?)?;
        Ok(())
    }

    fn run(&self, memory: &mut Memory) -> Outcome {
        self.check(memory)?;
        memory.fill(self.target, self.bytes()?, &self.pattern.to_le_bytes()[..self.width])?;
        Ok(())
    }
}
