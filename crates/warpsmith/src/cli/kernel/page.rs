//! The report as one page of HTML that needs nothing else: light and dark, readable without scripts.

use std::fmt::Write;

use warpsmith::train::report::escape;

use super::report::{Did, Element, Fragment, Launched, Place, Report, Row, Stay, Tally};

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fdfdfb; --line: #d5d5d0; --soft: #f1f1ec; --mark: #8a3b12; --bad: #b00020; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e6e1; --paper: #17181a; --line: #3a3c40; --soft: #222428; --mark: #f0a36b; --bad: #ff6b7d; }
}
body { color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; } h3 { font-size: 1rem; } h2 code { font-size: 1em; }
code, td, th { font-family: ui-monospace, monospace; font-size: 12.5px; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; } td, th { padding: 2px 7px; border: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { background: var(--soft); font-weight: 600; } td.text, th.text { text-align: left; }
.source { color: var(--mark); } .small { opacity: .65; font-size: 11px; } .bad { color: var(--bad); font-weight: 700; }
details > summary { cursor: pointer; }
";

/// The page.
pub fn page(report: &Report) -> String {
    let title = format!("{} {}, {}", report.kernel, report.dtype, report.sizes.join(", "));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{0}</title><style>{STYLE}</style></head><body>\n\
         <h1>{0}</h1>\n<p>Run by the emulator, warps and blocks in {1} order, inputs drawn from seed {2}.</p>\n",
        escape(&title),
        escape(&report.schedule),
        report.seed
    );
    outputs(&mut out, report);
    sums(&mut out, report);
    report.launches.iter().for_each(|launch| launched(&mut out, launch));
    out.push_str("</body></html>\n");
    out
}

/// A table: its head, and rows of cells, each as it stands.
fn table(out: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    out.push_str("<div class=\"scroll\"><table>");
    if !head.is_empty() {
        let cells: String = head.iter().map(|cell| format!("<th>{cell}</th>")).collect();
        let _ = write!(out, "<tr>{cells}</tr>");
    }
    for row in rows {
        let _ = write!(out, "<tr>{}</tr>", row.concat());
    }
    out.push_str("</table></div>\n");
}

fn cell(text: impl std::fmt::Display) -> String {
    format!("<td>{}</td>", escape(&text.to_string()))
}

fn words(text: impl std::fmt::Display) -> String {
    format!("<td class=\"text\">{}</td>", escape(&text.to_string()))
}

fn outputs(out: &mut String, report: &Report) {
    out.push_str("<h2>Against loops in f64</h2>\n");
    let rows = report.outputs.iter().enumerate().map(|(i, o)| {
        let verdict = if o.holds { "<td>holds</td>" } else { "<td class=\"bad\">wrong</td>" };
        let share = format!("{:.0} %", 100.0 * o.share);
        let cells = [cell(i), cell(format!("{} {}", o.dtype, o.shape)), verdict.to_owned(), cell(o.element)];
        [&cells[..], &[cell(o.found), cell(o.expected), cell(format!("{:.2e}", o.allowed)), cell(share)]]
            .concat()
    });
    let head =
        ["output", "is", "verdict", "worst element", "found", "expected", "allowed error", "of it used"];
    table(out, &head, rows);
}

fn sums(out: &mut String, report: &Report) {
    out.push_str("<h2>Counted, beside the op's formulas</h2>\n");
    let (t, c) = (&report.total.counts, &report.cost);
    let rows = [
        ("bytes read", t.global_read_bytes, &c.read),
        ("bytes written", t.global_write_bytes, &c.written),
        ("flops of tensor cores", t.matrix_flops, &c.flops),
    ];
    let rows = rows
        .into_iter()
        .map(|(name, counted, term)| vec![words(name), cell(counted), cell(term.value), words(term.formula)]);
    table(out, &["", "counted", "formula", "the formula"], rows);
}

fn launched(out: &mut String, launch: &Launched) {
    let size = |axes: [u32; 3]| axes.map(|n| n.to_string()).join(" x ");
    let _ = writeln!(
        out,
        "<h2><code>{}</code></h2><p>{} blocks of {} threads; shared memory: {} B static, {} B dynamic.</p>",
        launch.entry,
        size(launch.grid),
        size(launch.block),
        launch.static_shared,
        launch.dynamic_shared
    );
    for line in &launch.header {
        let _ = writeln!(out, "<p><code>{}</code></p>", escape(line));
    }
    tally(out, &launch.counts);
    if !launch.trace.is_empty() {
        let _ = writeln!(out, "<h3>Trace: {} of {} instructions</h3>", launch.trace.len(), launch.traced);
        trace(out, launch);
    }
    for (i, stay) in launch.arrivals.iter().enumerate() {
        let _ = writeln!(out, "<h3>Arrival {} of {}</h3>", i + 1, launch.arrived);
        arrival(out, stay);
    }
}

