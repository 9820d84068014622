//! What a run has to say, as data: the text, the page and the JSON are three ways to print it.

use serde::Serialize;
use warpsmith_emulator::Counts;
use warpsmith_emulator::observe::{
    Access, Arrival, Held, Kind, Line, Listing, Matrix, Space, Traced, passes, sectors,
};

use super::case::Call;
use super::stage::{Comparison, Ran};
use crate::cli::Failure;

/// One run.
#[derive(Serialize)]
pub struct Report {
    pub kernel: &'static str,
    pub dtype: &'static str,
    /// Letters with their sizes, such as `N = 256`.
    pub sizes: Vec<String>,
    pub seed: u64,
    pub schedule: String,
    pub launches: Vec<Launched>,
    /// The counts of all launches together.
    pub total: Tally,
    pub cost: Cost,
    pub outputs: Vec<Comparison>,
    pub holds: bool,
}

/// What the op's formulas say, each tensor counted once.
#[derive(Serialize)]
pub struct Cost {
    pub read: Term,
    pub written: Term,
    pub flops: Term,
}

/// A formula and its value.
#[derive(Serialize)]
pub struct Term {
    pub formula: &'static str,
    pub value: u64,
}

/// One launch.
#[derive(Serialize)]
pub struct Launched {
    pub entry: &'static str,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub static_shared: u32,
    pub dynamic_shared: u32,
    pub counts: Tally,
    /// The header's lines `Traffic` and `Shared memory`.
    pub header: Vec<String>,
    /// How many instructions the followed thread ran, of which `trace` keeps the first.
    pub traced: usize,
    pub trace: Vec<Step>,
    /// How often the warp came to the line, of which `arrivals` keeps the first.
    pub arrived: usize,
    pub arrivals: Vec<Stay>,
}

/// The emulator's counts with what follows from them.
#[derive(Serialize)]
pub struct Tally {
    #[serde(flatten)]
    pub counts: Counts,
    /// Bytes asked for, as a share of the sectors' 32 bytes each; above 1 where lanes share bytes. None without access.
    pub read_efficiency: Option<f64>,
    pub write_efficiency: Option<f64>,
}

impl From<Counts> for Tally {
    fn from(counts: Counts) -> Self {
        let efficiency =
            |bytes: u64, sectors: u64| (sectors > 0).then(|| bytes as f64 / (32 * sectors) as f64);
        Self {
            read_efficiency: efficiency(counts.global_read_bytes, counts.global_read_sectors),
            write_efficiency: efficiency(counts.global_write_bytes, counts.global_write_sectors),
            counts,
        }
    }
}

/// A place in PTX and source.
#[derive(Serialize)]
pub struct Place {
    pub ptx_line: u32,
    pub instruction: String,
    /// `file:line`, if the PTX names it.
    pub source: Option<String>,
    pub source_text: Option<&'static str>,
}

/// What one register holds in one lane.
#[derive(Serialize)]
pub struct Value {
    pub register: String,
    pub hex: String,
    pub value: String,
}

/// An instruction of the followed thread.
#[derive(Serialize)]
pub struct Step {
    pub count: u64,
    pub place: Place,
    pub writes: Vec<Value>,
    /// What it touched, in words.
    pub touches: Vec<String>,
}

/// What one register holds in all lanes.
#[derive(Serialize)]
pub struct Row {
    pub register: String,
    pub kind: String,
    pub hex: Vec<String>,
    pub values: Vec<String>,
}

/// A stay of a warp at the line.
#[derive(Serialize)]
pub struct Stay {
    pub count: u64,
    pub lanes: String,
    /// Registers that hold something which may still be read.
    pub live: usize,
    pub place: Place,
    pub holds: Vec<Row>,
    pub ran: Vec<Did>,
}

/// An instruction at the line.
#[derive(Serialize)]
pub struct Did {
    pub place: Place,
    pub lanes: String,
    pub writes: Vec<Row>,
    pub pictures: Vec<Picture>,
    pub matrices: Vec<Fragment>,
}

