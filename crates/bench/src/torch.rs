//! PyTorch as a peer: a script of ours in a process of its own, asked for one sample at a time, so that rounds really
//! alternate. It computes on the very inputs that we do, and its answers are judged by the same oracle.
//!
//! The protocol is a line of JSON each way, with raw little-endian tensors behind a line that announces them. A process
//! that dies, hangs or says something else is ended and started anew for the next case, without what it ended at.

mod process;
mod wire;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use warpsmith_autograd::Meta;
use warpsmith_tensor::{Device, Tensor};

use self::process::Process;
use self::wire::{announced, bytes_of, tensor_of};
use crate::contender::{Call, Contender};
use crate::tasks::Case;
use crate::{Error, Result};

const SCRIPT: &str = concat!(
    include_str!("torch/peer.py"),
    "\n",
    include_str!("torch/attention.py"),
    "\n",
    include_str!("torch/gpt.py"),
    "\nmain()\n"
);

/// The program that `WARPSMITH_PYTHON` names, else `python3`.
pub fn python() -> String {
    std::env::var("WARPSMITH_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// Which Python is asked, and how long it may take.
#[derive(Clone, Debug)]
pub struct Python {
    /// The program.
    pub program: String,
    /// For one answer, compiling included.
    pub patience: Duration,
}

/// A running PyTorch.
pub struct Torch {
    python: Python,
    device: Device,
    process: Rc<RefCell<Process>>,
    /// Its version, as it says it.
    pub version: String,
    /// Contenders at which a process ended.
    struck: Vec<String>,
    remarks: Vec<String>,
    /// What was remarked before.
    told: BTreeSet<String>,
}

impl Torch {
    /// Starts PyTorch for the same device, on as many threads as the engine has.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with the reason in one line: no Python, no torch in it, no CUDA in that.
    pub fn start(device: &Device, python: Python) -> Result<Self> {
        let (process, version) = hello(device, &python)?;
        let process = Rc::new(RefCell::new(process));
        let device = device.clone();
        let (struck, remarks, told) = (Vec::new(), Vec::new(), BTreeSet::new());
        Ok(Self { python, device, process, version, struck, remarks, told })
    }

    /// Its ways to compute a task, each a contender; with `compiled` also those that torch.compile makes. A process that
    /// has ended is started anew, without the contender at which it did.
    ///
    /// # Errors
    /// If that cannot be done.
    pub fn contenders(&mut self, task: &str, compiled: bool) -> Result<Vec<Box<dyn Contender>>> {
        let ended = self.process.borrow().ended().map(|(how, whom)| (how.to_owned(), whom.to_owned()));
        if let Some((how, whom)) = ended {
            self.remark(format!("{how}: it is started anew without that"));
            self.struck.push(whom);
            self.process = Rc::new(RefCell::new(hello(&self.device, &self.python)?.0));
        }
        let question = json!({"do": "list", "task": task, "compile": compiled});
        let told = self.process.borrow_mut().ask("", &question, Vec::new())?;
        let words = |key: &str| -> Vec<String> {
            let list = told[key].as_array().into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        words("left_out").into_iter().for_each(|remark| self.remark(remark));
        let names = words("names").into_iter().filter(|name| !self.struck.contains(name));
        let peer = |name| -> Box<dyn Contender> { Box::new(Peer { process: self.process.clone(), name }) };
        Ok(names.map(peer).collect())
    }

    /// What there is to tell since this was last asked, a line each; nothing is told twice.
    pub fn remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    fn remark(&mut self, text: String) {
        if self.told.insert(text.clone()) {
            self.remarks.push(text);
        }
    }
}

/// A process with torch in it, and torch's version.
fn hello(device: &Device, python: &Python) -> Result<(Process, String)> {
    let Python { program, patience } = python;
    let absent =
        |why: String| Error::Unsupported(format!("{why}; name a Python that has torch in WARPSMITH_PYTHON"));
    let started = Process::start(Command::new(program).args(["-u", "-c", SCRIPT]), *patience);
    let mut process = started.map_err(|error| absent(format!("{program} does not start: {error}")))?;
    // With its number: the process sees the GPUs that this one sees, in the same order.
    let hello = json!({"do": "hello", "device": device.to_string(), "threads": rayon::current_num_threads()});
    let told = process.ask("", &hello, Vec::new()).map_err(|error| absent(format!("{program}: {error}")))?;
    Ok((process, told["torch"].as_str().unwrap_or("unknown").to_owned()))
}

struct Peer {
    process: Rc<RefCell<Process>>,
    name: String,
}

impl Contender for Peer {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn is_peer(&self) -> bool {
        true
    }

    fn prepare(&mut self, case: &Case, inputs: &[Tensor]) -> Result<Box<dyn Call>> {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let id = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let outputs = case.outputs(inputs)?;
        let letters: serde_json::Map<String, Value> =
            case.work.letters().into_iter().map(|(name, size)| (name.into(), size.into())).collect();
        let attributes: serde_json::Map<String, Value> =
            case.work.attributes().into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let (names, _) = case.work.names(case.pass);
        let line = json!({
            "do": "prepare", "id": id, "task": case.work.task(), "pass": case.pass.name(), "name": self.name,
            "dtype": case.dtype.name(), "shape": case.work.to_string(), "letters": letters, "attributes": attributes, "names": names,
            "inputs": announced(inputs),
        });
        let blobs = inputs.iter().map(bytes_of).collect::<Result<Vec<_>>>()?;
        self.process.borrow_mut().ask(&self.name, &line, blobs)?;
        Ok(Box::new(PeerCall { process: self.process.clone(), name: self.name.clone(), id, outputs }))
    }
}

struct PeerCall {
    process: Rc<RefCell<Process>>,
    name: String,
    id: u64,
    outputs: Vec<Meta>,
}

impl PeerCall {
    fn ask(&self, mut line: Value, blobs: Vec<Vec<u8>>) -> Result<Value> {
        line["id"] = self.id.into();
        self.process.borrow_mut().ask(&self.name, &line, blobs)
    }
}

impl Call for PeerCall {
    fn load(&mut self, inputs: &[Tensor]) -> Result<()> {
        let blobs = inputs.iter().map(bytes_of).collect::<Result<Vec<_>>>()?;
        self.ask(json!({"do": "load", "inputs": announced(inputs)}), blobs).map(drop)
    }

    /// Its outputs are its own; what it has kept is dropped.
    fn poison(&mut self) -> Result<()> {
        self.ask(json!({"do": "poison"}), Vec::new()).map(drop)
    }

    fn run(&mut self) -> Result<()> {
        self.ask(json!({"do": "run"}), Vec::new()).map(drop)
    }

    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        let answer = self.ask(json!({"do": "outputs"}), Vec::new())?;
        let sizes: Vec<u64> =
            answer["bytes"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        let mut process = self.process.borrow_mut();
        let expected: usize = self.outputs.iter().map(|meta| meta.shape.numel() * meta.dtype.size()).sum();
        let mut left = 16 * expected as u64 + (1 << 20);
        let mut tensors = Vec::new();
        // All that was announced is read, whatever it is, or the next answer could not be found; but there is an end to it.
        for (i, size) in sizes.into_iter().enumerate() {
            left = left.checked_sub(size).ok_or_else(|| {
                process
                    .end(format!("PyTorch's process wants to give {size} bytes, expected {expected} in all"))
            })?;
            let bytes = process.bytes(size as usize)?;
            tensors.extend(self.outputs.get(i).map(|meta| tensor_of(meta, &bytes)));
        }
        tensors.into_iter().collect()
    }

    fn time(&mut self, calls: usize, cold: bool) -> Option<Result<f64>> {
        let answer = self.ask(json!({"do": "sample", "calls": calls, "cold": cold}), Vec::new());
        let seconds = |answer: Value| {
            let told = answer["seconds"].as_f64().filter(|seconds| *seconds > 0.0 && seconds.is_finite());
            told.ok_or_else(|| {
                Error::Failed(format!("PyTorch's process gave {} as a time", answer["seconds"]))
            })
        };
        Some(answer.and_then(seconds))
    }
}

impl Drop for PeerCall {
    fn drop(&mut self) {
        // If the process is gone, so is what it held.
        let _ = self.ask(json!({"do": "drop"}), Vec::new());
    }
}
