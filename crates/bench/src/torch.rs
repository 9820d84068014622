//! PyTorch as a peer: a script of ours in a process of its own, asked for one sample at a time, so that rounds really
//! alternate. It computes on the very inputs that we do, and its answers are judged by the same oracle.
//!
//! The protocol is a line of JSON each way, with raw little-endian tensors behind a line that announces them.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;

use serde_json::{Value, json};
use warpsmith_autograd::Meta;
use warpsmith_tensor::{DType, Device, Element, Shape, Tensor, bf16, f16};

use crate::contender::{Call, Contender};
use crate::tasks::Case;
use crate::{Error, Result};

const SCRIPT: &str = concat!(include_str!("torch_peer.py"), "\n", include_str!("torch_gpt.py"), "\nmain()\n");

/// The Python to run: `WARPSMITH_PYTHON`, else `python3`.
pub fn python() -> String {
    std::env::var("WARPSMITH_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// A running PyTorch.
pub struct Torch {
    process: Rc<RefCell<Process>>,
    /// Its version, as it says it.
    pub version: String,
}

struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    next: u64,
}

impl Torch {
    /// Starts PyTorch for the same device, on as many threads as the engine has.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with the reason in one line: no Python, no torch in it, no CUDA in that.
    pub fn start(device: &Device) -> Result<Self> {
        let program = python();
        let absent = |why: String| {
            Error::Unsupported(format!("{why}; name a Python that has torch in WARPSMITH_PYTHON"))
        };
        let spawned = Command::new(&program)
            .args(["-u", "-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = spawned.map_err(|error| absent(format!("{program} does not start: {error}")))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(absent(format!("{program} has no standard input or output")));
        };
        let mut process = Process { child, input, output: BufReader::new(output), next: 0 };
        // With its number: the process sees the GPUs that this one sees, in the same order.
        let hello =
            json!({"do": "hello", "device": device.to_string(), "threads": rayon::current_num_threads()});
        let told = process.ask(&hello, &[]).map_err(|error| absent(format!("{program}: {error}")))?;
        let version = told["torch"].as_str().unwrap_or("unknown").to_owned();
        Ok(Self { process: Rc::new(RefCell::new(process)), version })
    }

    /// Its ways to compute a task, each a contender; with `compiled` also those that torch.compile makes.
    ///
    /// # Errors
    /// If the process has died.
    pub fn contenders(&self, task: &str, compiled: bool) -> Result<Vec<Box<dyn Contender>>> {
        let question = json!({"do": "list", "task": task, "compile": compiled});
        let told = self.process.borrow_mut().ask(&question, &[])?;
        let names = told["names"].as_array().cloned().unwrap_or_default();
        let peer = |name: &Value| -> Box<dyn Contender> {
            Box::new(Peer { process: self.process.clone(), name: name.as_str().unwrap_or("").to_owned() })
        };
        Ok(names.iter().map(peer).collect())
    }
}

impl Process {
    /// Sends a line and tensors behind it; the answer's line.
    fn ask(&mut self, line: &Value, blobs: &[Vec<u8>]) -> Result<Value> {
        // Whether a process that has ended is noticed by writing or by reading is chance: one sentence for both.
        let ended = |how: &dyn std::fmt::Display| {
            Error::Failed(format!("PyTorch's process ended without an answer ({how})"))
        };
        let gone = |error: std::io::Error| ended(&error);
        writeln!(self.input, "{line}").map_err(gone)?;
        blobs.iter().try_for_each(|blob| self.input.write_all(blob)).map_err(gone)?;
        self.input.flush().map_err(gone)?;
        let mut answer = String::new();
        let read = self.output.read_line(&mut answer).map_err(gone)?;
        if read == 0 {
            return Err(ended(&"end of its output"));
        }
        let answer: Value = serde_json::from_str(&answer)
            .map_err(|_| Error::Failed(format!("PyTorch's process says {:?}", answer.trim())))?;
        match (answer["unsupported"].as_str(), answer["error"].as_str()) {
            (Some(why), _) => Err(Error::Unsupported(why.into())),
            (_, Some(why)) => Err(Error::Failed(why.into())),
            _ => Ok(answer),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Whether it heard or not, it is ended: it holds memory of the GPU.
        let _ = writeln!(self.input, "{}", json!({"do": "end"}));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
        let outputs = case.outputs(inputs)?;
        let mut process = self.process.borrow_mut();
        process.next += 1;
        let id = process.next;
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
        process.ask(&line, &blobs)?;
        Ok(Box::new(PeerCall { process: self.process.clone(), id, outputs }))
    }
}

struct PeerCall {
    process: Rc<RefCell<Process>>,
    id: u64,
    outputs: Vec<Meta>,
}

impl PeerCall {
    fn ask(&self, mut line: Value, blobs: &[Vec<u8>]) -> Result<Value> {
        line["id"] = self.id.into();
        self.process.borrow_mut().ask(&line, blobs)
    }
}

impl Call for PeerCall {
    fn load(&mut self, inputs: &[Tensor]) -> Result<()> {
        let blobs = inputs.iter().map(bytes_of).collect::<Result<Vec<_>>>()?;
        self.ask(json!({"do": "load", "inputs": announced(inputs)}), &blobs).map(drop)
    }

    /// Its outputs are its own; what it has kept is dropped.
    fn poison(&mut self) -> Result<()> {
        self.ask(json!({"do": "poison"}), &[]).map(drop)
    }

    fn run(&mut self) -> Result<()> {
        self.ask(json!({"do": "run"}), &[]).map(drop)
    }

    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        let answer = self.ask(json!({"do": "outputs"}), &[])?;
        let sizes = answer["bytes"].as_array().cloned().unwrap_or_default();
        let mut tensors = Vec::new();
        let mut process = self.process.borrow_mut();
        // All that was announced is read, whatever it is, or the next answer could not be found.
        for (i, size) in sizes.iter().enumerate() {
            let mut bytes = vec![0; size.as_u64().unwrap_or(0) as usize];
            process.output.read_exact(&mut bytes)?;
            tensors.extend(self.outputs.get(i).map(|meta| tensor_of(meta, &bytes)));
        }
        tensors.into_iter().collect()
    }

    fn time(&mut self, calls: usize, cold: bool) -> Option<Result<f64>> {
        let answer = self.ask(json!({"do": "sample", "calls": calls, "cold": cold}), &[]);
        let seconds = |answer: Value| {
            answer["seconds"].as_f64().ok_or_else(|| Error::Failed("PyTorch's process gave no time".into()))
        };
        Some(answer.and_then(seconds))
    }
}

impl Drop for PeerCall {
    fn drop(&mut self) {
        // If the process is gone, so is what it held.
        let _ = self.ask(json!({"do": "drop"}), &[]);
    }
}

fn announced(tensors: &[Tensor]) -> Vec<Value> {
    let one = |x: &Tensor| json!({"dims": x.dims(), "dtype": x.dtype().name(), "bytes": x.numel() * x.dtype().size()});
    tensors.iter().map(one).collect()
}

/// The elements of a tensor, row-major and little-endian.
fn bytes_of(x: &Tensor) -> Result<Vec<u8>> {
    fn each<T: Element, const N: usize>(x: &Tensor, bytes: fn(T) -> [u8; N]) -> Result<Vec<u8>> {
        Ok(x.to_vec::<T>()?.into_iter().flat_map(bytes).collect())
    }
    match x.dtype() {
        DType::F32 => each(x, f32::to_le_bytes),
        DType::F16 => each(x, f16::to_le_bytes),
        DType::BF16 => each(x, bf16::to_le_bytes),
        DType::I64 => each(x, i64::to_le_bytes),
        other => Err(Error::Unsupported(format!("PyTorch is sent no {other}"))),
    }
}

fn tensor_of(meta: &Meta, bytes: &[u8]) -> Result<Tensor> {
    fn each<T: Element, const N: usize>(
        bytes: &[u8],
        value: fn([u8; N]) -> T,
        shape: Shape,
    ) -> Result<Tensor> {
        let value = |chunk: &[u8]| value(std::array::from_fn(|i| chunk[i]));
        Ok(Tensor::from_vec(bytes.chunks_exact(N).map(value).collect(), shape.dims(), &Device::Cpu)?)
    }
    if bytes.len() != meta.shape.numel() * meta.dtype.size() {
        let expected = meta.shape.numel() * meta.dtype.size();
        return Err(Error::Failed(format!("PyTorch gave {} bytes, expected {expected}", bytes.len())));
    }
    match meta.dtype {
        DType::F32 => each(bytes, f32::from_le_bytes, meta.shape),
        DType::F16 => each(bytes, f16::from_le_bytes, meta.shape),
        DType::BF16 => each(bytes, bf16::from_le_bytes, meta.shape),
        DType::I64 => each(bytes, i64::from_le_bytes, meta.shape),
        other => Err(Error::Unsupported(format!("PyTorch gives no {other}"))),
    }
}
