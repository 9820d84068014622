//! A kernel of the user's as a contender: `my.cu:entry` or `my.ptx:entry`.
//!
//! The contract. An entry takes one struct by value: the addresses of the inputs, then of the outputs, in the order of the
//! op's contract; then the sizes as `int`; then the attributes as `float` ([`argument_struct`] prints it in C). An input
//! that is written over is its own output. How it is launched stands in a line of the source,
//!
//! ```text
//! // bench: softmax fwd f32; grid (R+3)/4; block 128; shared 4*C
//! ```
//!
//! with formulas over the letters of the task; `grid` and `block` may have up to three, separated by commas. Every launch is
//! made anew for each shape. The files in `starters/` are kernels to begin from.

mod geometry;
mod source;

use warpsmith_kernels::{Entry, Launch, Module};
use warpsmith_tensor::{DType, Tensor};

use crate::contender::{Call, Contender};
use crate::launched::Launched;
use crate::tasks::{Case, Pass, preset};
use crate::{Error, Result};

pub use geometry::Geometry;
pub use source::{Source, compile};

/// A compiled kernel of the user's.
pub struct UserKernel {
    name: String,
    geometry: Geometry,
    source: Source,
}

impl UserKernel {
    /// The kernel of a compiled source; `overrides` are pieces of the `bench:` line that go before those of the source.
    ///
    /// # Errors
    /// If the source has no such entry, or says nothing of its grid.
    pub fn new(source: Source, overrides: &str) -> Result<Self> {
        let line = format!("{overrides}; {}", source.bench_line());
        let geometry = Geometry::parse(&line)?;
        Ok(Self { name: source.entry.clone(), geometry, source })
    }

    /// What the source says it computes: task, pass and dtype, as far as it says so.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn entry(&self, param_bytes: usize) -> &'static Entry {
        // The device keeps modules by address for as long as it lives, so they have to live as long.
        let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
        let module = Box::leak(Box::new(Module::new(leak(&self.source.name), leak(&self.source.ptx))));
        Box::leak(Box::new(Entry { module, name: leak(&self.source.entry), param_bytes }))
    }
}

impl Contender for UserKernel {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn is_guest(&self) -> bool {
        true
    }

    fn prepare(&mut self, case: &Case, inputs: &[Tensor]) -> Result<Box<dyn Call>> {
        self.geometry.require(case)?;
        let mut call = Launched::new(case, inputs)?;
        let addresses = call.addresses()?;
        let arguments = Arguments::of(case, addresses)?;
        self.source.require_parameter(arguments.bytes(), || struct_of(case).unwrap_or_default())?;
        let symbols = case.work.letters();
        let (grid, block) = (self.geometry.grid(&symbols)?, self.geometry.block(&symbols)?);
        let shared_bytes = self.geometry.shared(&symbols)?;
        let params = arguments.params();
        let entry = self.entry(params.len());
        Ok(Box::new(call.with(vec![Launch { entry, grid, block, shared_bytes, params }])))
    }
}

/// What the struct holds.
struct Arguments {
    addresses: Vec<u64>,
    letters: Vec<i32>,
    attributes: Vec<f32>,
}

impl Arguments {
    fn of(case: &Case, addresses: Vec<u64>) -> Result<Self> {
        let letter = |(name, size): (&str, usize)| {
            i32::try_from(size).map_err(|_| Error::Unsupported(format!("{name} = {size} is no int")))
        };
        let letters = case.work.letters().into_iter().map(letter).collect::<Result<_>>()?;
        let attributes = case.work.attributes().into_iter().map(|(_, value)| value as f32).collect();
        Ok(Self { addresses, letters, attributes })
    }

    fn bytes(&self) -> usize {
        (8 * self.addresses.len() + 4 * (self.letters.len() + self.attributes.len())).next_multiple_of(8)
    }

    fn params(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes());
        self.addresses.iter().for_each(|address| bytes.extend(address.to_le_bytes()));
        self.letters.iter().for_each(|letter| bytes.extend(letter.to_le_bytes()));
        self.attributes.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        bytes.resize(self.bytes(), 0);
        bytes
    }
}

