//! Integers, bits and bytes.

use super::Family;
use super::Register::{B16, B32, B64};
use super::families::plain;
use super::inputs::{LONGS, SHORTS, WORDS, wide};

pub(super) fn families(all: &mut Vec<Family>) {
    let (words, longs, shorts) = (wide(&WORDS), wide(&LONGS), wide(&SHORTS));
    let nonzero = |table: &[u64]| table.iter().map(|&value| value.max(1)).collect::<Vec<_>>();
    let word = (B32, words.clone());
    let mut add = |name: &str, result, operands: &[_]| all.push(plain(name, result, operands));
    for name in [
        "add.s32",
        "add.sat.s32",
        "sub.s32",
        "sub.sat.s32",
        "mul.lo.s32",
        "mul.lo.u32",
        "mul.hi.s32",
        "mul.hi.u32",
        "mul24.lo.s32",
        "mul24.lo.u32",
        "mul24.hi.s32",
        "mul24.hi.u32",
        "min.s32",
        "min.u32",
        "max.s32",
        "max.u32",
        "and.b32",
        "or.b32",
        "xor.b32",
        "shl.b32",
        "shr.u32",
        "shr.s32",
    ] {
        add(name, B32, &[word.clone(), word.clone()]);
    }
    for name in ["mul.wide.s32", "mul.wide.u32"] {
        add(name, B64, &[word.clone(), word.clone()]);
    }
    for name in [
        "mad.lo.s32",
        "mad.lo.u32",
        "mad.hi.s32",
        "mad.hi.u32",
        "mad.hi.sat.s32",
        "mad24.lo.s32",
        "mad24.lo.u32",
        "mad24.hi.s32",
        "mad24.hi.u32",
        "sad.s32",
        "sad.u32",
        "bfe.u32",
        "bfe.s32",
        "shf.l.wrap.b32",
        "shf.l.clamp.b32",
        "shf.r.wrap.b32",
        "shf.r.clamp.b32",
        "dp4a.u32.u32",
        "dp4a.s32.s32",
        "dp4a.s32.u32",
        "dp2a.lo.s32.s32",
        "dp2a.hi.u32.u32",
        "prmt.b32",
        "prmt.b32.f4e",
        "prmt.b32.b4e",
        "prmt.b32.rc8",
        "prmt.b32.ecl",
        "prmt.b32.ecr",
        "prmt.b32.rc16",
    ] {
        add(name, B32, &[word.clone(), word.clone(), word.clone()]);
    }
    for name in ["abs.s32", "neg.s32", "not.b32", "popc.b32", "clz.b32", "brev.b32", "bfind.u32", "bfind.s32"]
    {
        add(name, B32, std::slice::from_ref(&word));
    }
    for name in ["bfind.shiftamt.u32", "bfind.shiftamt.s32", "cnot.b32"] {
        add(name, B32, std::slice::from_ref(&word));
    }
    for name in ["popc.b64", "clz.b64", "bfind.u64"] {
        add(name, B32, &[(B64, longs.clone())]);
    }
    add("brev.b64", B64, &[(B64, longs.clone())]);
    add("bfi.b32", B32, &[word.clone(), word.clone(), word.clone(), word.clone()]);
    for name in ["bfe.u64", "bfe.s64"] {
        add(name, B64, &[(B64, longs.clone()), word.clone(), word.clone()]);
    }
    for name in ["div.s32", "div.u32", "rem.s32", "rem.u32"] {
        add(name, B32, &[word.clone(), (B32, nonzero(&words))]);
    }
    for name in ["div.s64", "div.u64", "rem.s64", "rem.u64"] {
        add(name, B64, &[(B64, longs.clone()), (B64, nonzero(&longs))]);
    }
    for name in ["add.s64", "mul.lo.s64", "mul.hi.s64", "mul.hi.u64", "min.s64", "max.u64"] {
        add(name, B64, &[(B64, longs.clone()), (B64, longs.clone())]);
    }
    for name in ["shl.b64", "shr.u64", "shr.s64"] {
        add(name, B64, &[(B64, longs.clone()), word.clone()]);
    }
    for name in ["add.s16", "mul.lo.s16", "mul.hi.s16", "min.s16", "max.u16"] {
        add(name, B16, &[(B16, shorts.clone()), (B16, shorts.clone())]);
    }
    let lop3 = |table: u32| Family {
        name: format!("lop3.b32 {table:#04x}"),
        body: format!("lop3.b32 %o0, %i0, %i1, %i2, {table};"),
        ..plain("lop3.b32", B32, &[word.clone(), word.clone(), word.clone()])
    };
    all.extend([0x96, 0xe8, 0x3c, 0x01].map(lop3));
}
