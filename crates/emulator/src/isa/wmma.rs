//! `wmma`: matrices between memory and fragments of a layout of our own, and their products.

use super::load::{read_lanes, take_space, write_lanes};
use super::{Found, matrix::whole_warp};
use crate::check::Effect;
use crate::code::{Action, Class, Extra, Instr, NONE};
use crate::decode::decoder::Decoder;
use crate::exec::address::addresses;
use crate::exec::block::{Block, Trouble};
use crate::exec::registers::{File, LANES, Row};
use crate::exec::rows::Shape;
use crate::exec::warp::Warp;
use crate::ptx::Mistake;
use crate::tensor_core::{Lanes, Matrix, Wmma};

/// In `args.mode`: the matrix lies by columns.
const BY_COLUMNS: u32 = 1;
/// What the start of a matrix must be a multiple of, and what the distance of its rows must: bytes. CUDA C++ Programming
/// Guide, "Warp matrix functions".
const START: u64 = 32;
const DISTANCE: u64 = 16;

const SHAPES: [&str; 4] = ["m16n16k16", "m32n8k16", "m8n32k16", "m16n16k8"];

pub(super) fn decode(d: &mut Decoder<'_, '_, '_>) -> Found {
    d.out.class = Class::Matrix;
    if !(d.flag("sync") && d.flag("aligned")) {
        return Ok(None);
    }
    let Some(shape) = d.choice(&SHAPES) else { return Ok(None) };
    let layout = d.choice(&["row", "col"]);
    d.flags_beginning(&["row", "col"]);
    let words: Vec<&str> = d.written.opcode.split('.').collect();
    let Some(&kind) = words.last() else { return Ok(None) };
    match d.choice(&["load", "store", "mma"]) {
        Some("mma") => decode_product(d, shape, &words),
        Some(verb) => {
            let letter = d.choice(&["a", "b", "c", "d"]).and_then(|word| word.chars().next());
            let Some(matrix) = letter.and_then(|letter| Matrix::find(letter, shape, kind)) else {
                return Ok(None);
            };
            d.out.args.mode = if layout == Some("col") { BY_COLUMNS } else { 0 };
            decode_transfer(d, matrix, verb == "load")
        }
        None => Ok(None),
    }
}

fn decode_transfer(d: &mut Decoder<'_, '_, '_>, matrix: Matrix, is_load: bool) -> Found {
    take_space(d);
    d.out.effect = if is_load { Effect::READ } else { Effect::WRITE };
    let (registers, address) = if is_load { (0, 1) } else { (1, 0) };
    d.address(address)?;
    if d.operands() > 2 {
        d.out.args.b = d.source::<u32>(2)?;
    }
    d.out.list = fragment(d, registers, matrix.registers, is_load)?.into();
    d.out.extra = Extra::Matrix(matrix);
    Ok(Some(Action::Collective(if is_load { load } else { store })))
}

fn decode_product(d: &mut Decoder<'_, '_, '_>, shape: &'static str, words: &[&str]) -> Found {
    let kinds = &words[words.len().saturating_sub(d.kinds())..];
    // Of f16 operands the types of D and C are given, of others all four.
    let [of_d, of_a, of_b, of_c] = match *kinds {
        [d, c] => [d, "f16", "f16", c],
        [d, a, b, c] => [d, a, b, c],
        _ => return Ok(None),
    };
    let find = |letter, kind| Matrix::find(letter, shape, kind);
    let found = (find('a', of_a), find('b', of_b), find('c', of_c), find('d', of_d));
    let (Some(a), Some(b), Some(c), Some(result)) = found else { return Ok(None) };
    if a.element != b.element {
        return Ok(None);
    }
    let mut list = Vec::new();
    for (index, matrix) in [result, a, b, c].into_iter().enumerate() {
        list.extend(fragment(d, index, matrix.registers, index == 0)?);
    }
    d.out.list = list.into();
    d.out.extra = Extra::Wmma(Wmma { a, b, c, d: result });
    Ok(Some(Action::Collective(multiply)))
}

