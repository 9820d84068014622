//! The options of `cuModuleLoadDataEx`, and the logs that go back through them.

use super::abi::{Host, In, Out, Text};
use super::code::Code;
use super::failure::Outcome;
use super::module::load_with;

/// The logs of one compilation.
#[derive(Debug, Default)]
pub(crate) struct Jit {
    pub(crate) errors: String,
    pub(crate) infos: String,
}

/// `CUjit_option` by number: the one with the elapsed time, the logs' buffers, and their sizes.
const WALL_TIME: u32 = 2;
const INFO_BUFFER: u32 = 3;
const INFO_BYTES: u32 = 4;
const ERROR_BUFFER: u32 = 5;
const ERROR_BYTES: u32 = 6;
/// `CU_JIT_NUM_OPTIONS`.
const OPTIONS: u32 = 34;

/// Where a log goes: the buffer, its bytes, and the option that takes the bytes written.
#[derive(Debug, Default)]
struct Log {
    buffer: usize,
    bytes: usize,
    bytes_index: Option<usize>,
}

/// `cuModuleLoadDataEx`.
pub(crate) fn load(
    module: Out<usize>,
    image: Text,
    count: u32,
    options: In<u32>,
    values: Out<usize>,
) -> Outcome {
    let began = std::time::Instant::now();
    let (mut errors, mut infos, mut time) = (Log::default(), Log::default(), None);
    for index in 0..count as usize {
        let option = options.at(index, "the options")?;
        let value = values.at(index).get("the values of the options")?;
        match option {
            INFO_BUFFER => infos.buffer = value,
            INFO_BYTES => (infos.bytes, infos.bytes_index) = (value & 0xffff_ffff, Some(index)),
            ERROR_BUFFER => errors.buffer = value,
            ERROR_BYTES => (errors.bytes, errors.bytes_index) = (value & 0xffff_ffff, Some(index)),
            WALL_TIME => time = Some(index),
            option if option < OPTIONS => {}
            option => return Err(Code::INVALID_VALUE.says(format!("{option} is no option of the compiler"))),
        }
    }
    let mut jit = Jit::default();
    let loaded = load_with(&module, &image, &mut jit);
    errors.write(&jit.errors, &values)?;
    infos.write(&jit.infos, &values)?;
    if let Some(index) = time {
        let milliseconds = began.elapsed().as_secs_f32() * 1e3;
        values.at(index).set(milliseconds.to_bits() as usize, "the time")?;
    }
    loaded
}

impl Log {
    /// Writes as much of the log as fits, ended by a NUL, and how many bytes that were.
    fn write(&self, log: &str, values: &Out<usize>) -> Outcome {
        let mut written = 0;
        if self.buffer != 0 && self.bytes > 0 {
            let room = self.bytes - 1;
            let cut = (0..=log.len().min(room)).rev().find(|&at| log.is_char_boundary(at)).unwrap_or(0);
            Host(self.buffer).bytes_mut(cut + 1)[..cut].copy_from_slice(&log.as_bytes()[..cut]);
            Host(self.buffer).bytes_mut(cut + 1)[cut] = 0;
            written = cut + 1;
        }
        match self.bytes_index {
            Some(index) => values.at(index).set(written, "the size of the log"),
            None => Ok(()),
        }
    }
}
