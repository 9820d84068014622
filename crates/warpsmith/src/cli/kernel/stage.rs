//! A call on the emulated machine: memory, launches one after another, and the results held to the f64 loops.

use std::collections::HashMap;

use half::{bf16, f16};
use serde::Serialize;
use warpsmith::autograd::Meta;
use warpsmith::tensor::DType;
use warpsmith_emulator::observe::{Listing, Recorder, Stop, Thread};
use warpsmith_emulator::{Counts, Memory, Options, Program, Schedule};
use warpsmith_kernels::{Entry, Launch};

use super::case::{Addresses, Call};
use crate::cli::Failure;

/// Bytes of the emulated memory.
const MEMORY: u64 = 1 << 30;

/// How to run a call, and what to look at.
pub struct Look {
    /// The order of blocks and warps.
    pub schedule: Schedule,
    /// The entry that is looked at; all of them if none.
    pub entry: Option<String>,
    /// The thread to follow.
    pub thread: Option<Thread>,
    /// The line to stop at.
    pub stop: Option<Stop>,
    /// PTX in place of that of the entry's module: its name and text.
    pub ptx: Option<(String, String)>,
}

/// One launch that ran.
pub struct Ran {
    pub entry: &'static Entry,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic_shared: u32,
    pub static_shared: u32,
    pub counts: Counts,
    /// What was looked at, if anything: the listing, the trace, the arrivals and how many there were.
    pub seen: Option<Seen>,
}

/// What a recorder kept.
pub struct Seen {
    pub listing: Listing,
    pub trace: Vec<warpsmith_emulator::observe::Traced>,
    pub arrivals: Vec<warpsmith_emulator::observe::Arrival>,
    pub arrived: usize,
}

/// One output beside what it should be.
#[derive(Serialize)]
pub struct Comparison {
    pub shape: String,
    pub dtype: &'static str,
    /// The largest error, as a share of what is allowed at that element.
    pub share: f64,
    pub element: usize,
    pub found: f64,
    pub expected: f64,
    pub allowed: f64,
    pub holds: bool,
}

/// Runs a call and compares its outputs.
pub fn run(call: &Call, look: &Look) -> Result<(Vec<Ran>, Vec<Comparison>), Failure> {
    let outputs = call.op.shape(&call.metas())?;
    let mut memory = Memory::new(MEMORY);
    let at = place(&mut memory, call, &outputs)?;
    let launches = (call.launches)(&at).map_err(Failure::Usage)?;
    let mut programs = HashMap::new();
    let mut ran = Vec::new();
    for launch in launches.iter().filter(|launch| !launch.is_empty()) {
        let module = launch.entry.module;
        let text = match &look.ptx {
            Some((name, text)) if name == module.name => text,
            _ => module.ptx(),
        };
        if !programs.contains_key(module.name) {
            let program =
                Program::parse(text).map_err(|e| Failure::Failed(format!("{}.ptx: {e}", module.name)))?;
            programs.insert(module.name, program);
        }
        ran.push(one(launch, &programs[module.name], &mut memory, look)?);
    }
    Ok((ran, compare(call, &outputs, &at, &memory)?))
}

fn place(memory: &mut Memory, call: &Call, outputs: &[Meta]) -> Result<Addresses, Failure> {
    let failed = |e: warpsmith_emulator::MemoryError| Failure::Failed(e.to_string());
    let mut at = Addresses { x: Vec::new(), y: Vec::new(), room: 0 };
    for given in &call.inputs {
        let bytes = encoded(&given.array.data, given.dtype);
        let address = memory.alloc(bytes.len().max(1) as u64).map_err(failed)?;
        memory.write(address, &bytes).map_err(failed)?;
        at.x.push(address);
    }
    for meta in outputs {
        let bytes = meta.shape.numel() * meta.dtype.size();
        let address = memory.alloc(bytes.max(1) as u64).map_err(failed)?;
        if call.adds_to_outputs {
            memory.write(address, &vec![0; bytes]).map_err(failed)?;
        }
        at.y.push(address);
    }
    at.room = memory.alloc(call.room.max(1)).map_err(failed)?;
    Ok(at)
}

