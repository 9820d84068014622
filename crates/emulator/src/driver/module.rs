//! Modules: a PTX text, parsed, with its variables in the memory of a context.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::abi::{Out, Text};
use super::code::Code;
use super::context::Context;
use super::device::PTX_VERSION;
use super::failure::{Failure, Outcome};
use super::function::Function;
use super::handle::Object;
use super::jit::Jit;
use super::machine::machine;
use super::state::{Driver, driver, lock};
use crate::{Memory, Program};

/// A loaded module.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) handle: usize,
    pub(crate) context: Arc<Context>,
    pub(crate) program: Program,
    /// The address of each of [`Program::globals`].
    pub(crate) globals: Vec<u64>,
    /// The handles of the functions that were asked for, by entry.
    functions: Mutex<HashMap<usize, usize>>,
}

impl Object for Arc<Module> {
    const TAG: usize = 2;
}

impl Driver {
    /// The modules of a context.
    pub(crate) fn modules_of(&self, context: usize) -> impl Iterator<Item = &Module> {
        let modules = self.modules.iter().map(|(_, module)| &**module);
        modules.filter(move |module| module.context.handle == context)
    }

    /// The handle of a module's entry, the same each time.
    fn function_of(&mut self, module: &Arc<Module>, entry: usize) -> usize {
        let functions = &mut self.functions;
        *lock(&module.functions)
            .entry(entry)
            .or_insert_with(|| functions.insert(Arc::new(Function::new(module, entry))))
    }
}

/// The first bytes of a compiled image: an ELF file, a fat binary, the table of a fat binary.
const BINARIES: [[u8; 4]; 3] = [*b"\x7fELF", 0xba55_ed50_u32.to_le_bytes(), 0x4662_43b1_u32.to_le_bytes()];

/// `cuModuleLoadData`.
pub(crate) fn load(module: Out<usize>, image: Text) -> Outcome {
    load_with(&module, &image, &mut Jit::default())
}

/// Loads an image, and leaves the compiler's log in `jit`.
pub(crate) fn load_with(module: &Out<usize>, image: &Text, jit: &mut Jit) -> Outcome {
    let place = module.place("the module")?;
    if BINARIES.contains(&image.head::<4>("the image")?) {
        let sentence = "the image is machine code; the emulated GPU runs PTX: load the .ptx text";
        return Err(Code::NO_BINARY_FOR_GPU.says(sentence));
    }
    place.put(load_text(image.read("the PTX")?, jit)?);
    Ok(())
}

/// `cuModuleLoad`.
pub(crate) fn load_file(module: Out<usize>, path: Text) -> Outcome {
    let place = module.place("the module")?;
    let path = path.read("the path")?;
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Code::FILE_NOT_FOUND.says(format!("{path}: {error}")),
        _ => Code::INVALID_IMAGE.says(format!("{path}: {error}")),
    })?;
    let loaded = load_text(&text, &mut Jit::default());
    place.put(
        loaded.map_err(|failure| Failure { sentence: format!("{path}: {}", failure.sentence), ..failure })?,
    );
    Ok(())
}

fn load_text(text: &str, jit: &mut Jit) -> Outcome<usize> {
    let mut driver = driver();
    let context = driver.current()?;
    driver.refuse_while_capturing("cuModuleLoadData")?;
    let program = Program::parse(text).map_err(|error| {
        jit.errors = error.to_string();
        let newer = declared_version(text).is_some_and(|version| version > PTX_VERSION);
        let code = if newer { Code::UNSUPPORTED_PTX_VERSION } else { Code::INVALID_PTX };
        code.says(jit.errors.clone())
    })?;
    check_target(&program).inspect_err(|failure| jit.errors.clone_from(&failure.sentence))?;
    let globals = place_globals(&program, &mut context.memory())?;
    jit.infos = format!("{} kernels, {} variables", program.entries.len(), program.globals.len());
    let functions = Mutex::default();
    Ok(driver.modules.insert_with(|handle| Arc::new(Module { handle, context, program, globals, functions })))
}

/// The `.version` of a PTX text.
fn declared_version(text: &str) -> Option<(u32, u32)> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(".version"))?;
    let (major, minor) = line.trim().split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Refuses PTX of a newer version than the driver's, or for a newer device.
