//! The list of families: floating point here, the rest in its own files.

use super::inputs::{BRAINS, DOUBLES, HALVES, LONGS, SHORTS, SINGLES, WORDS, walk, wide};
use super::{Agreement, Family, Format, Register, integers, tiles};
use Register::{B16, B32, B64};

/// Every family, in an order that stays.
pub fn families() -> Vec<Family> {
    let mut all = Vec::new();
    singles(&mut all);
    doubles(&mut all);
    halves(&mut all);
    conversions(&mut all);
    approximations(&mut all);
    integers::families(&mut all);
    tiles::families(&mut all);
    all
}

/// A plain instruction: a result and operands that walk through their tables.
pub(super) fn plain(name: impl Into<String>, result: Register, operands: &[(Register, Vec<u64>)]) -> Family {
    let name = name.into();
    let names: Vec<String> = (0..operands.len()).map(|at| format!("%i{at}")).collect();
    let tables: Vec<Vec<u64>> = operands.iter().map(|(_, table)| table.clone()).collect();
    Family {
        body: format!("{name} %o0, {};", names.join(", ")),
        name,
        inputs: operands.iter().map(|(register, _)| *register).collect(),
        outputs: vec![result],
        lanes: walk(&tables),
        agreement: Agreement::Bits,
    }
}

fn of(register: Register, table: &[u64], count: usize) -> Vec<(Register, Vec<u64>)> {
    vec![(register, table.to_vec()); count]
}

fn singles(all: &mut Vec<Family>) {
    let table = wide(&SINGLES);
    let mut add = |name: &str, count| all.push(plain(name, B32, &of(B32, &table, count)));
    for rounding in ["rn", "rz", "rm", "rp"] {
        for (base, count) in
            [("add", 2), ("sub", 2), ("mul", 2), ("div", 2), ("fma", 3), ("rcp", 1), ("sqrt", 1)]
        {
            add(&format!("{base}.{rounding}.f32"), count);
        }
    }
    for (base, count) in [("add", 2), ("mul", 2), ("fma", 3), ("div", 2), ("rcp", 1), ("sqrt", 1)] {
        add(&format!("{base}.rn.ftz.f32"), count);
    }
    for (base, count) in [("add", 2), ("mul", 2), ("fma", 3)] {
        add(&format!("{base}.rn.sat.f32"), count);
    }
    for name in ["min.f32", "max.f32", "min.ftz.f32", "max.ftz.f32", "min.NaN.f32", "max.NaN.f32"] {
        add(name, 2);
    }
    for name in ["neg.f32", "abs.f32", "neg.ftz.f32", "abs.ftz.f32"] {
        add(name, 1);
    }
    add("copysign.f32", 2);
    for kind in ["finite", "infinite", "number", "notanumber", "normal", "subnormal"] {
        let mut family = plain(format!("testp.{kind}.f32"), B32, &of(B32, &table, 1));
        family.body = format!("testp.{kind}.f32 %p, %i0; selp.b32 %o0, 1, 0, %p;");
        all.push(family);
    }
    for comparison in
        ["eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"]
    {
        let mut family = plain(format!("setp.{comparison}.f32"), B32, &of(B32, &table, 2));
        family.body = format!("setp.{comparison}.f32 %p, %i0, %i1; selp.b32 %o0, 1, 0, %p;");
        all.push(family);
    }
}

fn doubles(all: &mut Vec<Family>) {
    let table = wide(&DOUBLES);
    let mut add = |name: &str, count| all.push(plain(name, B64, &of(B64, &table, count)));
    for rounding in ["rn", "rz", "rm", "rp"] {
        for (base, count) in [("add", 2), ("mul", 2), ("div", 2), ("fma", 3), ("rcp", 1), ("sqrt", 1)] {
            add(&format!("{base}.{rounding}.f64"), count);
        }
    }
    for (name, count) in [("min.f64", 2), ("max.f64", 2), ("neg.f64", 1), ("abs.f64", 1)] {
        add(name, count);
    }
}

