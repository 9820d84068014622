//! Who takes part: the engine, rungs of a ladder, kernels of the user's, PyTorch.

use std::collections::{BTreeMap, BTreeSet};

use clap::ArgMatches;
use warpsmith::tensor::Device;
use warpsmith_bench::contender::Contender;
use warpsmith_bench::kernel::{Source, UserKernel, compile};
use warpsmith_bench::ladder;
use warpsmith_bench::nvrtc::Target;
use warpsmith_bench::record::{Row, Status};
use warpsmith_bench::session::{Session, refused};
use warpsmith_bench::tasks::{Case, KERNEL_TASKS};
use warpsmith_bench::torch::{Python, Torch, python};

use super::check::check;
use super::patience;
use crate::cli::Failure;

/// Everybody who takes part in a run.
pub struct Crowd<'a> {
    args: &'a ArgMatches,
    torch: Option<Torch>,
    /// Whether rungs of a ladder are asked for where none can run.
    climbs_in_vain: bool,
    on_cpu: bool,
    /// Whether times are taken: the device is no emulated one.
    timed: bool,
    /// How each kernel of the user's is named, and what it was compiled to.
    kernels: Vec<(String, Source)>,
    /// What the check said of a kernel on a list of shapes.
    checked: BTreeMap<(usize, String), Option<Row>>,
}

impl<'a> Crowd<'a> {
    /// Compiles the user's kernels, and starts PyTorch if it is wanted and the device is timed.
    ///
    /// # Errors
    /// If a kernel cannot be read or compiled, or does not say how it is launched.
    pub fn gather(args: &'a ArgMatches, task: &str, device: &Device, timed: bool) -> Result<Self, Failure> {
        let mut kernels = Vec::new();
        for spec in args.get_many::<String>("kernel").into_iter().flatten() {
            if !KERNEL_TASKS.contains(&task) {
                let message = format!("{task} is many kernels: --kernel is for {}", KERNEL_TASKS.join(", "));
                return Err(Failure::Usage(message));
            }
            let source = compile(spec, target(device)?)?;
            UserKernel::new(source.clone(), launch_line(args))?;
            if let Some(path) = args.get_one::<String>("keep-ptx") {
                std::fs::write(path, &source.ptx)
                    .map_err(|error| Failure::Failed(format!("--keep-ptx {path}: {error}")))?;
            }
            kernels.push((spec.clone(), source));
        }
        if kernels.is_empty() && args.get_flag("check") {
            return Err(Failure::Usage("--check checks a kernel of yours: name it with --kernel".into()));
        }
        let torch = peer(args, device, timed);
        let on_cpu = device.is_cpu();
        let climbs_in_vain = climbs(args) && on_cpu;
        Ok(Self { args, torch, climbs_in_vain, on_cpu, timed, kernels, checked: BTreeMap::new() })
    }

    /// PyTorch's products, which may set the limit.
    pub fn products(&mut self) -> Vec<Box<dyn Contender>> {
        self.peers("matmul", false)
    }

    /// Which PyTorch takes part.
    pub fn torch_version(&self) -> Option<String> {
        self.torch.as_ref().map(|torch| torch.version.clone())
    }

    /// Whether a kernel of the user's takes part.
    pub fn has_kernels(&self) -> bool {
        !self.kernels.is_empty()
    }

    /// Whether a contender of this name is a kernel of the user's.
    pub fn is_kernel(&self, name: &str) -> bool {
        self.kernels.iter().any(|(_, source)| source.entry == name)
    }

    /// PyTorch's ways to compute a task, with a line for what there is to tell of it; it takes no more part if it cannot be
    /// asked.
    fn peers(&mut self, task: &str, compiled: bool) -> Vec<Box<dyn Contender>> {
        let Some(torch) = &mut self.torch else { return Vec::new() };
        let found = torch.contenders(task, compiled);
        torch.remarks().iter().for_each(|remark| note!("bench: {remark}"));
        found.unwrap_or_else(|error| {
            note!("bench: without PyTorch from here on: {error}");
            self.torch = None;
            Vec::new()
        })
    }

