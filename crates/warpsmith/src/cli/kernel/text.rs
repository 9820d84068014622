//! The report as text, and a fault as what a learner reads.

use std::fmt::Write;

use warpsmith_emulator::{Counts, Fault};

use super::report::{Did, Element, Fragment, Launched, Picture, Place, Report, Row, Stay, Tally};

/// Instructions of one arrival that the text shows: of a line with products, and of others.
const PRODUCTS_SHOWN: usize = 2;
const SHOWN: usize = 16;

/// A fault with the line of the source that it happened at.
pub fn fault(fault: &Fault) -> String {
    let mut text = format!("{:?}: {fault}", fault.kind);
    if let Some(at) = &fault.source
        && let Some(source) = warpsmith_kernels::source(&at.file)
        && let Some(line) = source.lines().nth(at.line.saturating_sub(1) as usize)
    {
        let _ = write!(text, "\n{:>6} | {}", at.line, line.trim_end());
    }
    text
}

/// The whole report. Counts are printed if they are asked for.
pub fn report(report: &Report, with_counts: bool) -> String {
    let mut out = String::new();
    let sizes = report.sizes.join(", ");
    let _ = writeln!(out, "{} {}: {sizes}; schedule {}", report.kernel, report.dtype, report.schedule);
    for launch in &report.launches {
        let _ = launched(&mut out, launch, with_counts);
    }
    if with_counts {
        let _ = sum(&mut out, report);
    }
    for (i, output) in report.outputs.iter().enumerate() {
        let verdict = if output.holds { "holds" } else { "WRONG" };
        let _ = writeln!(
            out,
            "output {i} {} {}: {verdict}; worst at element {}: {} for {}, {:.0} % of the allowed {:.1e}",
            output.dtype,
            output.shape,
            output.element,
            output.found,
            output.expected,
            100.0 * output.share,
            output.allowed
        );
    }
    out
}

fn launched(out: &mut String, launch: &Launched, with_counts: bool) -> std::fmt::Result {
    let ([gx, gy, gz], [bx, by, bz]) = (launch.grid, launch.block);
    let shared = match (launch.static_shared, launch.dynamic_shared) {
        (0, 0) => "no shared memory".to_owned(),
        (fixed, 0) => format!("{fixed} B of shared memory"),
        (fixed, dynamic) => format!("{} B of shared memory", fixed + dynamic),
    };
    writeln!(out, "\n{}: {gx} x {gy} x {gz} blocks of {bx} x {by} x {bz} threads, {shared}", launch.entry)?;
    if with_counts {
        tally(out, &launch.counts)?;
        launch.header.iter().try_for_each(|line| writeln!(out, "  header          {line}"))?;
    }
    if launch.traced > 0 {
        writeln!(out, "  trace of {} instructions", launch.traced)?;
        trace(out, launch)?;
    }
    for (i, stay) in launch.arrivals.iter().enumerate() {
        arrival(out, i + 1, launch.arrived, stay)?;
    }
    Ok(())
}

fn percent(share: Option<f64>) -> String {
    share.map_or("none".to_owned(), |share| format!("{:.0} %", 100.0 * share))
}

fn tally(out: &mut String, tally: &Tally) -> std::fmt::Result {
    let c = &tally.counts;
    let Counts { integer, float, memory, control, warp, matrix, .. } = c;
    writeln!(
        out,
        "  instructions    {} by warps: {integer} integer, {float} float, {memory} memory, {control} control, {warp} warp, {matrix} matrix",
        c.instructions
    )?;
    let lanes = c.lane_operations as f64 / (32 * c.instructions.max(1)) as f64;
    writeln!(out, "  lanes at work   {:.0} % of 32", 100.0 * lanes)?;
    writeln!(
        out,
        "  global read     {} B in {} sectors of 32 B: {} used",
        c.global_read_bytes,
        c.global_read_sectors,
        percent(tally.read_efficiency)
    )?;
    writeln!(
        out,
        "  global written  {} B in {} sectors of 32 B: {} used",
        c.global_write_bytes,
        c.global_write_sectors,
        percent(tally.write_efficiency)
    )?;
    writeln!(
        out,
        "  shared          {} B read, {} B written, {} bank conflicts",
        c.shared_read_bytes, c.shared_write_bytes, c.shared_bank_conflicts
    )?;
    writeln!(out, "  tensor cores    {} flops", c.matrix_flops)?;
    writeln!(out, "  barriers        {} arrivals of warps; atomics {}", c.barriers, c.atomics)
}

fn sum(out: &mut String, report: &Report) -> std::fmt::Result {
    let (total, cost) = (&report.total.counts, &report.cost);
    writeln!(out, "\n{:<16}{:>14} {:>14}   the op's formula", "in all", "counted", "formula")?;
    let rows = [
        ("bytes read", total.global_read_bytes, &cost.read),
        ("bytes written", total.global_write_bytes, &cost.written),
        ("flops", total.matrix_flops, &cost.flops),
    ];
    for (name, counted, term) in rows {
        let counted = if name == "flops" && counted == 0 { "no mma".to_owned() } else { counted.to_string() };
        writeln!(out, "{name:<16}{counted:>14} {:>14}   {}", term.value, term.formula)?;
    }
    writeln!(out)
}