/// The registers of an operand.
fn fragment(
    d: &mut Decoder<'_, '_, '_>,
    index: usize,
    count: usize,
    are_targets: bool,
) -> Result<Vec<u32>, Mistake> {
    let elements = d.elements(index)?;
    if elements.len() != count {
        return d.mistake(format!("operand {} has {} registers, not {count}", index + 1, elements.len()));
    }
    let register = |element| match are_targets {
        true => d.target_of(element, File::B32),
        false => d.source_of(element, File::B32),
    };
    elements.iter().map(register).collect()
}

/// Where element `i` of each lane lies: what all lanes say, which has to be the same.
fn places(
    warp: &Warp,
    instr: &Instr,
    matrix: &Matrix,
) -> Result<impl Fn(usize) -> Row<u64> + use<>, Trouble> {
    let starts = addresses(&warp.registers, instr.args.a, &instr.access);
    let by_columns = instr.args.mode & BY_COLUMNS != 0;
    let gapless = if by_columns { matrix.rows } else { matrix.columns };
    let strides = match instr.args.b {
        NONE => [gapless as u32; LANES],
        register => warp.registers.b32[register as usize],
    };
    let (start, stride, bytes) = (starts[0], u64::from(strides[0]), matrix.element.bytes() as u64);
    if let Some(lane) = (1..LANES).find(|&lane| starts[lane] != start || strides[lane] != strides[0]) {
        let sentence = format!("lane {lane} and lane 0 name different matrices: all lanes name one");
        return Err(Trouble::undefined(1 << lane, sentence));
    }
    if !start.is_multiple_of(START) || !(stride * bytes).is_multiple_of(DISTANCE) {
        let sentence = format!(
            "a matrix at {start:#x} with {} bytes from line to line: they must be multiples of {START} and {DISTANCE}",
            stride * bytes
        );
        return Err(Trouble { kind: crate::FaultKind::Misaligned, lane: 0, sentence });
    }
    let matrix = *matrix;
    Ok(move |i| {
        std::array::from_fn(|lane| {
            let (row, column) = matrix.place(lane, i);
            let (line, along) = if by_columns { (column, row) } else { (row, column) };
            start.wrapping_add((line as u64 * stride + along as u64) * bytes)
        })
    })
}

fn load(block: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    whole_warp(mask)?;
    let Extra::Matrix(matrix) = instr.extra else { return Ok(()) };
    let place = places(warp, instr, &matrix)?;
    let shape = Shape { width: matrix.element.bytes(), count: 1 };
    let mut elements: Vec<Lanes<u32>> = Vec::with_capacity(matrix.per_lane());
    for i in 0..matrix.per_lane() {
        let [row, ..] = read_lanes(block, warp, instr, place(i), mask, shape)?;
        elements.push(row.map(|bits| bits as u32));
    }
    for (&target, row) in instr.list.iter().zip(matrix.registers_of(|i| elements[i])) {
        warp.registers.b32[target as usize] = row;
    }
    Ok(())
}

fn store(block: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    whole_warp(mask)?;
    let Extra::Matrix(matrix) = instr.extra else { return Ok(()) };
    let place = places(warp, instr, &matrix)?;
    let shape = Shape { width: matrix.element.bytes(), count: 1 };
    let registers = registers(warp, &instr.list);
    for i in 0..matrix.per_lane() {
        let rows = [matrix.element_of(&registers, i).map(u64::from), [0; LANES], [0; LANES], [0; LANES]];
        write_lanes(block, warp, instr, place(i), mask, shape, &rows)?;
    }
    Ok(())
}

fn multiply(block: &mut Block<'_>, warp: &mut Warp, instr: &Instr, mask: u32) -> Result<(), Trouble> {
    whole_warp(mask)?;
    let Extra::Wmma(form) = instr.extra else { return Ok(()) };
    let (targets, rest) = instr.list.split_at(form.d.registers);
    let (a, rest) = rest.split_at(form.a.registers);
    let (b, c) = rest.split_at(form.b.registers);
    let [a, b, c] = [a, b, c].map(|list| registers(warp, list));
    for (&target, row) in targets.iter().zip(form.apply(&a, &b, &c)) {
        warp.registers.b32[target as usize] = row;
    }
    block.counts.matrix_flops += form.flops();
    Ok(())
}

fn registers(warp: &Warp, list: &[u32]) -> Vec<Lanes<u32>> {
    list.iter().map(|&index| warp.registers.b32[index as usize]).collect()
}
