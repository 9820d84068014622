//! What each entry needs of each GPU, as its assembler reports it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use super::build::hash;
use super::toolchain::{Toolchain, run};
use super::{Failure, Pins, write};
use crate::parallel;

/// One entry on one architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Registers per thread.
    registers: u32,
    /// Bytes of static shared memory per block.
    shared: u32,
    /// Bytes per thread that are kept in local memory: spills, and arrays that are indexed.
    local: u32,
}

/// Entries with their needs, one per architecture in the order of the pins.
pub type Table = BTreeMap<String, Vec<Need>>;

/// Assembles every module for every architecture, the longest first.
///
/// What this machine's assembler has said of the same PTX is kept in the folder `kept` and not asked again.
pub fn measure(
    tools: &Toolchain,
    pins: &Pins,
    built: &Path,
    kept: &Path,
    modules: &[String],
) -> Result<Table, Failure> {
    let ways = pins.architectures();
    let text_of = |module: &String| {
        let path = built.join(format!("{module}.ptx"));
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let mut texts: Vec<(&String, String)> =
        modules.iter().map(|module| Ok((module, text_of(module)?))).collect::<Result<_, Failure>>()?;
    texts.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
    let jobs: Vec<(usize, &String, u64)> = texts
        .iter()
        .flat_map(|(module, text)| (0..ways.len()).map(move |way| (way, *module, hash(text.as_bytes()))))
        .collect();
    let assemble = |&(way, module, ptx): &(usize, &String, u64)| {
        let path = kept.join(format!("{module}.sm_{}", ways[way]));
        let of = format!("{ptx:016x} {}\n", pins.requirements("assemble").join(" "));
        let known = fs::read_to_string(&path).unwrap_or_default();
        if let Some(report) = known.strip_prefix(&of) {
            return parse(report);
        }
        let mut ptxas = Command::new(&tools.ptxas);
        ptxas.args(["--verbose", "--gpu-name", &format!("sm_{}", ways[way])]);
        ptxas.arg(built.join(format!("{module}.ptx"))).args(["--output-file", "/dev/null"]);
        let report = run(&mut ptxas).and_then(|text| Ok((parse(&text)?, text)));
        let (needs, text) = report.map_err(|failure| format!("{module} for sm_{}: {failure}", ways[way]))?;
        write(&path, &(of + &text))?;
        Ok(needs)
    };
    let mut table = Table::new();
    for ((way, ..), report) in jobs.iter().zip(parallel::map(&jobs, assemble)) {
        for (entry, need) in report? {
            table.entry(entry).or_insert_with(|| vec![Need::default(); ways.len()])[*way] = need;
        }
    }
    Ok(table)
}

/// Reads the assembler's report.
fn parse(text: &str) -> Result<Vec<(String, Need)>, Failure> {
    let mut found: Vec<(String, Need)> = Vec::new();
    for line in text.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let name = rest.split('\'').next().unwrap_or("");
            found.push((name.to_owned(), Need::default()));
        }
        let Some((_, need)) = found.last_mut() else { continue };
        if line.contains("bytes stack frame") {
            need.local = line.split(',').filter_map(number_before_bytes).sum();
        }
        if let Some((_, rest)) = line.split_once("Used ") {
            need.registers = rest.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            let shared = rest.split(',').find(|part| part.contains("bytes smem"));
            need.shared = shared.and_then(number_before_bytes).unwrap_or(0);
        }
    }
    match found.iter().find(|(_, need)| need.registers == 0) {
        None => Ok(found),
        Some((name, _)) => Err(format!("the assembler reports no registers for {name}:\n{text}")),
    }
}

/// N of ` N bytes ..`.
fn number_before_bytes(text: &str) -> Option<u32> {
    text.trim().split_once(" bytes").and_then(|(number, _)| number.parse().ok())
}

/// An error if an entry keeps anything in local memory that the pins do not excuse.
pub fn no_spills(table: &Table, pins: &Pins) -> Result<(), Failure> {
    let excused = |entry: &str| pins.section("local-memory").iter().any(|(own, _)| own == entry);
    for (entry, needs) in table.iter().filter(|(entry, _)| !excused(entry)) {
        if let Some(way) = needs.iter().position(|need| need.local > 0) {
            return Err(format!(
                "{entry} keeps {} bytes in local memory on sm_{}; \
                 if it must, say why under [local-memory] in toolchain.toml",
                needs[way].local,
                pins.architectures()[way]
            ));
        }
    }
    Ok(())
}

fn line(entry: &str, needs: &[Need]) -> String {
    let list = |of: fn(&Need) -> u32| needs.iter().map(|n| of(n).to_string()).collect::<Vec<_>>().join(", ");
    format!("{entry} = {{ registers = [{}], shared = [{}] }}", list(|n| n.registers), list(|n| n.shared))
}

/// The lines of a committed table, by entry.
type Lines = BTreeMap<String, String>;

