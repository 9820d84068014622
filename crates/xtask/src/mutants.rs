//! `cargo xtask mutants`: bugs planted in the kernels one at a time, to see whether the kernels' tests notice.
//!
//! The bugs are text, in `kernels/mutants/<module>.toml`. Each is put into a copy of the sources, compiled by the pinned
//! compiler, and takes the place of the built module in the tests of that kernel; no Rust is compiled for it.

mod catalogue;
mod plant;
mod results;
mod trial;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::kernels::pins::Pins;
use crate::kernels::toolchain::Toolchain;
use crate::kernels::{Failure, Places, write};
use crate::parallel;
use catalogue::{Kernel, Mutant};
use results::Row;
use trial::{Outcome, Tests};

/// What was asked for.
#[derive(Debug, Default, PartialEq)]
struct Request {
    /// These kernels, or all if there are none.
    kernels: Vec<String>,
    /// Of them this mutant alone.
    mutant: Option<String>,
    /// Only those of the quick sample.
    is_quick: bool,
    /// Only their names.
    is_list: bool,
    /// Whether the committed table takes what was found.
    is_write: bool,
    /// Where what was found goes as JSON.
    json: Option<PathBuf>,
}

const USAGE: &str =
    "it takes --kernel NAME (again for more), --mutant NAME, --quick, --list, --write, --json FILE";

impl Request {
    fn read(arguments: &[String]) -> Result<Self, Failure> {
        let mut request = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().cloned().ok_or(format!("{argument} needs a value; {USAGE}"));
            match argument.as_str() {
                "--kernel" => request.kernels.push(value()?),
                "--mutant" => request.mutant = Some(value()?),
                "--json" => request.json = Some(value()?.into()),
                "--quick" => request.is_quick = true,
                "--list" => request.is_list = true,
                "--write" => request.is_write = true,
                odd => return Err(format!("no option is called `{odd}`; {USAGE}")),
            }
        }
        Ok(request)
    }

    fn wants(&self, kernel: &Kernel, mutant: &Mutant) -> bool {
        (self.kernels.is_empty() || self.kernels.contains(&kernel.name))
            && self.mutant.as_ref().is_none_or(|name| *name == mutant.name)
            && (mutant.is_quick || !self.is_quick)
    }
}

/// The chore.
pub fn run(arguments: &[String]) -> ExitCode {
    let report = Request::read(arguments).and_then(|request| all(&request));
    match report {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("xtask mutants: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn all(request: &Request) -> Result<String, Failure> {
    let places = Places::around_current_folder()?;
    let catalogue = catalogue::read(&places.kernels)?;
    catalogue::check(&places.kernels, &catalogue)?;
    if let Some(odd) = request.kernels.iter().find(|name| catalogue.iter().all(|own| own.name != **name)) {
        return Err(format!("there is no kernels/mutants/{odd}.toml"));
    }
    let pairs = catalogue.iter().flat_map(|kernel| kernel.mutants.iter().map(move |mutant| (kernel, mutant)));
    let chosen: Vec<(&Kernel, &Mutant)> = pairs.filter(|(k, m)| request.wants(k, m)).collect();
    if chosen.is_empty() {
        return Err("nothing was chosen; --list shows what there is".to_owned());
    }
    if request.is_list {
        let lines = chosen.iter().map(|(k, m)| format!("{}/{}: {}; {}", k.name, m.name, m.class, m.breaks));
        return Ok(lines.collect::<Vec<_>>().join("\n"));
    }
    let rows = try_all(&places, &chosen)?;
    if let Some(path) = &request.json {
        write(path, &results::json(&rows))?;
    }
    if request.is_write {
        let path = places.kernels.join("mutants/RESULTS.md");
        let committed = fs::read_to_string(&path).unwrap_or_default();
        write(&path, &results::render(&results::merge(&committed, &rows, &catalogue)))?;
    }
    match results::surprises(&rows) {
        surprises if surprises.is_empty() => Ok(results::summary(&rows)),
        surprises => Err(format!("{}\n{}", results::summary(&rows), surprises.join("\n"))),
    }
}

fn try_all(places: &Places, chosen: &[(&Kernel, &Mutant)]) -> Result<Vec<Row>, Failure> {
    let pins = Pins::read(&places.kernels.join("toolchain.toml"))?;
    let tools = Toolchain::install(&places.toolchain, &pins)?;
    let tests = Tests::build(&places.kernels)?;

    let mut filters: Vec<&str> = chosen.iter().map(|(kernel, mutant)| mutant.tests(kernel)).collect();
    filters.sort_unstable();
    filters.dedup();
    let sound = |filter: &&str| match tests.run(filter, None)? {
        Outcome::Survived => Ok(()),
        outcome => Err(format!("with no bug planted, the tests `{filter}` already fail: {}", outcome.name())),
    };
    parallel::map(&filters, sound).into_iter().collect::<Result<(), Failure>>()?;

    let one = |(kernel, mutant): &(&Kernel, &Mutant)| {
        let who = format!("{}/{}", kernel.name, mutant.name);
        let outcome = plant::compile(places, &tools, kernel, mutant)
            .and_then(|ptx| tests.run(mutant.tests(kernel), Some((&kernel.name, &ptx))))
            .map_err(|failure| format!("{who}: {failure}"))?;
        println!("{who}: {}", outcome.name());
        Ok(Row::new(kernel, mutant, &outcome))
    };
    parallel::map(chosen, one).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Result<Request, Failure> {
        Request::read(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_odd_ones_named() {
        let asked = request("--kernel a --kernel b --json f --quick").unwrap();
        assert_eq!((asked.kernels.len(), asked.is_quick, asked.is_list), (2, true, false));
        assert!(request("--kernels a").unwrap_err().contains("`--kernels`"));
        assert!(request("--json").unwrap_err().contains("needs a value"));
    }

    /// What `check` says of the committed files, so that a bug whose line has changed is seen at once.
    #[test]
    fn every_committed_mutant_still_fits_its_source_and_has_a_result() {
        let kernels = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels");
        let catalogue = catalogue::read(&kernels).unwrap();
        assert_eq!(catalogue::check(&kernels, &catalogue), Ok(()));
        let committed = fs::read_to_string(kernels.join("mutants/RESULTS.md")).unwrap();
        assert_eq!(results::stale(&committed, &catalogue), Vec::<String>::new());
    }
}
