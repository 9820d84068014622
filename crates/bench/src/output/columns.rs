//! The table that Markdown and HTML share: its columns, and what stands above it.

use crate::counts::Counts;
use crate::machine::Power;
use crate::record::{COUNTED, Record, Row, Status, Step};

/// The columns: name, and whether it holds numbers.
pub const COLUMNS: [(&str, bool); 15] = [
    ("task", false),
    ("shape", false),
    ("by", false),
    ("time", true),
    ("tok/s", true),
    ("GFLOP/s", true),
    ("GB/s", true),
    ("of ceiling", true),
    ("time ÷ first", true),
    ("step", false),
    ("read", true),
    ("written", true),
    ("by formula", true),
    ("clocks", false),
    ("note", false),
];

/// One row of the table.
pub fn cells(row: &Row, record: &Record) -> Vec<String> {
    let time = row.time.as_ref();
    let text = |value: Option<String>| value.unwrap_or_default();
    let bytes = |pick: fn(&crate::counts::Counts) -> u64| text(row.counts.as_ref().map(|c| size(pick(c))));
    vec![
        row.kind(),
        row.shape.clone(),
        row.implementation.clone(),
        text(time.map(|t| format!("{} ± {:.1} %", duration(t.median_us), 100.0 * t.spread))),
        text(row.tokens_per_second().map(short)),
        text(time.filter(|_| row.flops > 0).map(|t| short(t.gflop_s))),
        text(time.map(|t| short(t.gb_s))),
        text(row.of_ceiling(&record.ceilings).map(|(share, of)| format!("{share:.0} % {of}"))),
        text(time.and_then(|t| {
            let bounds =
                t.ratio_bounds.map_or(String::new(), |(low, high)| format!(" [{low:.2}, {high:.2}]"));
            t.ratio.map(|ratio| format!("{ratio:.2}{bounds}"))
        })),
        text(row.step.as_ref().map(step)),
        bytes(|c| c.global_read_bytes),
        bytes(|c| c.global_write_bytes),
        text(row.counts.as_ref().map(|_| size(row.bytes))),
        text(time.and_then(|t| t.power.as_ref().map(clocks))),
        note(row),
    ]
}

/// What a rung gains over the one below.
fn step(step: &Step) -> String {
    let speed = step.times_as_fast.map(|times| format!("{times:.2} × as fast"));
    let fewer = step.times_fewer.iter().map(|(what, times)| match times {
        Some(times) if *times < 1.0 => format!("{} × more {what}", short(1.0 / times)),
        Some(times) => format!("{} × fewer {what}", short(*times)),
        None => format!("no {what}"),
    });
    speed.into_iter().chain(fewer).collect::<Vec<_>>().join(", ")
}

fn note(row: &Row) -> String {
    let reason = row.why();
    match row.status {
        Status::Ok => {
            let counted = row.counts.as_ref().map(|c| counted(c, row.flops));
            let told = Some(reason).filter(|reason| !reason.is_empty());
            [counted, told].into_iter().flatten().collect::<Vec<_>>().join("; ")
        }
        Status::Unsupported => format!("not done: {reason}"),
        Status::Refused => format!("REFUSED, not timed: {reason}"),
    }
}

/// What was counted, in words; FLOPs of tensor cores beside those of the formula.
fn counted(counts: &Counts, flops: u64) -> String {
    let s = if counts.launches == 1 { "" } else { "es" };
    let sectors = counts.global_read_sectors + counts.global_write_sectors;
    let mut text = format!(
        "{} launch{s}, {} instructions, {} sectors, {} bank conflicts",
        counts.launches,
        thousands(counts.instructions),
        thousands(sectors),
        thousands(counts.shared_bank_conflicts)
    );
    if counts.matrix_flops > 0 {
        let mega = |flops: u64| short(flops as f64 / 1e6);
        text += &format!(", {} MFLOP of tensor cores (formula {})", mega(counts.matrix_flops), mega(flops));
    }
    text
}

/// What stands above the table: a name and a value each.
pub fn facts(record: &Record) -> Vec<(&'static str, String)> {
    let machine = &record.machine;
    let mut facts = Vec::new();
    let capability =
        machine.capability.as_ref().map_or(String::new(), |c| format!(", compute capability {c}"));
    facts.push(("device", format!("{}: {}{capability}", machine.device, machine.name)));
    if machine.name != machine.cpu {
        facts.push(("host", machine.cpu.clone()));
    }
    facts.push(("driver", machine.driver.clone().unwrap_or_else(|| "n/a".into())));
    facts.push(("clocks", machine.power.as_ref().map_or_else(|| "n/a".into(), clocks)));
    let is_timed = record.method.cache != COUNTED;
    let load = machine.load.map_or(String::new(), |load| {
        let busy = if is_timed && load > 0.5 * machine.threads as f64 {
            ", a busy machine: times mean little"
        } else {
            ""
        };
        format!("; load average {load:.2} at the start{busy}")
    });
    facts.push(("host threads", format!("{}{load}", machine.threads)));
    let commit = machine.commit.as_deref().unwrap_or("unknown commit");
    facts.push(("program", format!("warpsmith {} ({commit}) on {}", machine.version, machine.system)));
    facts.extend(machine.torch.clone().map(|version| ("PyTorch", version)));
    let method = &record.method;
    facts.push((
        "method",
        match method.cache.as_str() {
            COUNTED => "counted, not timed: an emulated device says nothing about speed".into(),
            cache => format!(
                "median ± half the distance of the quartiles; up to {} rounds in turn, about {} s each; {cache} caches; \
                 random inputs of seed {}; each answer proven before and after",
                method.rounds, method.seconds, method.seed
            ),
        },
    ));
    let ceilings = &record.ceilings;
    let copy = ceilings.copy_gb_s.map(|rate| format!("copy {} GB/s", short(rate)));
    let products = ceilings
        .matmul_gflop_s
        .iter()
        .map(|(dtype, rate)| format!("matmul {dtype} {} GFLOP/s", short(*rate)));
    let measured: Vec<String> = copy.into_iter().chain(products).collect();
    if !measured.is_empty() {
        facts.push(("ceilings, measured in this run", measured.join(", ")));
    }
    facts.push(("command", format!("`{}`", machine.command)));
    facts
}

fn clocks(power: &Power) -> String {
    let part = |value: Option<f64>, unit: &str| value.map(|v| format!("{v:.0} {unit}"));
    let parts = [
        part(power.sm_mhz, "MHz"),
        part(power.memory_mhz, "MHz memory"),
        part(power.watts, "W"),
        part(power.celsius, "°C"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Microseconds in the unit that fits.
pub fn duration(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.1} µs"),
        us if us < 1e6 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

/// Three or four significant digits; of what is below a tenth two, so that a small number is not shown as none.
pub fn short(value: f64) -> String {
    match value {
        v if 0.0 < v && v < 0.1 => format!("{v:.0$}", (1.0 - v.log10().floor()) as usize),
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// Bytes in the unit that fits.
pub fn size(bytes: u64) -> String {
    match bytes {
        b if b < 10 << 10 => format!("{b} B"),
        b if b < 10 << 20 => format!("{} KiB", b >> 10),
        b => format!("{} MiB", b >> 20),
    }
}

/// A count with a blank between its thousands.
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| str::from_utf8(part).ok()).collect();
    groups.join("\u{202f}")
}