fn check_target(program: &Program) -> Outcome {
    let ((major, minor), (newest, newest_minor)) = (program.version, PTX_VERSION);
    if program.version > PTX_VERSION {
        return Err(Code::UNSUPPORTED_PTX_VERSION.says(format!(
            "the PTX is of version {major}.{minor}; this driver reads up to {newest}.{newest_minor}: compile it with an older toolkit"
        )));
    }
    let digits: String = program.target.chars().skip_while(|c| !c.is_ascii_digit()).collect();
    let number = digits.trim_end_matches(|c: char| !c.is_ascii_digit());
    let (major, minor) = machine().capability;
    let own = major * 10 + minor;
    if number.parse::<u32>().is_ok_and(|target| target > own) || number.len() < digits.len() {
        let target = &program.target;
        return Err(Code::INVALID_PTX.says(format!(
            "the PTX is for {target}; the emulated GPU is sm_{own}: compile it for compute_{own} or older"
        )));
    }
    Ok(())
}

/// Allocates the variables and writes their first values.
fn place_globals(program: &Program, memory: &mut Memory) -> Outcome<Vec<u64>> {
    let mut places = Vec::with_capacity(program.globals.len());
    let placed = (|| {
        for global in &program.globals {
            places.push(memory.alloc(global.bytes.max(1))?);
        }
        for (global, &place) in program.globals.iter().zip(&places) {
            memory.fill(place, global.bytes, &[0])?;
            memory.write(place, &global.init)?;
            for &(offset, target, addend) in &global.relocations {
                let base = places.get(target).copied().unwrap_or_default();
                memory.write(place + offset as u64, &base.wrapping_add(addend).to_le_bytes())?;
            }
        }
        Ok(())
    })();
    placed.map_err(|error: crate::MemoryError| {
        free_globals(&places, memory);
        Failure { sentence: format!("a variable of the module does not fit: {error}"), ..error.into() }
    })?;
    Ok(places)
}

fn free_globals(places: &[u64], memory: &mut Memory) {
    for &place in places {
        // A variable that the program freed itself has already been reported to it.
        let _ = memory.free(place);
    }
}

/// `cuModuleUnload`.
pub(crate) fn unload(module: usize) -> Outcome {
    let mut driver = driver();
    let context = Arc::clone(&driver.modules.get(module)?.context);
    context.sound()?;
    drop(driver);
    context.settle()?;
    driver = super::state::driver();
    let module = driver.modules.remove(module)?;
    driver.functions.drop_if(|function| Arc::ptr_eq(&function.module, &module));
    drop(driver);
    free_globals(&module.globals, &mut module.context.memory());
    Ok(())
}

/// `cuModuleGetFunction`.
pub(crate) fn get_function(function: Out<usize>, module: usize, name: Text) -> Outcome {
    let place = function.place("the function")?;
    let name = name.read("the name")?;
    let mut driver = driver();
    let module = Arc::clone(driver.modules.get(module)?);
    module.context.sound()?;
    let entry = module.program.entry(name).ok_or_else(|| {
        let has: Vec<&str> = module.program.entries.iter().map(|entry| entry.name.as_str()).collect();
        Code::NOT_FOUND.says(format!("the module has no kernel {name:?}; it has {}", listed(&has)))
    })?;
    place.put(driver.function_of(&module, entry));
    Ok(())
}

fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    match names {
        [] => "none".to_owned(),
        few if few.len() <= SHOWN => few.join(", "),
        many => format!("{} and {} more", many[..SHOWN].join(", "), many.len() - SHOWN),
    }
}

/// `cuModuleGetGlobal_v2`.
pub(crate) fn get_global(address: Out<u64>, bytes: Out<usize>, module: usize, name: Text) -> Outcome {
    let name = name.read("the name")?;
    let driver = driver();
    let module = driver.modules.get(module)?;
    module.context.sound()?;
    let globals = &module.program.globals;
    let found = globals.iter().position(|global| global.name == name).ok_or_else(|| {
        let has: Vec<&str> = globals.iter().map(|global| global.name.as_str()).collect();
        Code::NOT_FOUND.says(format!("the module has no variable {name:?}; it has {}", listed(&has)))
    })?;
    address.offer(module.globals[found]);
    bytes.offer(globals[found].bytes as usize);
    Ok(())
}

/// `cuModuleGetFunctionCount`.
pub(crate) fn function_count(count: Out<u32>, module: usize) -> Outcome {
    count.set(driver().modules.get(module)?.program.entries.len() as u32, "the count")
}

/// `cuModuleEnumerateFunctions`.
pub(crate) fn enumerate_functions(functions: Out<usize>, count: u32, module: usize) -> Outcome {
    let mut driver = driver();
    let module = Arc::clone(driver.modules.get(module)?);
    let entries = module.program.entries.len().min(count as usize);
    let handles: Vec<usize> = (0..entries).map(|entry| driver.function_of(&module, entry)).collect();
    functions.fill(handles, "the functions")
}

/// `cuModuleGetLoadingMode`: `CU_MODULE_EAGER_LOADING`.
pub(crate) fn loading_mode(mode: Out<u32>) -> Outcome {
    mode.set(1, "the mode")
}