/// An access, and if it is of shared memory the passes over the banks.
#[derive(Serialize)]
pub struct Picture {
    pub what: String,
    /// Of each pass: the lane that each of the 32 banks serves.
    pub passes: Vec<[Option<u8>; 32]>,
}

/// An operand of a product.
#[derive(Serialize)]
pub struct Fragment {
    pub letter: char,
    pub shape: &'static str,
    pub registers: Vec<String>,
    pub rows: Vec<Vec<Element>>,
}

/// An element of an operand, and who holds it.
#[derive(Serialize)]
pub struct Element {
    pub value: String,
    pub lane: u8,
    /// Its register: the place in [`Fragment::registers`].
    pub register: usize,
    /// 0 or 1 if two share the register: the lower, the upper half.
    pub half: Option<u8>,
}

/// What the op's formulas say of a call.
pub fn cost(call: &Call) -> Result<Cost, Failure> {
    let cost = call.op.cost();
    let (read, written, flops) = cost.values(&*call.op, &call.metas())?;
    let term = |formula: warpsmith::autograd::Formula, value| Term { formula: formula.0, value };
    Ok(Cost {
        read: term(cost.read, read),
        written: term(cost.written, written),
        flops: term(cost.flops, flops),
    })
}

/// One launch, with at most `limit` steps of the trace.
pub fn launched(ran: &Ran, lane: usize, limit: usize) -> Launched {
    let seen = ran.seen.as_ref();
    let trace = seen.map_or(&[][..], |seen| &seen.trace);
    let steps =
        seen.iter().flat_map(|seen| seen.trace.iter().take(limit).map(|t| step(&seen.listing, t, lane)));
    let stays = seen.iter().flat_map(|seen| seen.arrivals.iter().map(|a| stay(&seen.listing, a)));
    Launched {
        entry: ran.entry.name,
        grid: ran.grid,
        block: ran.block,
        static_shared: ran.static_shared,
        dynamic_shared: ran.dynamic_shared,
        counts: Tally::from(ran.counts),
        header: header(warpsmith_kernels::source_of(ran.entry.module).unwrap_or("")),
        traced: trace.len(),
        trace: steps.collect(),
        arrived: seen.map_or(0, |seen| seen.arrived),
        arrivals: stays.collect(),
    }
}

/// The paragraphs of a kernel's header that numbers can be held against.
fn header(source: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut is_wanted = false;
    for line in source.lines().map_while(|line| line.strip_prefix("//")) {
        let starts = line.starts_with(" ") && !line.starts_with("   ") && line.contains(": ");
        if starts {
            is_wanted = ["Traffic", "Shared memory"].iter().any(|word| line.trim_start().starts_with(word));
        }
        match found.last_mut() {
            Some(last) if is_wanted && !starts => *last = format!("{last} {}", line.trim()),
            _ if is_wanted && starts => found.push(line.trim().to_owned()),
            _ => {}
        }
    }
    found
}

fn place(line: &Line) -> Place {
    let text = line.source.as_ref().and_then(|at| {
        let source = warpsmith_kernels::source(&at.file)?;
        source.lines().nth((at.line as usize).checked_sub(1)?).map(str::trim)
    });
    Place {
        ptx_line: line.ptx_line,
        instruction: line.text.replace('\t', " "),
        source: line.source.as_ref().map(|at| format!("{}:{}", at.file, at.line)),
        source_text: text,
    }
}

fn at(listing: &Listing, pc: u32) -> Place {
    listing.line(pc).map_or_else(|| place(&Line::default()), place)
}

fn step(listing: &Listing, traced: &Traced, lane: usize) -> Step {
    let writes = traced.writes.iter().map(|(register, bits)| Value {
        register: register.name.clone(),
        hex: hex(*bits, register.bits()),
        value: register.kind.show(*bits),
    });
    let touches = traced.accesses.iter().map(|access| {
        let way = if access.is_write { "writes" } else { "reads" };
        format!("{way} {} B of {} at {:#x}", access.bytes, space(access.space), access.addresses[lane])
    });
    let (writes, touches) = (writes.collect(), touches.collect());
    Step { count: traced.count, place: at(listing, traced.pc), writes, touches }
}

