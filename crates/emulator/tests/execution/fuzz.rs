//! Texts that are almost PTX: an error that names its line and quotes it, or a program that runs or breaks a rule, and
//! never a panic, in bounded time and memory. `FUZZ_CASES` sets how many texts each test tries.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed};
use warpsmith_emulator::{Launch, Memory, Options, Program, run};

/// The same texts in every run.
fn config(seed: u64, cases: u32) -> Config {
    let cases = std::env::var("FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    Config { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..Config::default() }
}

/// Pieces of statements.
const PIECES: &[&str] = &[
    ".version 8.0\n",
    ".target sm_80\n",
    ".address_size 64\n",
    ".visible",
    ".entry",
    ".func",
    "k",
    "(",
    ")",
    "{",
    "}",
    ";",
    ",",
    "[",
    "]",
    ".param",
    ".reg",
    ".shared",
    ".global",
    ".const",
    ".local",
    ".align",
    ".b32",
    ".u64",
    ".f32",
    ".pred",
    ".b8",
    "x",
    "%r<4>",
    "%r1",
    "%r<4294967295>",
    "tile[4]",
    "[1099511627776]",
    "= {1, 2}",
    "= {{{{{{{{{{1}",
    "-",
    "+",
    "!",
    "@",
    "@!%p",
    "0x",
    "0xffffffffffffffffff",
    "0f3f800000",
    "0d",
    "1e99",
    "9223372036854775808",
    ":",
    "again:",
    "bra",
    "again",
    "ret;",
    "mov.u32",
    "ld.global.v4.f32",
    "%tid.x",
    "call",
    "_",
    ".loc 1 2 3",
    ".file 1 \"a\"",
    "\"",
    "//",
    "/*",
    "*/",
    ".branchtargets",
    "brx.idx",
    ".maxntid 1, 2",
    ".pragma \"nounroll\";",
    "\n",
    "\u{fffd}",
    ".weak",
    ".extern",
];

/// What instructions are made of.
const BASES: &[&str] = &[
    "add",
    "sub",
    "mul",
    "mad",
    "fma",
    "div",
    "rem",
    "min",
    "max",
    "neg",
    "abs",
    "rcp",
    "sqrt",
    "rsqrt",
    "sin",
    "ex2",
    "lg2",
    "tanh",
    "cvt",
    "mov",
    "cvta",
    "isspacep",
    "setp",
    "set",
    "selp",
    "slct",
    "and",
    "shl",
    "shr",
    "shf",
    "lop3",
    "prmt",
    "bfe",
    "bfi",
    "bfind",
    "popc",
    "dp4a",
    "mul24",
    "mad24",
    "sad",
    "addc",
    "ld",
    "st",
    "atom",
    "red",
    "shfl",
    "vote",
    "match",
    "redux",
    "activemask",
    "elect",
    "bar",
    "barrier",
    "mma",
    "ldmatrix",
    "stmatrix",
    "movmatrix",
    "cp",
    "fence",
    "membar",
    "bra",
    "brx",
    "call",
    "ret",
    "exit",
    "trap",
    "nanosleep",
    "copysign",
    "testp",
    "fns",
    "bmsk",
    "szext",
];
const FORMS: &[&str] = &[
    "u32",
    "s32",
    "b32",
    "u64",
    "s64",
    "b64",
    "u16",
    "s16",
    "b16",
    "u8",
    "f16",
    "f16x2",
    "bf16",
    "bf16x2",
    "f32",
    "f64",
    "tf32",
    "pred",
    "rn",
    "rz",
    "rni",
    "ftz",
    "sat",
    "lo",
    "hi",
    "wide",
    "approx",
    "full",
    "sync",
    "aligned",
    "to",
    "global",
    "shared",
    "param",
    "local",
    "const",
    "v2",
    "v4",
    "volatile",
    "acquire",
    "release",
    "relaxed",
    "gpu",
    "cta",
    "add",
    "cas",
    "exch",
    "inc",
    "up",
    "down",
    "bfly",
    "idx",
    "all",
    "any",
    "ballot",
    "m16n8k16",
    "m16n8k8",
    "m8n8",
    "x1",
    "x4",
    "trans",
    "row",
    "col",
    "warp",
    "red",
    "popc",
    "async",
    "ca",
    "commit_group",
    "wait_group",
    "wait_all",
    "wrap",
    "clamp",
    "l",
    "r",
    "f4e",
    "lt",
    "eq",
    "num",
    "cc",
    "noftz",
    "NaN",
    "relu",
    "uni",
    "shiftamt",
];
const OPERANDS: &[&str] = &[
    "%r1",
    "%r2",
    "%r3",
    "%d1",
    "%d2",
    "%h1",
    "%h2",
    "%p1",
    "!%p1",
    "%p1|%p2",
    "%r1|%p1",
    "[%d1]",
    "[%r1+4]",
    "[tile]",
    "[tile+1020]",
    "[0]",
    "[%d2-8]",
    "0",
    "1",
    "31",
    "-1",
    "0xffffffff",
    "4294967296",
    "0f3f800000",
    "0d3ff0000000000000",
    "tile",
    "%tid.x",
    "%laneid",
    "%clock",
    "{%r1, %r2}",
    "{%r1, %r2, %r3, %r1}",
    "{%h1, %h2}",
    "_",
    "again",
    "(%r1)",
    "k",
];

const HEAD: &str = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k()\n{\n.reg .pred %p<3>;\n\
    .reg .b16 %h<3>;\n.reg .b32 %r<4>;\n.reg .b64 %d<3>;\n.shared .align 16 .b8 tile[1024];\nagain:\n";

/// Parses a text, and runs what it understood.
fn try_out(text: &str) {
    match Program::parse(text) {
        Err(error) => {
            let quoted = text.lines().nth(error.line.saturating_sub(1) as usize).unwrap_or("");
            assert!(
                error.line >= 1 && !error.sentence.is_empty() && error.text == quoted,
                "{error:?} of\n{text}"
            );
        }
        Ok(program) => program.entries.iter().enumerate().for_each(|(entry, _)| start(&program, entry)),
    }
}

fn start(program: &Program, entry: usize) {
    let mut memory = Memory::new(1 << 16);
    let sizes = program.globals.iter().map(|global| memory.alloc(global.bytes));
    let Ok(globals) = sizes.collect::<Result<Vec<u64>, _>>() else { return };
    let params = vec![0; program.entries[entry].param_bytes];
    let options = Options { max_steps: 2000, ..Options::default() };
    let (grid, block) = ([2, 1, 1], [33, 1, 1]);
    let launch = Launch {
        program,
        entry,
        grid,
        block,
        shared_bytes: 16,
        params: &params,
        globals: &globals,
        options: &options,
    };
    if let Err(fault) = run(&launch, &mut memory) {
        assert!(!fault.sentence.is_empty(), "{fault:?}");
    }
}

fn instruction() -> impl Strategy<Value = String> {
    let guard = select(&["", "", "", "@%p1 ", "@!%p2 "][..]);
    let forms = prop::collection::vec(select(FORMS), 0..5);
    let operands = prop::collection::vec(select(OPERANDS), 0..6);
    (guard, select(BASES), forms, operands).prop_map(|(guard, base, forms, operands)| {
        let dots: String = forms.iter().map(|form| format!(".{form}")).collect();
        format!("{guard}{base}{dots} {};", operands.join(", "))
    })
}

/// Two operands and a result of one width, so that most are understood.
fn plausible() -> impl Strategy<Value = String> {
    let kinds = select(
        &[("u32", "r"), ("s32", "r"), ("b32", "r"), ("f32", "r"), ("f64", "d"), ("b64", "d"), ("f16", "h")][..],
    );
    let number = || select(&["1", "2"][..]);
    (select(BASES), prop::option::of(select(FORMS)), kinds, number(), number(), 1..5usize).prop_map(
        |(base, form, (kind, file), a, b, count)| {
            let form = form.map_or(String::new(), |form| format!(".{form}"));
            let operands =
                [format!("%{file}1"), format!("%{file}{a}"), format!("%{file}{b}"), format!("%{file}2")];
            format!("{base}{form}.{kind} {};", operands[..count.min(4)].join(", "))
        },
    )
}

proptest! {
    #![proptest_config(config(1, 300))]

    #[test]
    fn pieces_in_any_order(pieces in prop::collection::vec(select(PIECES), 0..60), with_head in any::<bool>()) {
        let body = pieces.join(" ");
        try_out(&if with_head { format!("{HEAD}{body}\n}}\n") } else { body });
    }

    #[test]
    fn instructions_of_any_form(body in prop::collection::vec(prop_oneof![instruction(), plausible()], 1..6)) {
        // One line at a time, since the first mistake ends a text.
        for line in &body {
            try_out(&format!("{HEAD}{line}\nret;\n}}\n"));
        }
        try_out(&format!("{HEAD}{}\nret;\n}}\n", body.join("\n")));
    }

    #[test]
    fn any_characters(text in "\\PC{0,200}") {
        try_out(&text);
    }
}

#[test]
fn huge_sizes_cost_nothing() {
    for body in [
        ".reg .b32 %x<4294967295>;\nmov.u32 %x4294967294, 1;",
        ".shared .b8 big[1099511627776];\nst.shared.u32 [big], %r1;",
        ".local .b8 big[1099511627776];\nst.local.u32 [big], %r1;",
        ".local .b64 big[2305843009213693953];\nst.local.u32 [big], %r1;",
        ".shared .align 4611686018427387904 .b8 odd[4];\nst.shared.u32 [odd], %r1;",
    ] {
        try_out(&format!("{HEAD}{body}\nret;\n}}\n"));
    }
    let head = ".version 8.0\n.target sm_80\n.address_size 64\n";
    for text in [
        ".global .b8 big[1099511627776] = {1};",
        ".global .b8 big[18446744073709551615];",
        ".visible .entry k(.param .b8 big[1099511627776]) { ret; }",
        ".visible .entry k(.param .align 9223372036854775808 .b8 odd[4]) { ret; }",
    ] {
        try_out(&format!("{head}{text}\n"));
    }
    let deep = "{".repeat(100_000);
    try_out(&format!("{HEAD}{deep}"));
    try_out(&format!("{head}.global .b8 x[4] = {deep}1;"));
    try_out(&format!("{HEAD}mov.u32 %r1, {};", "(".repeat(100_000)));
}
