//! From a module's statements to a program.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Entry, Global, Param, Program, Space};
use crate::decode::layout::param_offset;
use crate::decode::link::link;
use crate::ptx::syntax::{Function, Module, Variable, VariableSpace};
use crate::ptx::{Mistake, parser};

/// The newest PTX that is understood: newer ones may change what an instruction means.
const NEWEST: (u32, u32) = (8, 8);
/// A kernel takes at most this many bytes of parameters.
const MOST_PARAMS: u64 = 4096;

/// Reads and decodes a text.
pub(super) fn program(text: &str) -> Result<Program, Mistake> {
    let module = parser::parse(text)?;
    if module.version > NEWEST {
        let ((major, minor), (most, least)) = (module.version, NEWEST);
        return Err(Mistake::at(
            1,
            format!("PTX {major}.{minor} is newer than {most}.{least}, the newest that is understood"),
        ));
    }
    let (index, functions) = (variables(&module), functions(&module));
    let kept = module.variables.iter().filter(|v| space(v).is_some());
    let globals = kept.map(|variable| global(variable, &index)).collect::<Result<_, _>>()?;
    let is_kernel = |function: &&(usize, &Function<'_>)| function.1.is_entry && !function.1.scopes.is_empty();
    let numbered: Vec<(usize, &Function<'_>)> = module.functions.iter().enumerate().collect();
    let entries = numbered
        .iter()
        .filter(is_kernel)
        .map(|(at, function)| entry(&module, &index, &functions, *at, function))
        .collect::<Result<_, _>>()?;
    Ok(Program {
        version: module.version,
        target: module.target.clone(),
        entries,
        globals,
        files: module.files.iter().map(|(number, path)| (*number, (*path).to_owned())).collect(),
        text: Arc::from(text),
    })
}

/// The variables that outlive a launch: their places in [`Program::globals`].
pub(crate) fn variables<'a>(module: &Module<'a>) -> HashMap<&'a str, usize> {
    let kept = module.variables.iter().filter(|v| space(v).is_some());
    kept.enumerate().map(|(at, v)| (v.name, at)).collect()
}

/// The functions of a module: their places in its list.
pub(crate) fn functions<'a>(module: &Module<'a>) -> HashMap<&'a str, usize> {
    let mut functions: HashMap<&str, usize> = HashMap::new();
    for (at, function) in module.functions.iter().enumerate() {
        // A declaration may come before the definition, and again after it.
        if !function.scopes.is_empty() || !functions.contains_key(function.name) {
            functions.insert(function.name, at);
        }
    }
    functions
}

fn space(variable: &Variable<'_>) -> Option<Space> {
    match variable.space {
        VariableSpace::Global => Some(Space::Global),
        VariableSpace::Const => Some(Space::Const),
        _ => None,
    }
}

fn global(variable: &Variable<'_>, index: &HashMap<&str, usize>) -> Result<Global, Mistake> {
    if variable.is_extern {
        return Err(Mistake::at(
            variable.line,
            format!("`{}` is defined elsewhere: nothing to link", variable.name),
        ));
    }
    let relocations = variable.addresses.iter().map(|(offset, symbol, addend)| match index.get(symbol) {
        Some(&target) => Ok((*offset, target, *addend)),
        None => {
            Err(Mistake::at(variable.line, format!("`{symbol}` is no variable whose address can be kept")))
        }
    });
    Ok(Global {
        name: variable.name.to_owned(),
        space: space(variable).unwrap_or(Space::Global),
        bytes: variable.bytes.max(1),
        align: variable.align,
        init: variable.init.clone(),
        relocations: relocations.collect::<Result<_, _>>()?,
    })
}

fn entry<'a>(
    module: &Module<'a>,
    globals: &HashMap<&'a str, usize>,
    functions: &HashMap<&'a str, usize>,
    at: usize,
    function: &Function<'a>,
) -> Result<Entry, Mistake> {
    let mut end = 0;
    let mut params = Vec::with_capacity(function.params.len());
    for param in &function.params {
        let offset = param_offset(&mut end, param);
        if end > MOST_PARAMS {
            return Err(Mistake::at(param.line, format!("more than {MOST_PARAMS} bytes of parameters")));
        }
        params.push(Param {
            name: param.name.to_owned(),
            offset: offset as usize,
            bytes: param.bytes as usize,
            align: param.align as usize,
        });
    }
    let linked = link(module, globals, functions, at)?;
    let sizes = linked.code.sizes;
    Ok(Entry {
        name: function.name.to_owned(),
        params,
        param_bytes: end as usize,
        shared_bytes: linked.shared_bytes,
        local_bytes: linked.code.local_bytes,
        registers: sizes.b16 + sizes.b32 + 2 * sizes.b64,
        max_threads: function.max_threads,
        code: Arc::new(linked.code),
    })
}
