//! `vprintf`, by which a kernel's `printf` reaches the driver: CUDA C++ Programming Guide, "Formatted Output".

use std::io::Write;

use super::Found;
use super::control::slots;
use crate::code::{AccessSpace, Action, Extra, Instr};
use crate::decode::decoder::Decoder;
use crate::exec::access::{parts, value_of};
use crate::exec::block::{Block, Trouble};
use crate::exec::registers::{LANES, lanes};
use crate::exec::warp::Warp;
use crate::printf::{Ask, Given, LONGEST, formatted};
use crate::ptx::syntax::Operand;

/// `vprintf(format, arguments)`, which gives the number of arguments.
pub(super) fn decode<'a>(
    d: &mut Decoder<'_, '_, 'a>,
    arguments: &[Operand<'a>],
    results: &[Operand<'a>],
) -> Found {
    let mut list = slots(d, arguments, 2)?;
    list.extend(slots(d, results, 1)?);
    d.out.list = list.into();
    d.out.extra = Extra::Print;
    Ok(Some(Action::Effect(print)))
}

fn print(block: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    for lane in lanes(mask) {
        let mut pointer = |slot: u32| -> Result<u64, Trouble> {
            Ok(value_of(&block.read(warp, AccessSpace::Local, slot.into(), 8, lane)?[..8]))
        };
        let (format, arguments) = (pointer(instr.list[0])?, pointer(instr.list[1])?);
        let format = string(block, warp, format, lane)?;
        let mut at = arguments;
        let (text, count) = formatted(&format, |ask| match ask {
            Ask::Word(bytes) => {
                at = at.next_multiple_of(bytes);
                let value = generic(block, warp, at, bytes, lane)?;
                at += bytes;
                Ok(Given::Word(value))
            }
            Ask::String(from) => Ok(Given::String(string(block, warp, from, lane)?)),
        })?;
        // As with a printf of the host: nobody is told if the reader of the output has gone.
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(&text).and_then(|()| out.flush());
        block.write(warp, AccessSpace::Local, instr.list[2].into(), &count.to_le_bytes(), lane)?;
    }
    Ok(())
}

/// Some bytes at a generic address.
fn generic(
    block: &mut Block<'_>,
    warp: &Warp,
    address: u64,
    bytes: u64,
    lane: usize,
) -> Result<u64, Trouble> {
    let mut at = [0; LANES];
    at[lane] = address;
    let space = parts(AccessSpace::Generic, 1 << lane, &mut at).into_iter().find(|(_, part)| *part != 0);
    let space = space.map_or(AccessSpace::Global, |(space, _)| space);
    Ok(value_of(&block.read(warp, space, at[lane], bytes, lane)?[..bytes as usize]))
}

/// The bytes before the first zero.
fn string(block: &mut Block<'_>, warp: &Warp, address: u64, lane: usize) -> Result<Vec<u8>, Trouble> {
    let mut found = Vec::new();
    while found.len() < LONGEST {
        match generic(block, warp, address + found.len() as u64, 1, lane)? {
            0 => break,
            byte => found.push(byte as u8),
        }
    }
    Ok(found)
}