/// The struct that a kernel of a task and pass takes, in C; `Real` is the dtype of the floats.
pub fn argument_struct(task: &str, pass: Pass) -> String {
    lines_of_struct(task, pass).unwrap_or_else(|error| format!("// {error}\n"))
}

fn lines_of_struct(task: &str, pass: Pass) -> Result<String> {
    let works = preset(task, "tiny")?;
    let work = works.first().ok_or_else(|| Error::Usage(format!("{task} has no shape")))?;
    struct_of(&Case { work: work.clone(), pass, dtype: DType::BF16 })
}

/// The struct of a case: what a norm takes depends on which it is.
fn struct_of(case: &Case) -> Result<String> {
    // In bf16, so that what stays in f32 shows; and of a small shape, since its inputs are made.
    let small = case.work.awkward().into_iter().next().unwrap_or_else(|| case.work.clone());
    let case = Case { work: small, dtype: DType::BF16, ..case.clone() };
    let inputs = case.inputs(0, &warpsmith_tensor::Device::Cpu)?;
    let outputs = case.outputs(&inputs)?;
    let (input_names, output_names) = case.work.names(case.pass);
    let in_place = case.work.in_place();
    let kind = |dtype: DType| match dtype {
        DType::F32 => "float",
        DType::I64 => "long long",
        _ => "Real",
    };
    let mut text = String::from("struct Args {\n");
    for (i, name) in input_names.iter().enumerate() {
        let is_written = in_place.iter().any(|(_, input)| *input == i);
        let constant = if is_written { "" } else { "const " };
        text += &format!("    {constant}{}* {name};\n", kind(inputs[i].dtype()));
    }
    let fresh = |i: &usize| in_place.iter().all(|(output, _)| output != i);
    for (i, name) in output_names.iter().enumerate().filter(|(i, _)| fresh(i)) {
        text += &format!("    {}* {name};\n", kind(outputs[i].dtype));
    }
    let letters: Vec<&str> = case.work.letters().iter().map(|(name, _)| *name).collect();
    text += &format!("    int {};\n", letters.join(", "));
    let attributes: Vec<&str> = case.work.attributes().iter().map(|(name, _)| *name).collect();
    if !attributes.is_empty() {
        text += &format!("    float {};\n", attributes.join(", "));
    }
    Ok(text + "};\n")
}

/// The starter of a task: a slow and right forward kernel in f32, to begin from.
pub fn starter(task: &str) -> Option<&'static str> {
    Some(match task {
        "attention" => include_str!("../starters/attention.cu"),
        "matmul" => include_str!("../starters/matmul.cu"),
        "softmax" => include_str!("../starters/softmax.cu"),
        "norm" => include_str!("../starters/norm.cu"),
        "cross-entropy" => include_str!("../starters/cross_entropy.cu"),
        "adamw" => include_str!("../starters/adamw.cu"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::KERNEL_TASKS;

    #[test]
    fn every_starter_declares_the_struct_of_its_task_and_how_it_is_launched() {
        for task in KERNEL_TASKS {
            let text = starter(task).unwrap();
            assert!(
                text.contains(&argument_struct(task, Pass::Forward)),
                "{task}:\n{}",
                argument_struct(task, Pass::Forward)
            );
            let line = source::bench_line(text);
            assert!(line.starts_with(&format!("{task} fwd f32; grid ")), "{line}");
            Geometry::parse(&line).unwrap();
        }
        assert_eq!(starter("conv"), None);
    }

    #[test]
    fn statistics_stay_wide_and_what_is_written_over_is_not_constant() {
        let text = argument_struct("norm", Pass::Backward);
        assert!(text.contains("const Real* g;\n") && text.contains("const float* rstd;\n"), "{text}");
        let text = argument_struct("adamw", Pass::Forward);
        assert!(text.contains("    Real* p;\n    const Real* g;\n"), "{text}");
    }
}