fn source(place: &Place) -> String {
    match (&place.source, place.source_text) {
        (Some(source), Some(text)) => format!("{source}: {text}"),
        (Some(source), None) => source.clone(),
        _ => String::new(),
    }
}

fn trace(out: &mut String, launch: &Launched) -> std::fmt::Result {
    let mut before = String::new();
    for step in &launch.trace {
        let line = source(&step.place);
        if line != before {
            writeln!(out, "  {line}")?;
            before = line;
        }
        let writes = step.writes.iter().map(|v| format!("{} = {} ({})", v.register, v.value, v.hex));
        let all: Vec<String> = writes.chain(step.touches.iter().cloned()).collect();
        writeln!(out, "  {:>6}  {:<58} {}", step.count, step.place.instruction, all.join(", "))?;
    }
    if launch.traced > launch.trace.len() {
        writeln!(out, "  {} more: --limit", launch.traced - launch.trace.len())?;
    }
    Ok(())
}

fn arrival(out: &mut String, number: usize, of: usize, stay: &Stay) -> std::fmt::Result {
    writeln!(
        out,
        "  arrival {number} of {of}, instruction {} of the warp, lanes {}",
        stay.count, stay.lanes
    )?;
    writeln!(out, "  {}", source(&stay.place))?;
    // The operands of a product are shown as matrices, in its own place.
    if stay.ran.iter().all(|did| did.matrices.is_empty()) {
        writeln!(out, "  {} registers are live; the line reads", stay.live)?;
        stay.holds.iter().try_for_each(|row| held(out, row))?;
    }
    let has_products = stay.ran.iter().any(|did| !did.matrices.is_empty());
    let shown = if has_products { PRODUCTS_SHOWN } else { SHOWN };
    stay.ran.iter().take(shown).try_for_each(|did| ran(out, did))?;
    match stay.ran.len().saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(out, "  {more} more instructions of the line: --html and --json have them all"),
    }
}

/// A register in all lanes, eight to a line.
fn held(out: &mut String, row: &Row) -> std::fmt::Result {
    let Row { register, kind, hex, values } = row;
    let ran = || values.iter().zip(hex).filter(|(value, _)| *value != ".");
    if let Some((value, hex)) = ran().next()
        && ran().all(|(other, _)| other == value)
    {
        let who = if ran().count() == values.len() { "in every lane" } else { "in each of them" };
        return writeln!(out, "    {register:<6} {kind:<8} {who} {value} ({hex})");
    }
    let width = values.iter().map(String::len).max().unwrap_or(0);
    for (part, values) in values.chunks(8).enumerate() {
        let name = if part == 0 { format!("{register:<6} {kind:<8}") } else { String::new() };
        let cells: Vec<String> = values.iter().map(|value| format!("{value:>width$}")).collect();
        writeln!(out, "    {name:<15} lane {:>2}: {}", 8 * part, cells.join("  "))?;
    }
    Ok(())
}

fn ran(out: &mut String, did: &Did) -> std::fmt::Result {
    writeln!(out, "  > {}   [PTX line {}, lanes {}]", did.place.instruction, did.place.ptx_line, did.lanes)?;
    did.pictures.iter().try_for_each(|picture| banks(out, picture))?;
    did.matrices.iter().try_for_each(|matrix| fragment(out, matrix))?;
    if did.matrices.is_empty() {
        did.writes.iter().try_for_each(|row| held(out, row))?;
    }
    Ok(())
}

fn banks(out: &mut String, picture: &Picture) -> std::fmt::Result {
    writeln!(out, "    {}", picture.what)?;
    if picture.passes.is_empty() {
        return Ok(());
    }
    let numbers: String = (0..32).map(|bank| format!("{bank:>3}")).collect();
    writeln!(out, "    bank  {numbers}")?;
    for (i, pass) in picture.passes.iter().enumerate() {
        let lanes: String =
            pass.iter().map(|lane| lane.map_or("  .".to_owned(), |lane| format!("{lane:>3}"))).collect();
        writeln!(out, "    pass {:<2}{lanes}", i + 1)?;
    }
    writeln!(out, "    (the lane that each bank serves; lanes that share a word are one)")
}

/// Values, and beside them the lane, the register's letter and the half that hold each.
fn fragment(out: &mut String, matrix: &Fragment) -> std::fmt::Result {
    let letter = |index: usize| char::from(b'a' + (index % 26) as u8);
    let names: Vec<String> =
        matrix.registers.iter().enumerate().map(|(i, name)| format!("{} = {name}", letter(i))).collect();
    let is_split = matrix.rows.iter().flatten().any(|cell| cell.half.is_some());
    let halves = if is_split { "; . lower half, ' upper half" } else { "" };
    writeln!(
        out,
        "    {} of {}; lane and register of each: {}{halves}",
        matrix.letter,
        matrix.shape,
        names.join(", ")
    )?;
    let width = matrix.rows.iter().flatten().map(|cell| cell.value.len()).max().unwrap_or(0);
    for row in &matrix.rows {
        let values: Vec<String> = row.iter().map(|cell| format!("{:>width$}", cell.value)).collect();
        let holders = row.iter().map(|Element { lane, register, half, .. }| {
            let half = half.map_or("", |half| if half == 0 { "." } else { "'" });
            format!("{:>5}", format!("{lane}{}{half}", letter(*register)))
        });
        writeln!(out, "    {}  |{}", values.join(" "), holders.collect::<String>())?;
    }
    Ok(())
}