fn halves(all: &mut Vec<Family>) {
    let (halves, brains) = (wide(&HALVES), wide(&BRAINS));
    for name in ["add.f16", "sub.f16", "mul.f16", "add.ftz.f16", "mul.ftz.f16", "add.sat.f16", "mul.sat.f16"]
    {
        all.push(plain(name, B16, &of(B16, &halves, 2)));
    }
    for name in ["fma.rn.f16", "fma.rn.ftz.f16", "fma.rn.sat.f16", "fma.rn.relu.f16"] {
        all.push(plain(name, B16, &of(B16, &halves, 3)));
    }
    for name in ["fma.rn.bf16", "fma.rn.relu.bf16"] {
        all.push(plain(name, B16, &of(B16, &brains, 3)));
    }
    for base in ["min", "max"] {
        for nan in ["", ".NaN"] {
            all.push(plain(format!("{base}{nan}.f16"), B16, &of(B16, &halves, 2)));
            all.push(plain(format!("{base}{nan}.bf16"), B16, &of(B16, &brains, 2)));
        }
    }
    for base in ["neg", "abs"] {
        all.push(plain(format!("{base}.f16"), B16, &of(B16, &halves, 1)));
        all.push(plain(format!("{base}.bf16"), B16, &of(B16, &brains, 1)));
    }
    let pairs: Vec<u64> = (0..16).map(|at| halves[at] | halves[(at * 7 + 2) % 16] << 16).collect();
    for (name, count) in [("add.f16x2", 2), ("mul.f16x2", 2), ("fma.rn.f16x2", 3), ("max.f16x2", 2)] {
        all.push(plain(name, B32, &of(B32, &pairs, count)));
    }
}

/// The width of a register that holds a type.
fn register(kind: &str) -> Register {
    match kind {
        "f64" | "s64" | "u64" => B64,
        "f32" | "s32" | "u32" | "f16x2" | "bf16x2" => B32,
        _ => B16,
    }
}

fn table(kind: &str) -> Vec<u64> {
    match kind {
        "f64" => wide(&DOUBLES),
        "f32" => {
            // Besides the edges: halves, to see ties, and numbers at the ends of narrower formats.
            let more = [
                0.5f32,
                1.5,
                -2.5,
                127.5,
                255.5,
                -128.5,
                2_147_483_648.0,
                65_519.0,
                65_520.0,
                6e-8,
                1.000_976_6,
            ];
            wide(&SINGLES).into_iter().chain(more.map(|number| number.to_bits().into())).collect()
        }
        "f16" => wide(&HALVES),
        "bf16" => wide(&BRAINS),
        "s64" | "u64" => wide(&LONGS),
        "s32" | "u32" => wide(&WORDS),
        _ => wide(&SHORTS),
    }
}

