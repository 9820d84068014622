//! The tensor core: products of fragments, and tiles between shared memory and fragments.

use super::Found;
use crate::code::{AccessSpace, Action, Class, Extra, Instr};
use crate::decode::decoder::Decoder;
use crate::exec::access::{check_alignment, value_of};
use crate::exec::address::addresses;
use crate::exec::block::{Block, Trouble};
use crate::exec::registers::{File, LANES, Row};
use crate::exec::traffic::record;
use crate::exec::warp::Warp;
use crate::tensor_core::{Mma, Tile, load_tile, store_tile};

/// Bytes of a row of a tile: eight elements of 16 bits.
const ROW: u64 = 16;
/// Rows of a tile.
const ROWS: usize = 8;
/// In `args.mode`: rows and columns change places.
const TRANSPOSED: u32 = 1;

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    d.out.class = Class::Matrix;
    if !(d.flag("sync") && d.flag("aligned")) {
        return Ok(None);
    }
    match d.base {
        "mma" => decode_mma(d),
        "ldmatrix" => decode_tiles(d, 0, 1, load),
        "stmatrix" => {
            d.out.effect = crate::check::Effect::WRITE;
            decode_tiles(d, 1, 0, store)
        }
        _ => {
            let is_tile = d.flag("m8n8") && d.flag("trans") && d.kind(0)?.bytes() == 2;
            d.out.args.a = d.source::<u32>(1)?;
            d.out.args.d = d.target::<u32>(0)?;
            Ok(is_tile.then_some(Action::Collective(transpose)))
        }
    }
}

fn decode_mma(d: &mut Decoder<'_, '_, '_>) -> Found {
    if !(d.flag("row") && d.flag("col")) {
        return Ok(None);
    }
    let words: Vec<&str> = d.written.opcode.split('.').collect();
    let Some(types) = words.last_chunk::<4>() else { return Ok(None) };
    let shapes = ["m16n8k16", "m16n8k8", "m16n8k4", "m8n8k4"];
    let Some(form) = d.choice(&shapes).and_then(|shape| Mma::find(shape, *types)) else { return Ok(None) };
    let [a, b, c] = form.registers();
    let mut list = Vec::new();
    d.out.file = if form == Mma::F64 { File::B64 } else { File::B32 };
    for (index, count) in [(0, c), (1, a), (2, b), (3, c)] {
        let elements = d.elements(index)?;
        if elements.len() != count {
            return d.mistake(format!("operand {} has {} registers, not {count}", index + 1, elements.len()));
        }
        for element in elements {
            let file = d.out.file;
            list.push(if index == 0 { d.target_of(element, file)? } else { d.source_of(element, file)? });
        }
    }
    d.out.list = list.into();
    d.out.extra = Extra::Multiply(form);
    Ok(Some(Action::Collective(multiply)))
}

fn multiply(block: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    whole_warp(mask)?;
    let Extra::Multiply(form) = instr.extra else { return Ok(()) };
    let [a, b, c] = form.registers();
    let read = |range: std::ops::Range<usize>| -> Vec<Row<u64>> {
        instr.list[range].iter().map(|&index| warp.registers.wide(instr.file, index)).collect()
    };
    let (a, b, c) = (read(c..c + a), read(c + a..c + a + b), read(c + a + b..c + a + b + c));
    if let Some(result) = form.apply(&a, &b, &c) {
        for (row, &target) in result.iter().zip(&instr.list) {
            warp.registers.put_wide(instr.file, target, mask, row);
        }
    }
    block.counts.matrix_flops += form.flops();
    Ok(())
}

/// `.aligned` forms belong to the whole warp.
pub(super) fn whole_warp(mask: u32) -> Result<(), Trouble> {
    if mask == u32::MAX {
        return Ok(());
    }
    Err(Trouble::undefined(mask, format!("only lanes {mask:#010x} of a warp take part: all 32 must")))
}

type Effect = crate::code::Effect;

fn decode_tiles(d: &mut Decoder<'_, '_, '_>, registers: usize, address: usize, effect: Effect) -> Found {
    d.out.args.mode = if d.flag("trans") { TRANSPOSED } else { 0 };
    let count = match d.choice(&["x1", "x2", "x4"]) {
        Some("x1") => 1,
        Some("x2") => 2,
        Some(_) => 4,
        None => return Ok(None),
    };
    if !(d.flag("m8n8") && (d.kind(0)?.bytes() == 2)) {
        return Ok(None);
    }
    d.out.access.space = match d.choice(&["shared", "shared::cta"]) {
        Some(_) => AccessSpace::Shared,
        None => AccessSpace::Generic,
    };
    d.address(address)?;
    let elements = d.elements(registers)?;
    if elements.len() != count {
        return d.mistake(format!("{} registers for {count} tiles", elements.len()));
    }
    let mut list = Vec::with_capacity(count);
    for element in elements {
        let is_load = registers == 0;
        list.push(if is_load { d.target_of(element, File::B32)? } else { d.source_of(element, File::B32)? });
    }
    d.out.list = list.into();
    Ok(Some(Action::Collective(effect)))
}

/// The shared-memory addresses of the rows, of which eight lanes name those of one tile.
fn row_addresses(warp: &Warp, instr: &Instr) -> Result<Row<u64>, Trouble> {
    let named = addresses(&warp.registers, instr.args.a, &instr.access);
    let used = u32::MAX >> (LANES - ROWS * instr.list.len());
    check_alignment(&named, used, ROW)?;
    Ok(named.map(Block::shared_offset))
}

fn load(block: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    whole_warp(mask)?;
    let rows = row_addresses(warp, instr)?;
    let used = u32::MAX >> (LANES - ROWS * instr.list.len());
    block.watch(warp, AccessSpace::Shared, &rows, used, ROW, &[], instr)?;
    record(&mut block.counts, AccessSpace::Shared, &rows, used, ROW, false);
    let mut results = Vec::with_capacity(instr.list.len());
    for first in (0..instr.list.len()).map(|tile| tile * ROWS) {
        let mut tile: Tile = [[0; 8]; ROWS];
        for (row, lane) in tile.iter_mut().zip(first..) {
            let data = block.read_shared(rows[lane], ROW, lane)?;
            *row = std::array::from_fn(|column| value_of(&data[2 * column..2 * column + 2]) as u16);
        }
        results.push(load_tile(&tile, instr.args.mode & TRANSPOSED != 0));
    }
    for (&target, result) in instr.list.iter().zip(results) {
        warp.registers.b32[target as usize] = result;
    }
    Ok(())
}

fn store(block: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    whole_warp(mask)?;
    let rows = row_addresses(warp, instr)?;
    let used = u32::MAX >> (LANES - ROWS * instr.list.len());
    block.watch(warp, AccessSpace::Shared, &rows, used, ROW, &[], instr)?;
    record(&mut block.counts, AccessSpace::Shared, &rows, used, ROW, true);
    for (index, &source) in instr.list.iter().enumerate() {
        let tile = store_tile(&warp.registers.b32[source as usize], instr.args.mode & TRANSPOSED != 0);
        for (row, lane) in tile.iter().zip(index * ROWS..) {
            let data: Vec<u8> = row.iter().flat_map(|element| element.to_le_bytes()).collect();
            block.write_shared(rows[lane], &data, lane)?;
        }
    }
    Ok(())
}

fn transpose(_: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    whole_warp(mask)?;
    let tile = store_tile(&warp.registers.b32[instr.args.a as usize], false);
    warp.registers.b32[instr.args.d as usize] = load_tile(&tile, true);
    Ok(())
}
