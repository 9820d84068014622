//! What lanes do together: shuffles, votes, atomics, tiles and products of matrices.

use super::Register::{B32, B64};
use super::families::plain;
use super::inputs::{WORDS, wide};
use super::{Agreement, Family, Format, Register};

pub(super) fn families(all: &mut Vec<Family>) {
    warps(all);
    atomics(all);
    tiles(all);
    products(all);
}

/// A number that differs from lane to lane (Weyl's sequence).
fn number(lane: usize, at: usize) -> u64 {
    ((lane as u64 + 1) * 0x9e37_79b9 + at as u64 * 0x7f4a_7c15) & 0xffff_ffff
}

fn family(name: &str, inputs: usize, outputs: usize, body: &str) -> Family {
    Family {
        name: name.to_owned(),
        inputs: vec![B32; inputs],
        outputs: vec![B32; outputs],
        body: body.to_owned(),
        lanes: (0..32).map(|lane| (0..inputs).map(|at| number(lane, at)).collect()).collect(),
        agreement: Agreement::Bits,
    }
}

fn warps(all: &mut Vec<Family>) {
    for (mode, by, clamp) in [
        ("up", 3, 0),
        ("down", 5, 0x1f),
        ("bfly", 9, 0x1f),
        ("idx", 6, 0x1f),
        ("down", 2, 0x181f),
        ("bfly", 4, 0x1c03),
    ] {
        let name = format!("shfl.sync.{mode}.b32 {by} {clamp:#x}");
        let body =
            format!("shfl.sync.{mode}.b32 %o0|%p, %i0, {by}, {clamp}, 0xffffffff; selp.b32 %o1, 1, 0, %p;");
        all.push(family(&name, 1, 2, &body));
    }
    for kind in ["all", "any", "uni"] {
        for bits in [0, 1, 0xffff_ffff_u64] {
            let name = format!("vote.sync.{kind}.pred {bits:#x}");
            let body = format!(
                "setp.ne.b32 %p, %i0, 0; vote.sync.{kind}.pred %q, %p, 0xffffffff; selp.b32 %o0, 1, 0, %q;"
            );
            let lanes = (0..32).map(|lane| vec![bits >> lane & 1]).collect();
            all.push(Family { lanes, ..family(&name, 1, 1, &body) });
        }
    }
    let odd = "and.b32 %x, %i0, 1; setp.ne.b32 %p, %x, 0; vote.sync.ballot.b32 %o0, %p, 0xffffffff;";
    all.push(family("vote.sync.ballot.b32", 1, 1, odd));
    let few = |lane: usize| vec![(lane as u64 * lane as u64) % 5];
    let matching = "match.any.sync.b32 %o0, %i0, 0xffffffff;";
    all.push(Family { lanes: (0..32).map(few).collect(), ..family("match.any.sync.b32", 1, 1, matching) });
    let same = "match.all.sync.b32 %o0|%p, %i0, 0xffffffff; selp.b32 %o1, 1, 0, %p;";
    all.push(Family { lanes: (0..32).map(few).collect(), ..family("match.all.sync.b32", 1, 2, same) });
    for name in
        ["add.u32", "add.s32", "min.u32", "min.s32", "max.u32", "max.s32", "and.b32", "or.b32", "xor.b32"]
    {
        let name = format!("redux.sync.{name}");
        all.push(family(&name, 1, 1, &format!("{name} %o0, %i0, 0xffffffff;")));
    }
    all.push(family("activemask.b32", 1, 1, "activemask.b32 %o0;"));
}

/// Each lane on a word of its own: what is returned, and what is left.
fn atomics(all: &mut Vec<Family>) {
    let words = wide(&WORDS);
    for name in [
        "add.u32", "add.s32", "min.u32", "min.s32", "max.u32", "max.s32", "and.b32", "or.b32", "xor.b32",
        "exch.b32", "inc.u32", "dec.u32",
    ] {
        all.push(atomic(name, &[words.clone(), words.clone()], "%i1"));
    }
    let few: Vec<u64> = vec![1, 2, 3];
    all.push(atomic("cas.b32", &[few.clone(), few, words], "%i1, %i2"));
    let tame: Vec<u64> = (0..16).map(|at| u64::from((at as f32 * 0.37 - 2.0).to_bits())).collect();
    all.push(atomic("add.f32", &[tame.clone(), tame], "%i1"));
}

fn atomic(name: &str, tables: &[Vec<u64>], operands: &str) -> Family {
    let operands_of: Vec<(Register, Vec<u64>)> = tables.iter().map(|table| (B32, table.clone())).collect();
    Family {
        name: format!("atom.shared.{name}"),
        outputs: vec![B32; 2],
        body: format!(
            "mov.u32 %x, tile; mad.lo.u32 %x, %y, 4, %x; st.shared.b32 [%x], %i0;\n  \
             atom.shared.{name} %o0, [%x], {operands}; ld.shared.b32 %o1, [%x];"
        ),
        ..plain(name, B32, &operands_of)
    }
}