fn one(launch: &Launch, program: &Program, memory: &mut Memory, look: &Look) -> Result<Ran, Failure> {
    let name = launch.entry.name;
    let missing = || Failure::Failed(format!("the PTX has no entry `{name}`"));
    let entry = program.entry(name).ok_or_else(missing)?;
    let mut globals = Vec::new();
    for global in &program.globals {
        let failed = |e: warpsmith_emulator::MemoryError| Failure::Failed(e.to_string());
        let address = memory.alloc(global.bytes).map_err(failed)?;
        memory.write(address, &global.init).map_err(failed)?;
        globals.push(address);
    }
    let options = Options { schedule: look.schedule, ..Options::default() };
    let emulated = warpsmith_emulator::Launch {
        program,
        entry,
        grid: launch.grid,
        block: launch.block,
        shared_bytes: launch.shared_bytes,
        params: &launch.params,
        globals: &globals,
        options: &options,
    };
    let wants_it = look.entry.as_deref().is_none_or(|wanted| wanted == name);
    let watched = wants_it && (look.thread.is_some() || look.stop.is_some());
    let (counts, seen) = if watched {
        let listing = Listing::of(program, entry).ok_or_else(missing)?;
        let mut recorder = Recorder::new(&listing, look.thread, look.stop.clone());
        let counts = warpsmith_emulator::run_observed(&emulated, memory, &mut recorder);
        let Recorder { trace, arrivals, arrived, .. } = recorder;
        (counts, Some(Seen { listing, trace, arrivals, arrived }))
    } else {
        (warpsmith_emulator::run(&emulated, memory), None)
    };
    let counts = counts.map_err(|fault| Failure::Failed(super::text::fault(&fault)))?;
    let static_shared = program.entries[entry].shared_bytes;
    let (entry, grid, block, dynamic_shared) = (launch.entry, launch.grid, launch.block, launch.shared_bytes);
    Ok(Ran { entry, grid, block, dynamic_shared, static_shared, counts, seen })
}

/// Every output element is held to |error| ≤ u·|y| + (roundings·2⁻²⁴ + inner·u)·scale, plus half the smallest number.
fn compare(
    call: &Call,
    outputs: &[Meta],
    at: &Addresses,
    memory: &Memory,
) -> Result<Vec<Comparison>, Failure> {
    let (expected, scales) = call.expected()?;
    let metas = call.metas();
    let roundings = call.op.roundings(&metas) * f64::from(f32::EPSILON) / 2.0;
    let inner = call.inner_roundings * metas.first().map_or(0.0, |meta| meta.dtype.unit_roundoff());
    let mut all = Vec::new();
    for (i, meta) in outputs.iter().enumerate() {
        let mut bytes = vec![0; meta.shape.numel() * meta.dtype.size()];
        memory.read(at.y[i], &mut bytes).map_err(|e| Failure::Failed(e.to_string()))?;
        let found = decoded(&bytes, meta.dtype);
        let mut worst = Comparison {
            shape: meta.shape.to_string(),
            dtype: meta.dtype.name(),
            share: 0.0,
            element: 0,
            found: found.first().copied().unwrap_or(0.0),
            expected: expected[i].data.first().copied().unwrap_or(0.0),
            allowed: 0.0,
            holds: true,
        };
        let scale = scales.get(i);
        for (element, (&found, &expected)) in found.iter().zip(&expected[i].data).enumerate() {
            let size = scale.map_or(expected.abs(), |scale| scale.data[element]);
            let own = meta.dtype.unit_roundoff() * expected.abs();
            let allowed = own + (roundings + inner) * size + smallest(meta.dtype);
            let error = (found - expected).abs();
            let share = if error == 0.0 { 0.0 } else { error / allowed };
            let holds = error <= allowed;
            if share > worst.share || !holds && worst.holds {
                worst = Comparison { share, element, found, expected, allowed, holds, ..worst };
            }
        }
        all.push(worst);
    }
    Ok(all)
}

/// Half the gap between the smallest numbers of a dtype.
fn smallest(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2f64.powi(-25),
        DType::BF16 => 2f64.powi(-134),
        DType::F32 => 2f64.powi(-150),
        _ => 0.0,
    }
}

fn encoded(values: &[f64], dtype: DType) -> Vec<u8> {
    let all = values.iter();
    match dtype {
        DType::F16 => all.flat_map(|&v| f16::from_f64(v).to_le_bytes()).collect(),
        DType::BF16 => all.flat_map(|&v| bf16::from_f64(v).to_le_bytes()).collect(),
        DType::I64 => all.flat_map(|&v| (v as i64).to_le_bytes()).collect(),
        _ => all.flat_map(|&v| (v as f32).to_le_bytes()).collect(),
    }
}

fn decoded(bytes: &[u8], dtype: DType) -> Vec<f64> {
    let two = || bytes.as_chunks::<2>().0.iter();
    match dtype {
        DType::F16 => two().map(|&b| f16::from_le_bytes(b).to_f64()).collect(),
        DType::BF16 => two().map(|&b| bf16::from_le_bytes(b).to_f64()).collect(),
        DType::I64 => bytes.as_chunks::<8>().0.iter().map(|&b| i64::from_le_bytes(b) as f64).collect(),
        _ => bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b).into()).collect(),
    }
}