fn tally(out: &mut String, tally: &Tally) {
    let c = &tally.counts;
    let share =
        |share: Option<f64>| share.map_or("none".to_owned(), |share| format!("{:.0} %", 100.0 * share));
    let rows = [
        ("instructions of warps", c.instructions.to_string()),
        ("of them integer", c.integer.to_string()),
        ("float", c.float.to_string()),
        ("memory", c.memory.to_string()),
        ("control", c.control.to_string()),
        ("warp", c.warp.to_string()),
        ("matrix", c.matrix.to_string()),
        ("global bytes read", c.global_read_bytes.to_string()),
        ("in sectors of 32 bytes", c.global_read_sectors.to_string()),
        ("of which used", share(tally.read_efficiency)),
        ("global bytes written", c.global_write_bytes.to_string()),
        ("in sectors of 32 bytes", c.global_write_sectors.to_string()),
        ("of which used", share(tally.write_efficiency)),
        ("shared bytes read", c.shared_read_bytes.to_string()),
        ("shared bytes written", c.shared_write_bytes.to_string()),
        ("bank conflicts", c.shared_bank_conflicts.to_string()),
        ("flops of tensor cores", c.matrix_flops.to_string()),
        ("arrivals of warps at barriers", c.barriers.to_string()),
        ("atomics", c.atomics.to_string()),
    ];
    table(out, &[], rows.into_iter().map(|(name, value)| vec![words(name), cell(value)]));
}

fn source(place: &Place) -> String {
    let at = place.source.as_deref().unwrap_or("");
    format!("<span class=\"source\">{}</span> {}", escape(at), escape(place.source_text.unwrap_or("")))
}

fn trace(out: &mut String, launch: &Launched) {
    let rows = launch.trace.iter().map(|step| {
        let writes = step.writes.iter().map(|v| format!("{} = {} ({})", v.register, v.value, v.hex));
        let all: Vec<String> = writes.chain(step.touches.iter().cloned()).collect();
        let line = format!("<td class=\"text\">{}</td>", source(&step.place));
        vec![cell(step.count), line, words(&step.place.instruction), words(all.join(", "))]
    });
    table(out, &["", "source", "instruction", "wrote"], rows);
}

fn arrival(out: &mut String, stay: &Stay) {
    let _ = writeln!(
        out,
        "<p>{}<br>Instruction {} of the warp, lanes {}; {} registers are live. The line reads:</p>",
        source(&stay.place),
        stay.count,
        stay.lanes,
        stay.live
    );
    registers(out, &stay.holds);
    stay.ran.iter().for_each(|did| ran(out, did));
}

/// A line for each register, a column for each lane.
fn registers(out: &mut String, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let lanes: Vec<String> = (0..32).map(|lane| lane.to_string()).collect();
    let head: Vec<&str> = ["register", "kind"].into_iter().chain(lanes.iter().map(String::as_str)).collect();
    let rows = rows.iter().map(|row| {
        let values = row.values.iter().zip(&row.hex);
        let cells = values.map(|(v, hex)| format!("<td title=\"{hex}\">{}</td>", escape(v)));
        [words(&row.register), words(&row.kind)].into_iter().chain(cells).collect()
    });
    table(out, &head, rows);
}

fn ran(out: &mut String, did: &Did) {
    let _ = writeln!(
        out,
        "<details open><summary><code>{}</code> <span class=\"small\">PTX line {}, lanes {}</span></summary>",
        escape(&did.place.instruction),
        did.place.ptx_line,
        did.lanes
    );
    for picture in &did.pictures {
        let _ = writeln!(out, "<p>{}</p>", escape(&picture.what));
        if picture.passes.is_empty() {
            continue;
        }
        let banks: Vec<String> = (0..32).map(|bank| bank.to_string()).collect();
        let head: Vec<&str> = ["bank"].into_iter().chain(banks.iter().map(String::as_str)).collect();
        let rows = picture.passes.iter().enumerate().map(|(i, pass)| {
            let cells = pass.iter().map(|lane| cell(lane.map_or(String::new(), |lane| lane.to_string())));
            [words(format!("pass {}", i + 1))].into_iter().chain(cells).collect()
        });
        table(out, &head, rows);
    }
    did.matrices.iter().for_each(|matrix| fragment(out, matrix));
    if did.matrices.is_empty() {
        registers(out, &did.writes);
    }
    out.push_str("</details>\n");
}

fn fragment(out: &mut String, matrix: &Fragment) {
    let _ = writeln!(
        out,
        "<p>{} of {}: value, lane and register of each element</p>",
        matrix.letter, matrix.shape
    );
    let rows = matrix.rows.iter().map(|row| {
        let cells = row.iter().map(|Element { value, lane, register, half }| {
            let half = half.map_or("", |half| if half == 0 { " low" } else { " high" });
            let register = matrix.registers.get(*register).map_or("", String::as_str);
            let holder = format!("{lane} {}{half}", escape(register));
            format!("<td>{}<br><span class=\"small\">{holder}</span></td>", escape(value))
        });
        cells.collect()
    });
    table(out, &[], rows);
}