    /// An error if `--impl` leaves nobody for one of the cases; a line for each of its names that nobody has.
    ///
    /// # Errors
    /// Says who there is.
    pub fn require_somebody(&mut self, cases: &[Case]) -> Result<(), Failure> {
        let rungs =
            "the rungs of a ladder are CUDA kernels: --device cuda times them, --device emulated counts";
        let mut met = BTreeSet::new();
        for case in cases {
            let all = self.everybody(case, &[])?.iter().map(|one| one.name()).collect::<Vec<_>>();
            let one_of = |name: &&str| all.iter().any(|other| other.contains(name));
            if !self.names().is_empty() && !self.names().iter().any(one_of) {
                let names = self.names().join(",");
                let why = match self.climbs_in_vain {
                    true => format!(" on the CPU; {rungs}"),
                    false => {
                        format!(" for {} {}; {}", case.work.task(), case.pass.name(), self.who(case, all))
                    }
                };
                return Err(Failure::Usage(format!("--impl {names} leaves nobody{why}")));
            }
            met.extend(self.names().into_iter().filter(one_of).map(str::to_owned));
        }
        if self.climbs_in_vain {
            note!("bench: without the ladder, {rungs}");
        }
        let is_told = |name: &&str| self.climbs_in_vain && name.contains(ladder::NAME);
        for name in self.names().into_iter().filter(|name| !met.contains(*name) && !is_told(name)) {
            note!("bench: --impl {name}: nobody has this name");
        }
        Ok(())
    }

    /// What `--impl` names; nothing if everybody may take part.
    fn names(&self) -> Vec<&'a str> {
        let named = self.args.get_one::<String>("impl").filter(|names| *names != "all");
        named.map_or_else(Vec::new, |names| names.split(',').map(str::trim).collect())
    }

    /// A line of who could take part in a case.
    fn who(&self, case: &Case, mut all: Vec<String>) -> String {
        let has_ladder = !ladder::rungs(case.work.task(), case.pass).is_empty();
        if has_ladder && !self.on_cpu && !climbs(self.args) {
            all.push(ladder::NAME.into());
        }
        format!("there are: {}", all.join(", "))
    }

    /// How many take part in each case, or, of one that cannot fit the memory, the rows that say so.
    ///
    /// # Errors
    /// If none can: what the first one needs.
    pub fn fitting(
        &mut self,
        session: &Session<'_>,
        cases: &[Case],
    ) -> Result<Vec<Result<usize, Vec<Row>>>, Failure> {
        let (mut all, mut first) = (Vec::new(), None);
        for case in cases {
            let contenders = self.contenders(case, &[])?;
            all.push(session.fits(case, &contenders).map(|()| contenders.len()).map_err(|error| {
                let names = contenders.iter().map(|one| one.name());
                let rows = names.map(|name| refused(case, name, error.to_string())).collect();
                first.get_or_insert_with(|| Failure::Failed(format!("{}: {error}", case.name())));
                rows
            }));
        }
        match first {
            Some(error) if all.iter().all(Result::is_err) => Err(error),
            _ => Ok(all),
        }
    }

    /// The rows of a case; of a kernel that the emulator refuses only the reason.
    ///
    /// # Errors
    /// If the case is impossible, or the device was lost before it.
    pub fn rows(&mut self, session: &mut Session<'_>, case: &Case) -> Result<Vec<Row>, Failure> {
        let mut refused = Vec::new();
        if self.args.get_flag("check") {
            for at in 0..self.kernels.len() {
                refused.extend(self.check(at, case)?);
            }
        }
        let mut all = self.contenders(case, &refused)?;
        let mut rows = session.case(case, &mut all)?;
        let own = |row: &&mut Row| self.is_kernel(&row.implementation);
        if self.args.get_flag("check") {
            // Of what does not run here there is nothing else to say.
            let on_cpu = self.on_cpu;
            for row in rows.iter_mut().filter(own).filter(|row| row.status == Status::Ok || on_cpu) {
                row.reason = Some(
                    [row.reason.take(), Some(SOUND.into())]
                        .into_iter()
                        .flatten()
                        .collect::<Vec<_>>()
                        .join("; "),
                );
            }
        }
        if !self.args.get_flag("check") && self.timed {
            let refused = rows.iter_mut().filter(own).filter(|row| row.status == Status::Refused);
            refused.filter_map(|row| row.reason.as_mut()).for_each(advise);
        }
        rows.extend(refused);
        Ok(rows)
    }

    /// The row of a kernel that the emulator refuses. It is asked once for all cases that have the same awkward shapes.
    fn check(&mut self, at: usize, case: &Case) -> Result<Option<Row>, Failure> {
        let shapes: Vec<String> = case.work.awkward().iter().map(ToString::to_string).collect();
        let key = (at, format!("{} {} {}", case.pass.name(), case.dtype.name(), shapes.join(",")));
        if !self.checked.contains_key(&key) {
            let (spec, source) = &self.kernels[at];
            let found = check(self.args, spec, &source.entry, case)?;
            self.checked.insert(key.clone(), found);
        }
        let row = self.checked.get(&key).cloned().flatten();
        Ok(row.map(|row| Row { shape: case.work.to_string(), ..row }))
    }

    /// All that `--impl` names, but for kernels that were refused.
    fn contenders(&mut self, case: &Case, refused: &[Row]) -> Result<Vec<Box<dyn Contender>>, Failure> {
        let mut all = self.everybody(case, refused)?;
        let names = self.names();
        all.retain(|one| names.is_empty() || names.iter().any(|name| one.name().contains(name)));
        Ok(all)
    }

    /// All that could take part, but for kernels that were refused.
    fn everybody(&mut self, case: &Case, refused: &[Row]) -> Result<Vec<Box<dyn Contender>>, Failure> {
        let mut all: Vec<Box<dyn Contender>> = Vec::new();
        if !self.args.get_flag("only-kernels") {
            all.push(case.work.engine());
        }
        if climbs(self.args) && !self.climbs_in_vain {
            all.extend(ladder::rungs(case.work.task(), case.pass));
        }
        let is_sound = |source: &&Source| refused.iter().all(|row| row.implementation != source.entry);
        for source in self.kernels.iter().map(|(_, source)| source).filter(is_sound) {
            all.push(Box::new(UserKernel::new(source.clone(), launch_line(self.args))?));
        }
        let compiled = self.args.get_one::<String>("vs").is_some_and(|vs| vs == "torch");
        all.extend(self.peers(case.work.task(), compiled));
        Ok(all)
    }
}