fn tiles(all: &mut Vec<Family>) {
    // Lane n lays down row n of 32 rows of 16 bytes, and the tile's rows are where the lanes say.
    let lay = "mov.u32 %x, tile; mad.lo.u32 %x, %y, 16, %x; st.shared.v4.b32 [%x], {%i0, %i1, %i2, %i3}; bar.sync 0;\n  ";
    for (form, count) in [("x1", 1), ("x2", 2), ("x4", 4), ("x1.trans", 1), ("x2.trans", 2), ("x4.trans", 4)]
    {
        let name = format!("ldmatrix.sync.aligned.m8n8.{form}.shared.b16");
        let registers: Vec<String> = (0..count).map(|at| format!("%o{at}")).collect();
        let body = format!("{lay}{name} {{{}}}, [%x];", registers.join(", "));
        all.push(family(&name, 4, count, &body));
    }
    let name = "movmatrix.sync.aligned.m8n8.trans.b16";
    all.push(family(name, 1, 1, &format!("{name} %o0, %i0;")));
}

/// A product: the name, registers of A, B and C, the width of C's registers, and how far two devices may differ.
type Product = (&'static str, [usize; 3], Format, f64);

fn products(all: &mut Vec<Family>) {
    // Elements are at most 2, so that a sum of K products and C is at most 4 K + 2. Tensor cores of each generation cut
    // sums at a different bit, none of them more than 2^-21 of the greatest term for each term (Fasi et al., "Numerical
    // behavior of NVIDIA tensor cores", 2021).
    let single = |k: f64| (4.0 * k + 2.0) * k * (-21f64).exp2();
    let half = |k: f64| (4.0 * k + 2.0) * (-10f64).exp2();
    let forms: [Product; 9] = [
        ("m16n8k16.row.col.f32.bf16.bf16.f32", [4, 2, 4], Format::F32, single(16.0)),
        ("m16n8k16.row.col.f32.f16.f16.f32", [4, 2, 4], Format::F32, single(16.0)),
        ("m16n8k16.row.col.f16.f16.f16.f16", [4, 2, 2], Format::F16, half(16.0)),
        ("m16n8k8.row.col.f32.bf16.bf16.f32", [2, 1, 4], Format::F32, single(8.0)),
        ("m16n8k8.row.col.f32.f16.f16.f32", [2, 1, 4], Format::F32, single(8.0)),
        ("m16n8k8.row.col.f16.f16.f16.f16", [2, 1, 2], Format::F16, half(8.0)),
        ("m16n8k8.row.col.f32.tf32.tf32.f32", [4, 2, 4], Format::F32, single(8.0)),
        ("m16n8k4.row.col.f32.tf32.tf32.f32", [2, 1, 4], Format::F32, single(4.0)),
        ("m8n8k4.row.col.f64.f64.f64.f64", [1, 1, 2], Format::F64, 18.0 * (-50f64).exp2()),
    ];
    for (form, [a, b, c], format, absolute) in forms {
        for is_whole in [true, false] {
            // Whole numbers are exact on every device; others show how it rounds.
            let agreement = if is_whole {
                Agreement::Bits
            } else {
                Agreement::Within { format, relative: 0.0, absolute }
            };
            let list = |prefix: &str, first: usize, count: usize| {
                let names: Vec<String> = (first..first + count).map(|at| format!("%{prefix}{at}")).collect();
                names.join(", ")
            };
            let register = if format == Format::F64 { B64 } else { B32 };
            let kind = form.split('.').nth(4).unwrap_or("");
            let of_c = form.split('.').next_back().unwrap_or("");
            let lane = |lane: usize| {
                (0..a + b + c)
                    .map(|at| element(if at < a + b { kind } else { of_c }, lane * 16 + at, is_whole))
                    .collect()
            };
            all.push(Family {
                name: format!("mma.sync.aligned.{form} {}", if is_whole { "whole" } else { "any" }),
                inputs: vec![register; a + b + c],
                outputs: vec![register; c],
                body: format!(
                    "mma.sync.aligned.{form} {{{}}}, {{{}}}, {{{}}}, {{{}}};",
                    list("o", 0, c),
                    list("i", 0, a),
                    list("i", a, b),
                    list("i", a + b, c)
                ),
                lanes: (0..32).map(lane).collect(),
                agreement,
            });
        }
    }
}

/// A register's worth of elements between -2 and 2.
fn element(kind: &str, seed: usize, is_whole: bool) -> u64 {
    let draw = |at: usize| {
        let bits = number(seed, at);
        if is_whole { (bits >> 8) as i32 % 3 - 1 } else { (bits >> 8) as i32 % 4001 - 2000 }
    };
    let one = |at: usize| if is_whole { f64::from(draw(at)) } else { f64::from(draw(at)) / 1000.0 };
    match kind {
        "f16" => pair(half::f16::from_f64(one(0)).to_bits(), half::f16::from_f64(one(1)).to_bits()),
        "bf16" => pair(half::bf16::from_f64(one(0)).to_bits(), half::bf16::from_f64(one(1)).to_bits()),
        // The lowest 13 bits of a tf32 operand are undefined, so that they are zero here.
        "tf32" => u64::from((one(0) as f32).to_bits() & 0xffff_e000),
        "f32" => u64::from((one(0) as f32).to_bits()),
        _ => one(0).to_bits(),
    }
}

fn pair(low: u16, high: u16) -> u64 {
    u64::from(low) | u64::from(high) << 16
}