fn lines(text: &str) -> Lines {
    let entry = |line: &str| Some((line.split_once(" = ")?.0.to_owned(), line.to_owned()));
    text.lines().filter(|line| !line.starts_with('#')).filter_map(entry).collect()
}

/// The entries that the PTX of these modules has.
pub fn present(built: &Path, modules: &[String]) -> Result<BTreeSet<String>, Failure> {
    let mut names = BTreeSet::new();
    for module in modules {
        let path = built.join(format!("{module}.ptx"));
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        names.extend(entries(&text).map(str::to_owned));
    }
    Ok(names)
}

/// The names in lines such as `.visible .entry name(`.
fn entries(ptx: &str) -> impl Iterator<Item = &str> {
    ptx.lines().filter_map(|line| line.split_once(".entry ")?.1.split('(').next()).map(str::trim)
}

/// The committed lines of the entries that there are, with the measured ones in their place.
pub fn merge(committed: &str, measured: &Table, present: &BTreeSet<String>) -> Lines {
    let mut merged = lines(committed);
    merged.retain(|entry, _| present.contains(entry));
    merged.extend(measured.iter().map(|(entry, needs)| (entry.clone(), line(entry, needs))));
    merged
}

/// The file.
pub fn render(merged: &Lines, pins: &Pins) -> String {
    let ways: Vec<String> = pins.architectures().iter().map(|way| format!("sm_{way}")).collect();
    let head = format!(
        "# Written by `cargo xtask kernels`: registers per thread and bytes of static shared memory per block\n\
         # on {}, by {}.\n\n",
        ways.join(", "),
        pins.requirements("assemble").join(", ")
    );
    merged.values().fold(head, |text, line| text + line + "\n")
}

/// An error if what was measured is not what is committed, or an entry is committed that is not there.
pub fn same_as_committed(
    measured: &Table,
    committed: &str,
    present: &BTreeSet<String>,
) -> Result<(), Failure> {
    let committed = lines(committed);
    for (entry, needs) in measured {
        let (now, before) = (line(entry, needs), committed.get(entry));
        if before != Some(&now) {
            let before = before.map_or("nothing", String::as_str);
            return Err(format!("built/resources.toml says {before}\nbut measured is  {now}"));
        }
    }
    match committed.keys().find(|entry| !present.contains(*entry)) {
        Some(entry) => {
            Err(format!("built/resources.toml has {entry}, which no module has: run cargo xtask kernels"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "ptxas info    : Compiling entry function 'a_fwd_f32' for 'sm_80'
ptxas info    : Function properties for a_fwd_f32
    8 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 20 registers, used 1 barriers, 8 bytes cumulative stack size, 128 bytes smem, 576 bytes cmem[0]";

    #[test]
    fn reports_are_read() {
        let need = Need { registers: 20, shared: 128, local: 16 };
        assert_eq!(parse(REPORT).unwrap(), [("a_fwd_f32".to_owned(), need)]);
        assert!(parse("ptxas info : Compiling entry function 'a' for 'sm_80'").is_err());
    }

    #[test]
    fn tables_survive_the_file_and_differences_are_found() {
        let need = |registers| vec![Need { registers, ..Need::default() }];
        let table = |registers| Table::from([("a".to_owned(), need(registers)), ("b".to_owned(), need(7))]);
        let present = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        let both = present(&["a", "b"]);
        let text = render(&merge("", &table(20), &both), &Pins::default());
        assert_eq!(same_as_committed(&table(20), &text, &both), Ok(()));
        assert!(same_as_committed(&table(21), &text, &both).is_err());
        // Some modules alone were measured: what the others have stays, and what none has any more goes.
        let part = Table::from([("a".to_owned(), need(20))]);
        assert_eq!(same_as_committed(&part, &text, &both), Ok(()));
        assert!(same_as_committed(&part, &text, &present(&["a"])).is_err());
        assert_eq!(merge(&text, &part, &both).len(), 2);
        assert_eq!(merge(&text, &part, &present(&["a"])).into_keys().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn the_entries_of_ptx_are_found() {
        let ptx = ".version 8.4\n.visible .entry a_fwd_f32(\n.param .u64 p\n)\n{\n}\n\t.entry b_bwd(\n";
        assert_eq!(entries(ptx).collect::<Vec<_>>(), ["a_fwd_f32", "b_bwd"]);
    }

    #[test]
    fn local_memory_is_refused() {
        let (name, need) = parse(REPORT).unwrap().remove(0);
        let table = Table::from([(name, vec![need])]);
        let pins = |more: &str| Pins::parse(&format!("[resources]\narchitectures = \"80\"\n{more}")).unwrap();
        assert!(no_spills(&table, &pins("")).is_err());
        assert_eq!(no_spills(&table, &pins("[local-memory]\na_fwd_f32 = \"a reason\"")), Ok(()));
    }
}
