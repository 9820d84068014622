use super::*;
use crate::{Launch, Memory, Options, Program, run, run_observed};

/// Puts x into a shared tile, two words apart; adds 1 to the first two numbers of x.
const SPREAD: &str = r#".version 8.0
.target sm_80
.address_size 64
.visible .entry spread(.param .u64 p)
{
    .reg .b32 %r<8>;
    .reg .b64 %rd<6>;
    .reg .f32 %f<4>;
    .reg .pred %p<2>;
    .shared .align 4 .b8 tile[256];
    .loc 1 10 0
    ld.param.u64 %rd1, [p];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd2, %r1, 4;
    add.s64 %rd3, %rd1, %rd2;
    .loc 1 11 0
    ld.global.f32 %f1, [%rd3];
    .loc 1 12 0
    shl.b32 %r2, %r1, 3;
    mov.u32 %r3, tile;
    add.u32 %r4, %r3, %r2;
    st.shared.f32 [%r4], %f1;
    .loc 1 13 0
    setp.lt.u32 %p1, %r1, 2;
    @%p1 add.f32 %f1, %f1, 0f3F800000;
    st.global.f32 [%rd3], %f1;
    ret;
}
.file 1 "a/b.cu"
"#;

/// D = A·B + C with every element of A 1, of B 2 and of C 0.5.
const PRODUCT: &str = r#".version 8.0
.target sm_80
.address_size 64
.visible .entry product()
{
    .reg .b32 %r<7>;
    .reg .f32 %f<9>;
    .loc 1 3 0
    mov.b32 %r1, 0x3f803f80;
    mov.b32 %r2, %r1;
    mov.b32 %r3, %r1;
    mov.b32 %r4, %r1;
    mov.b32 %r5, 0x40004000;
    mov.b32 %r6, %r5;
    mov.f32 %f5, 0f3F000000;
    mov.f32 %f6, %f5;
    mov.f32 %f7, %f5;
    mov.f32 %f8, %f5;
    .loc 1 4 0
    mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32
        {%f1, %f2, %f3, %f4}, {%r1, %r2, %r3, %r4}, {%r5, %r6}, {%f5, %f6, %f7, %f8};
    ret;
}
.file 1 "a/b.cu"
"#;

struct Seen {
    trace: Vec<Traced>,
    arrivals: Vec<Arrival>,
    arrived: usize,
    listing: Listing,
    counts: crate::Counts,
}

fn watch(text: &str, thread: Option<u32>, line: Option<u32>) -> Seen {
    let program = Program::parse(text).unwrap();
    let mut memory = Memory::new(1 << 16);
    let x = memory.alloc(128).unwrap();
    let numbers: Vec<u8> = (0..32).flat_map(|i| (i as f32 + 1.0).to_le_bytes()).collect();
    memory.write(x, &numbers).unwrap();
    let params = if program.entries[0].param_bytes == 0 { Vec::new() } else { x.to_le_bytes().to_vec() };
    let launch = Launch {
        program: &program,
        entry: 0,
        grid: [1, 1, 1],
        block: [32, 1, 1],
        shared_bytes: 0,
        params: &params,
        globals: &[],
        options: &Options::default(),
    };
    let listing = Listing::of(&program, 0).unwrap();
    let thread = thread.map(|thread| Thread { block: [0; 3], thread });
    let stop = line.map(|line| Stop { file: "b.cu".to_owned(), line, block: [0; 3], warp: 0, most: 8 });
    let mut recorder = Recorder::new(&listing, thread, stop);
    let counts = run_observed(&launch, &mut memory, &mut recorder).unwrap();
    let Recorder { trace, arrivals, arrived, .. } = recorder;
    memory.write(x, &numbers).unwrap();
    assert_eq!(run(&launch, &mut memory).unwrap(), counts, "looking on changes nothing");
    Seen { trace, arrivals, arrived, listing, counts }
}

fn written(seen: &Seen, opcode: &str) -> Vec<String> {
    let is_it = |traced: &&Traced| seen.listing.line(traced.pc).unwrap().opcode == opcode;
    let writes = seen.trace.iter().filter(is_it).flat_map(|traced| &traced.writes);
    writes.map(|(register, bits)| format!("{} {}", register.name, register.kind.show(*bits))).collect()
}

#[test]
fn a_trace_holds_what_one_thread_wrote() {
    let seen = watch(SPREAD, Some(1), None);
    assert_eq!(seen.trace.len(), 13);
    assert_eq!(written(&seen, "mov.u32"), ["%r1 1", "%r3 0"]);
    assert_eq!(written(&seen, "ld.global.f32"), ["%f1 2"]);
    assert_eq!(written(&seen, "setp.lt.u32"), ["%p1 true"]);
    assert_eq!(written(&seen, "add.f32"), ["%f1 3"]);
    assert!(written(&seen, "add.s64")[0].starts_with("%rd3 0x"), "an address is shown as one");
    // A lane whose guard does not hold has not run the instruction.
    let other = watch(SPREAD, Some(5), None);
    assert_eq!((other.trace.len(), written(&other, "add.f32").len()), (12, 0));
}

