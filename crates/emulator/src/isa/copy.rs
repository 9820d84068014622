//! `cp.async`: copies from global to shared memory that are waited for.

use super::Found;
use crate::code::{AccessSpace, Action, Class, Instr, NONE};
use crate::decode::decoder::Decoder;
use crate::exec::access::check_alignment;
use crate::exec::address::addresses;
use crate::exec::block::{Block, Trouble};
use crate::exec::registers::{LANES, Value, lanes};
use crate::exec::traffic::record;
use crate::exec::warp::Warp;
use crate::ptx::syntax::Operand;

/// In `args.mode`: wait for every copy, not for groups.
const ALL: u32 = u32::MAX;

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    d.out.class = Class::Memory;
    if !d.flag("async") {
        return Ok(None);
    }
    if d.flag("commit_group") {
        return Ok(Some(Action::Effect(commit)));
    }
    if d.flag("wait_all") {
        d.out.args.mode = ALL;
        return Ok(Some(Action::Effect(wait)));
    }
    if d.flag("wait_group") {
        d.out.args.mode = u32::try_from(d.immediate(0)?).unwrap_or(ALL - 1).min(ALL - 1);
        return Ok(Some(Action::Effect(wait)));
    }
    let has_spaces = d.choice(&["shared", "shared::cta"]).is_some() && d.flag("global");
    let Some(cache) = d.choice(&["ca", "cg"]).filter(|_| has_spaces) else { return Ok(None) };
    d.flags_beginning(&["L2::"]);
    let size = d.immediate(2)?;
    let allowed: &[u64] = if cache == "ca" { &[4, 8, 16] } else { &[16] };
    if !allowed.contains(&size) {
        return d.mistake(format!("cp.async.{cache} copies {allowed:?} bytes, not {size}"));
    }
    let (&Operand::Address(target, target_offset), &Operand::Address(source, source_offset)) =
        (d.operand(0)?, d.operand(1)?)
    else {
        return d.mistake("cp.async takes two addresses");
    };
    d.out.access.space = AccessSpace::Shared;
    let (index, is_wide, offset) = d.address_of(target, target_offset)?;
    (d.out.args.a, d.out.access.has_wide_address, d.out.access.offset) = (index, is_wide, offset);
    let (index, is_wide, offset) = d.address_of(source, source_offset)?;
    if !is_wide {
        return d.mistake("the source of cp.async is a global address of 64 bits");
    }
    d.out.args.b = index;
    // The offset of the source, which has no field of its own.
    d.out.list = [offset as u32, (offset >> 32) as u32].into();
    d.out.access.width = size as u8;
    if d.operands() > 3 && !has_cache_policy(d)? {
        d.out.args.c = d.source::<u32>(3)?;
    }
    Ok(Some(Action::Effect(begin)))
}

/// A fourth operand of 64 bits is a cache policy, which changes nothing here.
fn has_cache_policy(d: &mut Decoder<'_, '_, '_>) -> Result<bool, crate::ptx::Mistake> {
    let (file, _) = d.source_any(3, crate::exec::registers::File::B32)?;
    Ok(file == crate::exec::registers::File::B64)
}

fn begin(block: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    let (access, args) = (&instr.access, &instr.args);
    let bytes = u64::from(access.width);
    let targets = addresses(&warp.registers, args.a, access).map(Block::shared_offset);
    let offset = u64::from(instr.list[0]) | u64::from(instr.list[1]) << 32;
    let sources = warp.registers.b64[args.b as usize].map(|address| address.wrapping_add(offset));
    let sizes = if args.c == NONE { [access.width.into(); LANES] } else { u32::of(&warp.registers, args.c) };
    check_alignment(&targets, mask, bytes)?;
    check_alignment(&sources, mask, bytes)?;
    let mut data = [[0; 16]; LANES];
    let mut whole = 0;
    for lane in lanes(mask) {
        let size = u64::from(sizes[lane]);
        if size > bytes {
            let sentence = format!("cp.async of {bytes} bytes is told to read {size}");
            return Err(Trouble { kind: crate::FaultKind::Undefined, lane, sentence });
        }
        if size == bytes {
            whole |= 1 << lane;
            data[lane] = block.read(warp, AccessSpace::Global, sources[lane], bytes, lane)?;
            continue;
        }
        // The rest of the bytes is filled with zeros.
        for at in 0..size {
            let byte = block.read(warp, AccessSpace::Global, sources[lane] + at, 1, lane)?;
            data[lane][at as usize] = byte[0];
        }
        block.counts.global_read_bytes += size;
    }
    record(&mut block.counts, AccessSpace::Global, &sources, whole, bytes, false);
    record(&mut block.counts, AccessSpace::Shared, &targets, mask, bytes, true);
    block.watch(warp, AccessSpace::Global, &sources, whole, bytes, &[], instr)?;
    for lane in lanes(mask) {
        warp.copies.begin(block, lane, targets[lane], access.width, data[lane])?;
    }
    block.watch_copy(warp, &targets, mask, bytes, instr)
}

fn commit(block: &mut Block<'_>, warp: &mut Warp, _: &Instr, mask: u32) -> Result<(), Trouble> {
    warp.copies.commit(mask);
    block.watch_commit(warp, mask);
    Ok(())
}

fn wait(block: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    let pending = (instr.args.mode != ALL).then_some(instr.args.mode);
    block.watch_wait(warp, mask, pending);
    warp.copies.wait(block, mask, pending)
}