/// A GPU says that a kernel failed, and not where.
fn advise(reason: &mut String) {
    if reason.contains("CUDA_ERROR_") {
        *reason += "; --check runs it under the emulator, which names the thread and the line";
    }
}

/// What is said of a kernel that passed the check.
const SOUND: &str = "the emulator's checks found nothing";

/// Whether `--impl` asks for rungs of a ladder; without it they stay out, since the naive ones take their time.
pub fn climbs(args: &ArgMatches) -> bool {
    args.get_one::<String>("impl").is_some_and(|names| names.contains(ladder::NAME))
}

fn launch_line(args: &ArgMatches) -> &str {
    args.get_one::<String>("launch").map_or("", String::as_str)
}

/// PyTorch, if it is wanted and there; one line if it is not there.
fn peer(args: &ArgMatches, device: &Device, timed: bool) -> Option<Torch> {
    args.get_one::<String>("vs")?;
    if !timed {
        note!("bench: an emulated device is only counted: PyTorch takes no part");
        return None;
    }
    let python = Python { program: python(), patience: patience(args) };
    Torch::start(device, python).inspect_err(|error| note!("bench: without PyTorch: {error}")).ok()
}

/// What a user's kernel is compiled for: the device, or the emulated GPU, which checks it, if that is the CPU.
fn target(device: &Device) -> Result<Target, Failure> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(cuda) => {
            let cuda_version = warpsmith::tensor::cuda::inventory()?.cuda_version;
            Ok(Target { capability: cuda.gpu().capability, cuda: cuda_version })
        }
        _ => Ok(EMULATED),
    }
}

/// The emulated GPU, and what its driver says of itself.
const EMULATED: Target = Target { capability: (8, 0), cuda: (12, 8) };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_gpu_only_names_the_emulator_is_asked_about() {
        let mut reason = String::from("read: cuStreamSynchronize gave CUDA_ERROR_ILLEGAL_ADDRESS");
        advise(&mut reason);
        assert!(reason.ends_with("names the thread and the line"), "{reason}");
        let mut reason = String::from("wrong: all zeros");
        advise(&mut reason);
        assert_eq!(reason, "wrong: all zeros");
    }
}
