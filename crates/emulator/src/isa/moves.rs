//! Moves between registers, packing, and changes of address space.

use super::{Found, unary};
use crate::code::{AccessSpace, Action, Constant};
use crate::decode::decoder::Decoder;
use crate::exec::address::{space_of, window};
use crate::exec::block::{Block, Trouble};
use crate::exec::registers::{File, LANES, Value};
use crate::exec::warp::Warp;
use crate::ptx::syntax::Operand;

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    match d.base {
        "mov" => decode_mov(d),
        "cvta" => decode_cvta(d),
        _ => decode_isspacep(d),
    }
}

fn decode_mov(d: &mut Decoder<'_, '_, '_>) -> Found {
    let file = d.kind(0)?.file();
    if let Operand::Vector(parts) = d.operand(1)? {
        return pack(d, parts, file);
    }
    if let Operand::Vector(parts) = d.operand(0)? {
        return unpack(d, parts, file);
    }
    if let Operand::Name(name, 0) = *d.operand(1)?
        && matches!(name, "%clock" | "%clock64" | "%clock_hi" | "%globaltimer" | "%globaltimer_lo")
    {
        let operand = d.operand(0)?;
        d.out.file = file;
        d.out.args.d = d.target_of(operand, file)?;
        return Ok(Some(Action::Effect(read_clock)));
    }
    match file {
        File::Pred => unary!(d; bool => bool; |a| a),
        File::B16 => unary!(d; u16 => u16; |a| a),
        File::B32 => unary!(d; u32 => u32; |a| a),
        File::B64 => unary!(d; u64 => u64; |a| a),
    }
}

/// Time is counted in instructions that the block has issued, so that it is the same in every run.
fn read_clock(
    block: &mut Block<'_>,
    warp: &mut Warp,
    instr: &crate::code::Instr,
    mask: u32,
) -> Result<(), Trouble> {
    let now = block.counts.instructions;
    warp.registers.put_wide(instr.file, instr.args.d, mask, &[now; LANES]);
    Ok(())
}

/// The file of the elements when `count` of them make up a register of `whole`.
fn part_file(whole: File, count: usize) -> Option<File> {
    match (whole, count) {
        (File::B32, 2) | (File::B64, 4) => Some(File::B16),
        (File::B64, 2) => Some(File::B32),
        _ => None,
    }
}

fn pack<'a>(d: &mut Decoder<'_, '_, 'a>, parts: &[Operand<'a>], whole: File) -> Found {
    let Some(file) = part_file(whole, parts.len()) else { return Ok(None) };
    let mut sources = [u32::MAX; 4];
    for (source, part) in sources.iter_mut().zip(parts) {
        *source = d.source_of(part, file)?;
    }
    [d.out.args.a, d.out.args.b, d.out.args.c, d.out.args.e] = sources;
    let target = d.operand(0)?;
    d.out.args.d = d.target_of(target, whole)?;
    Ok(Some(Action::Pure(match (whole, parts.len()) {
        (File::B32, _) => |r, args, mask| {
            let (a, b) = (u16::of(r, args.a), u16::of(r, args.b));
            let joined = |lane: usize| u32::from(a[lane]) | u32::from(b[lane]) << 16;
            u32::put(r, args.d, mask, std::array::from_fn(joined));
        },
        (_, 2) => |r, args, mask| {
            let (a, b) = (u32::of(r, args.a), u32::of(r, args.b));
            let joined = |lane: usize| u64::from(a[lane]) | u64::from(b[lane]) << 32;
            u64::put(r, args.d, mask, std::array::from_fn(joined));
        },
        _ => |r, args, mask| {
            let rows = [args.a, args.b, args.c, args.e].map(|index| u16::of(r, index));
            let joined = |lane: usize| {
                rows.iter().enumerate().fold(0, |all, (at, row)| all | u64::from(row[lane]) << (16 * at))
            };
            u64::put(r, args.d, mask, std::array::from_fn(joined));
        },
    })))
}

fn unpack<'a>(d: &mut Decoder<'_, '_, 'a>, parts: &[Operand<'a>], whole: File) -> Found {
    let Some(file) = part_file(whole, parts.len()) else { return Ok(None) };
    let source = d.operand(1)?;
    d.out.args.a = d.source_of(source, whole)?;
    let mut targets = [u32::MAX; 4];
    for (target, part) in targets.iter_mut().zip(parts) {
        *target = d.target_of(part, file)?;
    }
    [d.out.args.d, d.out.args.b, d.out.args.c, d.out.args.e] = targets;
    Ok(Some(Action::Pure(match (whole, parts.len()) {
        (File::B32, _) => |r, args, mask| {
            let whole = u32::of(r, args.a);
            u16::put(r, args.d, mask, whole.map(|value| value as u16));
            u16::put(r, args.b, mask, whole.map(|value| (value >> 16) as u16));
        },
        (_, 2) => |r, args, mask| {
            let whole = u64::of(r, args.a);
            u32::put(r, args.d, mask, whole.map(|value| value as u32));
            u32::put(r, args.b, mask, whole.map(|value| (value >> 32) as u32));
        },
        _ => |r, args, mask| {
            let whole = u64::of(r, args.a);
            for (at, target) in [args.d, args.b, args.c, args.e].into_iter().enumerate() {
                u16::put(r, target, mask, whole.map(|value| (value >> (16 * at)) as u16));
            }
        },
    })))
}

fn take_space(d: &mut Decoder<'_, '_, '_>) -> Option<AccessSpace> {
    let names = ["global", "const", "shared", "shared::cta", "local", "param", "param::entry"];
    Some(match d.choice(&names)? {
        "global" | "const" => AccessSpace::Global,
        "shared" | "shared::cta" => AccessSpace::Shared,
        "local" => AccessSpace::Local,
        _ => AccessSpace::Param,
    })
}

fn decode_cvta(d: &mut Decoder<'_, '_, '_>) -> Found {
    let Some(mut space) = take_space(d) else { return Ok(None) };
    if let Operand::Name(name, _) = *d.operand(1)?
        && space == AccessSpace::Param
        && matches!(d.meaning(name)?, crate::decode::names::Meaning::Local(_))
    {
        // Parameters of device functions lie in local memory here.
        space = AccessSpace::Local;
    }
    let is_narrow = d.kind(0)?.file() != File::B64;
    if is_narrow {
        return Ok(None);
    }
    let offset = window(space);
    let offset = if d.flag("to") { offset.wrapping_neg() } else { offset };
    d.out.args.b = d.around.pools.constant(File::B64, Constant::Bits(offset));
    d.unary::<u64, u64>(|r, args, mask| {
        let (a, b) = (u64::of(r, args.a), u64::of(r, args.b));
        u64::put(r, args.d, mask, std::array::from_fn(|lane| a[lane].wrapping_add(b[lane])));
    })
}

fn decode_isspacep(d: &mut Decoder<'_, '_, '_>) -> Found {
    match take_space(d) {
        Some(AccessSpace::Global) => unary!(d; u64 => bool; |a| space_of(a) == AccessSpace::Global),
        Some(AccessSpace::Shared) => unary!(d; u64 => bool; |a| space_of(a) == AccessSpace::Shared),
        Some(AccessSpace::Local) => unary!(d; u64 => bool; |a| space_of(a) == AccessSpace::Local),
        Some(AccessSpace::Param) => unary!(d; u64 => bool; |a| space_of(a) == AccessSpace::Param),
        _ => Ok(None),
    }
}
