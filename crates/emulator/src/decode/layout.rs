//! Where the variables of an entry and of the functions that it calls lie.

use std::collections::HashMap;

use super::names::{Meaning, Names};
use crate::code::Constant;
use crate::ptx::Mistake;
use crate::ptx::syntax::{Function, Variable, VariableSpace};

/// A thread has at most this much local memory, as on the devices.
const MOST_LOCAL: u64 = 512 << 10;
/// A block has at most this much shared memory on any device.
const MOST_SHARED: u64 = 227 << 10;

/// Offsets given out so far.
#[derive(Debug, Default)]
pub(crate) struct Layout<'a> {
    pub(crate) local: u64,
    pub(crate) shared: u64,
    /// Alignment that dynamic shared memory needs.
    pub(crate) dynamic_align: u64,
    placed: HashMap<&'a str, Meaning>,
}

/// Offsets of a device function's results and parameters in local memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frame {
    pub(crate) results: Vec<(u32, u32)>,
    pub(crate) params: Vec<(u32, u32)>,
}

impl<'a> Layout<'a> {
    fn place_local(&mut self, variable: &Variable<'_>) -> Result<u32, Mistake> {
        let at = self.local.next_multiple_of(variable.align.max(1));
        if at.saturating_add(variable.bytes) > MOST_LOCAL {
            return Err(Mistake::at(variable.line, "more than 512 KiB of local memory"));
        }
        self.local = at + variable.bytes;
        Ok(at as u32)
    }

    fn place_shared(&mut self, variable: &Variable<'_>) -> Result<Meaning, Mistake> {
        if variable.is_extern || variable.bytes == 0 {
            self.dynamic_align = self.dynamic_align.max(variable.align).max(16);
            return Ok(Meaning::Constant(Constant::DynamicShared(0)));
        }
        let at = self.shared.next_multiple_of(variable.align.max(1));
        if at.saturating_add(variable.bytes) > MOST_SHARED {
            return Err(Mistake::at(variable.line, "more than 227 KiB of static shared memory"));
        }
        self.shared = at + variable.bytes;
        Ok(Meaning::Shared(at as u32))
    }

    /// The meaning of a `.shared` variable of the module; it takes room once an entry uses it.
    pub(crate) fn module_shared(&mut self, variable: &Variable<'a>) -> Result<Meaning, Mistake> {
        if let Some(&meaning) = self.placed.get(variable.name) {
            return Ok(meaning);
        }
        let meaning = self.place_shared(variable)?;
        self.placed.insert(variable.name, meaning);
        Ok(meaning)
    }

    /// Places the parameters and variables of a function, and gives their names a meaning.
    pub(crate) fn function(
        &mut self,
        function: &Function<'a>,
        names: &mut Names<'a>,
    ) -> Result<Frame, Mistake> {
        let mut frame = Frame::default();
        if function.is_entry {
            let mut end = 0;
            for param in &function.params {
                let at = param_offset(&mut end, param);
                names.define(0, param.name, Meaning::Param(at as u32));
            }
        } else {
            for (list, into) in
                [(&function.results, &mut frame.results), (&function.params, &mut frame.params)]
            {
                for variable in list {
                    let at = self.place_local(variable)?;
                    names.define(0, variable.name, Meaning::Local(at));
                    into.push((at, variable.bytes as u32));
                }
            }
        }
        for (scope, block) in function.scopes.iter().enumerate() {
            for variable in &block.variables {
                let meaning = match variable.space {
                    VariableSpace::Param | VariableSpace::Local => {
                        Meaning::Local(self.place_local(variable)?)
                    }
                    VariableSpace::Shared => self.place_shared(variable)?,
                    VariableSpace::Register => continue,
                    VariableSpace::Global | VariableSpace::Const => {
                        let sentence = "variables inside a function that outlive it are unsupported";
                        return Err(Mistake::at(variable.line, sentence));
                    }
                };
                names.define(scope, variable.name, meaning);
            }
        }
        Ok(frame)
    }
}

/// The offset of the next parameter of an entry; `end` is where the one before ended.
pub(crate) fn param_offset(end: &mut u64, param: &Variable<'_>) -> u64 {
    let at = end.next_multiple_of(param.align.max(1));
    *end = at.saturating_add(param.bytes);
    at
}