#[test]
fn an_arrival_holds_what_the_line_reads_in_every_lane() {
    let seen = watch(SPREAD, None, Some(12));
    let [arrival] = &seen.arrivals[..] else { panic!("{} arrivals", seen.arrivals.len()) };
    let held: Vec<(&str, u64)> =
        arrival.holds.iter().map(|held| (held.register.name.as_str(), held.lanes[7])).collect();
    assert_eq!(held, [("%r1", 7), ("%f1", u64::from(8f32.to_bits()))]);
    assert_eq!((seen.arrived, arrival.ran.len(), arrival.lanes), (1, 4, u32::MAX));
    let [store] = &arrival.ran[3].accesses[..] else { panic!("one access") };
    assert_eq!((store.space, store.bytes, store.is_write, store.addresses[3]), (Space::Shared, 4, true, 24));
    // Two words apart: banks 0, 2, .. are asked twice, by lanes 0 and 16, 1 and 17 and so on.
    let passes = passes(store);
    assert_eq!(passes.len() as u64, 1 + seen.counts.shared_bank_conflicts);
    assert_eq!([passes[0].banks[2], passes[1].banks[2], passes[0].banks[1]], [Some(1), Some(17), None]);
}

#[test]
fn only_what_may_still_be_read_is_live() {
    let Seen { listing, .. } = watch(SPREAD, None, None);
    let pc =
        |opcode| (0..listing.len() as u32).find(|&pc| listing.line(pc).unwrap().opcode == opcode).unwrap();
    let register = |name| {
        let all = (0..listing.len() as u32).flat_map(|pc| &listing.line(pc).unwrap().writes);
        all.into_iter().find(|register| register.name == name).unwrap()
    };
    let setp = pc("setp.lt.u32");
    assert!(listing.is_live(setp, register("%f1")) && listing.is_live(setp, register("%r1")));
    assert!(!listing.is_live(setp, register("%r4")) && !listing.is_live(setp, register("%p1")));
    // The guarded add leaves %f1 of other lanes as it was: it is live before it, and so is the guard.
    assert!(listing.is_live(pc("add.f32"), register("%p1")));
    assert_eq!(listing.live_count(setp), 3);
    assert_eq!(listing.live_count(0), 0);
}

#[test]
fn lines_are_found_by_the_end_of_their_path() {
    let Seen { listing, .. } = watch(SPREAD, None, None);
    assert_eq!(listing.source_lines("b.cu").into_iter().collect::<Vec<u32>>(), [10, 11, 12, 13]);
    assert_eq!(listing.source_lines("a/b.cu").len(), 4);
    assert!(listing.source_lines(".cu").is_empty() && listing.source_lines("c.cu").is_empty());
}

#[test]
fn a_product_is_seen_as_matrices() {
    let seen = watch(PRODUCT, None, Some(4));
    let [a, b, c, d] = &seen.arrivals[0].ran[0].matrices[..] else { panic!("four matrices") };
    assert_eq!(
        [a, b, c, d].map(|m| (m.letter, m.rows.len(), m.rows[0].len())),
        [('A', 16, 16), ('B', 16, 8), ('C', 16, 8), ('D', 16, 8)]
    );
    assert!(a.rows.iter().flatten().all(|cell| cell.value == 1.0));
    assert!(d.rows.iter().flatten().all(|cell| cell.value == 32.5));
    // PTX manual: row 8 of D, columns 2 and 3, are the third and fourth register of lane 1.
    assert_eq!((d.rows[8][3].lane, d.rows[8][3].register.as_str(), d.rows[8][3].half), (1, "%f4", None));
    assert_eq!((a.rows[0][1].lane, a.rows[0][1].register.as_str(), a.rows[0][1].half), (0, "%r1", Some(1)));
    assert_eq!(seen.arrivals[0].holds[0].register.kind, Kind::Bf16x2);
    assert_eq!(seen.arrivals[0].holds[0].register.kind.show(0x3f80_4000), "2, 1");
}

#[test]
fn numbers_are_shown_with_six_digits() {
    let shown = [0.0, 1.5, -0.333_333_343, 123_456.0, 1e7, 3.1e-9, f64::NAN].map(kind::float);
    assert_eq!(shown, ["0", "1.5", "-0.333333", "123456", "1.00000e7", "3.10000e-9", "NaN"]);
    assert_eq!(Kind::Signed(4).show(0xffff_fffe), "-2");
}