fn conversions(all: &mut Vec<Family>) {
    let mut add = |form: &str, to: &str, from: &str| {
        let name = format!("cvt.{form}{}{to}.{from}", if form.is_empty() { "" } else { "." });
        all.push(plain(name, register(to), &[(register(from), table(from))]));
    };
    for rounding in ["rni", "rzi", "rmi", "rpi"] {
        for to in ["s16", "u16", "s32", "u32", "s64", "u64"] {
            add(rounding, to, "f32");
        }
        for (to, from) in [("s32", "f64"), ("u64", "f64"), ("s32", "f16"), ("f32", "f32"), ("f64", "f64")] {
            add(rounding, to, from);
        }
    }
    add("rzi.ftz", "s32", "f32");
    for rounding in ["rn", "rz", "rm", "rp"] {
        for (to, from) in [("f32", "f64"), ("f32", "s32"), ("f32", "u64"), ("f64", "s64"), ("f32", "s16")] {
            add(rounding, to, from);
        }
    }
    for (form, to) in [
        ("rn", "f16"),
        ("rz", "f16"),
        ("rn", "bf16"),
        ("rz", "bf16"),
        ("rn.relu", "bf16"),
        ("rn.relu", "f16"),
    ] {
        add(form, to, "f32");
    }
    for (to, from) in [("f32", "f16"), ("f32", "bf16"), ("f64", "f32"), ("f64", "f16")] {
        add("", to, from);
    }
    for (to, from) in
        [("s64", "s32"), ("u64", "u32"), ("s32", "s64"), ("u16", "u32"), ("s32", "s16"), ("u32", "s16")]
    {
        add("", to, from);
    }
    for (to, from) in
        [("s32", "s64"), ("u32", "s32"), ("s16", "s32"), ("u16", "s32"), ("s32", "u32"), ("f32", "f32")]
    {
        add("sat", to, from);
    }
    add("rn", "f16", "s32");
    for form in ["rn.f16x2.f32", "rn.bf16x2.f32", "rn.relu.f16x2.f32", "rz.bf16x2.f32"] {
        all.push(plain(format!("cvt.{form}"), B32, &[(B32, table("f32")), (B32, table("f32"))]));
    }
    all.push(plain("cvt.rna.tf32.f32", B32, &[(B32, table("f32"))]));
}

/// The bounds that PTX gives, doubled, since each of two devices may be off by as much.
fn approximations(all: &mut Vec<Family>) {
    let edges = wide(&SINGLES);
    let tame: Vec<u64> =
        (0..32).map(|at| u64::from((0.031f32 * (at as f32 * 1.37 - 11.0) * at as f32).to_bits())).collect();
    let positive: Vec<u64> = tame.iter().map(|bits| bits & 0x7fff_ffff).collect();
    let mut add = |name: &str, tables: &[&[u64]], relative: f64, absolute: f64| {
        let operands: Vec<_> = tables.iter().map(|table| (B32, table.to_vec())).collect();
        let agreement = Agreement::Within { format: Format::F32, relative, absolute };
        all.push(Family { agreement, ..plain(name, B32, &operands) });
    };
    let two = |power: f64| 2.0 * power.exp2();
    add("rcp.approx.f32", &[&tame], two(-23.0), 0.0);
    add("rcp.approx.ftz.f32", &[&edges], two(-23.0), 0.0);
    add("sqrt.approx.f32", &[&positive], two(-23.0), 0.0);
    add("sqrt.approx.ftz.f32", &[&edges], two(-23.0), 0.0);
    add("rsqrt.approx.f32", &[&positive], two(-22.9), 0.0);
    add("rsqrt.approx.ftz.f32", &[&edges], two(-22.9), 0.0);
    add("ex2.approx.f32", &[&tame], two(-22.0), 0.0);
    add("ex2.approx.ftz.f32", &[&edges], two(-22.0), 0.0);
    add("lg2.approx.f32", &[&positive], two(-22.0), two(-22.0));
    add("lg2.approx.ftz.f32", &[&edges], two(-22.0), two(-22.0));
    // Beyond 2π the bound is wider.
    add("sin.approx.f32", &[&tame], 0.0, two(-14.7));
    add("cos.approx.f32", &[&tame], 0.0, two(-14.7));
    add("tanh.approx.f32", &[&tame], two(-11.0), 0.0);
    add("div.approx.f32", &[&tame, &positive], two(-22.0), 0.0);
    add("div.full.f32", &[&tame, &positive], two(-22.0), 0.0);
    let halves: Vec<u64> = wide(&HALVES).into_iter().filter(|bits| bits & 0x7c00 < 0x5000).collect();
    for (name, relative, absolute) in
        [("ex2.approx.f16", two(-9.9), 0.0), ("tanh.approx.f16", 0.0, two(-10.987))]
    {
        let agreement = Agreement::Within { format: Format::F16, relative, absolute };
        all.push(Family { agreement, ..plain(name, B16, &[(B16, halves.clone())]) });
    }
}