fn stay(listing: &Listing, arrival: &Arrival) -> Stay {
    let did = arrival.ran.iter().map(|ran| Did {
        place: at(listing, ran.pc),
        lanes: format!("{:#010x}", ran.lanes),
        writes: ran.writes.iter().map(|held| row(held, ran.lanes)).collect(),
        pictures: ran.accesses.iter().map(picture).collect(),
        matrices: ran.matrices.iter().map(fragment).collect(),
    });
    Stay {
        count: arrival.count,
        lanes: format!("{:#010x}", arrival.lanes),
        live: listing.live_count(arrival.pc),
        place: at(listing, arrival.pc),
        holds: arrival.holds.iter().map(|held| row(held, arrival.lanes)).collect(),
        ran: did.collect(),
    }
}

fn hex(bits: u64, width: u32) -> String {
    format!("0x{bits:0digits$x}", digits = (width as usize).div_ceil(4))
}

/// A register; lanes that had no part in it are shown as a dot.
fn row(held: &Held, lanes: u32) -> Row {
    let (register, width) = (&held.register, held.register.bits());
    let cell = |show: &dyn Fn(u64) -> String| {
        let all = held.lanes.iter().enumerate();
        all.map(|(lane, &bits)| if lanes >> lane & 1 != 0 { show(bits) } else { ".".to_owned() }).collect()
    };
    Row {
        register: register.name.clone(),
        kind: kind(register.kind, width),
        hex: cell(&|bits| hex(bits, width)),
        values: cell(&|bits| register.kind.show(bits)),
    }
}

/// A kind as PTX would write the type.
fn kind(kind: Kind, width: u32) -> String {
    match kind {
        Kind::Bits => format!("b{width}"),
        Kind::Unsigned => format!("u{width}"),
        Kind::Signed(_) => format!("s{width}"),
        Kind::Truth => "pred".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn space(space: Space) -> &'static str {
    match space {
        Space::Global => "global memory",
        Space::Shared => "shared memory",
        Space::Local => "local memory",
        Space::Param => "the parameters",
    }
}

fn picture(access: &Access) -> Picture {
    let lanes = access.lanes.count_ones();
    let way = if access.is_write { "writes" } else { "reads" };
    let what = format!("{lanes} lanes: each {way} {} B of {}", access.bytes, space(access.space));
    match access.space {
        Space::Shared => {
            let all = passes(access);
            let parts = all.iter().map(|pass| pass.part).collect::<std::collections::BTreeSet<_>>().len();
            let count = all.len();
            let what = format!("{what}: {count} passes over the banks, {} of them conflicts", count - parts);
            Picture { what, passes: all.into_iter().map(|pass| pass.banks).collect() }
        }
        Space::Global => {
            let touched = sectors(access);
            let share = 100 * u64::from(lanes) * access.bytes / (32 * touched).max(1);
            Picture { what: format!("{what}: {touched} sectors, {share} % of them used"), passes: Vec::new() }
        }
        _ => Picture { what, passes: Vec::new() },
    }
}

fn fragment(matrix: &Matrix) -> Fragment {
    let mut registers: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for cells in &matrix.rows {
        let mut row = Vec::new();
        for cell in cells {
            let known = registers.iter().position(|register| *register == cell.register);
            let index = known.unwrap_or(registers.len());
            if known.is_none() {
                registers.push(cell.register.clone());
            }
            let value = Kind::F64.show(cell.value.to_bits());
            row.push(Element { value, lane: cell.lane, register: index, half: cell.half });
        }
        rows.push(row);
    }
    Fragment { letter: matrix.letter, shape: matrix.shape, registers, rows }
}
