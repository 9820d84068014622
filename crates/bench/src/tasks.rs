//! What is computed: one file per task, each a [`Workload`] of some sizes, and the presets of sizes.
//!
//! A task owns no formula of its own where an op has one: result, error bound, FLOPs (causal attention counts half) and
//! bytes are those of the op's contract.

mod adamw;
mod attention;
mod cross_entropy;
mod decode;
mod gpt;
mod matmul;
mod norm;
mod presets;
mod softmax;
mod step;

use std::fmt;
use std::sync::Arc;

use warpsmith_autograd::{Meta, Op};
use warpsmith_tensor::{DType, Device, Rng, Shape, Tensor};

use crate::contender::Contender;
use crate::engine::Engine;
use crate::memory::Footprint;
use crate::oracle::{self, Slack, Verdict, Window};
use crate::{Error, Result};

pub use adamw::AdamW;
pub use attention::Attention;
pub use cross_entropy::CrossEntropy;
pub use decode::Decode;
pub use gpt::GptSizes;
pub use matmul::Matmul;
pub use norm::Norm;
pub use presets::{PRESETS, preset};
pub use softmax::Softmax;
pub use step::Step;

/// The names of all tasks.
pub const TASKS: [&str; 8] =
    ["attention", "matmul", "softmax", "norm", "cross-entropy", "adamw", "step", "decode"];

/// Those that one kernel can compute: what a user can bring a kernel for.
pub const KERNEL_TASKS: [&str; 6] = ["attention", "matmul", "softmax", "norm", "cross-entropy", "adamw"];

/// Forward or backward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// From inputs to outputs.
    Forward,
    /// From the gradient of the outputs, and what the forward pass saved, to the gradients of the inputs.
    Backward,
}

/// Whether a task has a backward pass of its own, so that the pass has to be told.
fn has_passes(task: &str) -> bool {
    !["adamw", "step", "decode"].contains(&task)
}

/// `attention bwd bf16`; `step bf16`, since a step has no passes to tell apart.
pub(crate) fn kind(task: &str, pass: &str, dtype: &str) -> String {
    if has_passes(task) { format!("{task} {pass} {dtype}") } else { format!("{task} {dtype}") }
}

impl Pass {
    /// `fwd` or `bwd`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "fwd",
            Self::Backward => "bwd",
        }
    }
}

/// A task of some sizes. Its text form is what `--shapes` takes.
pub trait Workload: fmt::Debug + fmt::Display + Send + Sync {
    /// The task's name: one of [`TASKS`].
    fn task(&self) -> &'static str;

    /// Its sizes by letter, in the order in which a kernel of the user's is told them.
    fn letters(&self) -> Vec<(&'static str, usize)>;

    /// Its real-valued attributes by name, in the order in which a kernel of the user's is told them.
    fn attributes(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// What its inputs and its visible outputs are called, in order.
    fn names(&self, pass: Pass) -> (&'static [&'static str], &'static [&'static str]);

    /// The op that computes the pass; an error if the task has no such pass, or is many ops.
    fn op(&self, pass: Pass) -> Result<Arc<dyn Op>>;

    /// Whether the task has this pass.
    fn has(&self, pass: Pass) -> bool {
        self.op(pass).is_ok()
    }

    /// The outputs that every contender gives, and compares: the op's, without the hidden ones.
    ///
    /// # Errors
    /// If the task has no such pass.
    fn outputs(&self, pass: Pass, inputs: &[Meta]) -> Result<Vec<Meta>> {
        let op = self.op(pass)?;
        let mut outputs = op.shape(inputs)?;
        outputs.truncate(outputs.len() - op.hidden_outputs());
        Ok(outputs)
    }

    /// (bytes read and written, FLOPs): the op's formulas.
    ///
    /// # Errors
    /// If the task has no such pass.
    fn cost(&self, pass: Pass, inputs: &[Meta]) -> Result<(u64, u64)> {
        let op = self.op(pass)?;
        let (read, written, flops) = op.cost().values(&*op, inputs)?;
        Ok((read + written, flops))
    }

    /// Tokens that one call reads or writes, where speed is told in tokens per second.
    fn tokens(&self) -> Option<u64> {
        None
    }

    /// Compares outputs, which have the right shapes, with the oracle.
    ///
    /// # Errors
    /// If the oracle cannot be computed.
    fn judge(&self, case: &Case, inputs: &[Tensor], outputs: &[Tensor], slack: Slack) -> Result<Verdict> {
        oracle::judge_windows(case, inputs, outputs, slack)
    }

    /// Whether a case of this size is too large for the f64 oracle, so that everybody has to be right on the awkward shapes
    /// first and is then compared with the CPU's f32.
    fn wants_proof_on_small(&self) -> bool {
        false
    }

    /// How this engine computes it.
    fn engine(&self) -> Box<dyn Contender> {
        Box::new(Engine)
    }

    /// Fresh random inputs of the op on `device`, floats in `dtype`. What a forward pass would have saved is computed.
    fn inputs(&self, pass: Pass, dtype: DType, rng: &Rng, device: &Device) -> Result<Vec<Tensor>>;

    /// Shapes and dtypes of what [`Workload::inputs`] gives, without any of it.
    ///
    /// # Errors
    /// If the task has no such pass, or a tensor would have more numbers than can be addressed.
    fn metas(&self, pass: Pass, dtype: DType) -> Result<Vec<Meta>>;

    /// Bytes that a contender takes at least, the oracle's left to the windows.
    ///
    /// # Errors
    /// As [`Workload::metas`].
    fn footprint(&self, pass: Pass, dtype: DType) -> Result<Footprint> {
        let inputs = self.metas(pass, dtype)?;
        Ok(Footprint::of(&inputs, &self.outputs(pass, &inputs)?))
    }

    /// Inputs that the pass writes over: (output, input), both by number.
    fn in_place(&self) -> &'static [(usize, usize)] {
        &[]
    }

    /// The parts of the outputs that are compared with the oracle, and how it computes each from parts of the inputs. A
    /// small case is compared whole. None where [`Workload::judge`] compares in another way.
    fn windows(&self, _pass: Pass) -> Vec<Window> {
        Vec::new()
    }

    /// How often a kernel in 16-bit floats may round what passes between its products (the probabilities of attention, as
    /// FlashAttention does), beyond what the op's own bound allows.
    fn rounds_inside(&self, _pass: Pass) -> f64 {
        0.0
    }

    /// Small cases with awkward sizes: primes, one, one more than a tile. A kernel of the user's has to master them first.
    fn awkward(&self) -> Vec<Arc<dyn Workload>>;
}

/// One row of the bench: a workload, a pass and a dtype.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is computed.
    pub work: Arc<dyn Workload>,
    /// Forward or backward.
    pub pass: Pass,
    /// The dtype of the floats.
    pub dtype: DType,
}

impl Case {
    /// `attention bwd bf16 8x1024x12x64`
    pub fn name(&self) -> String {
        format!("{} {}", kind(self.work.task(), self.pass.name(), self.dtype.name()), self.work)
    }

    /// Fresh random inputs; the same of the same seed.
    pub fn inputs(&self, seed: u64, device: &Device) -> Result<Vec<Tensor>> {
        let rng = Rng::new(warpsmith_tensor::Seed(seed));
        self.work.inputs(self.pass, self.dtype, &rng, device)
    }

    /// The outputs that every contender gives, and compares.
    pub fn outputs(&self, inputs: &[Tensor]) -> Result<Vec<Meta>> {
        self.work.outputs(self.pass, &inputs.iter().map(Meta::from).collect::<Vec<_>>())
    }

    /// (bytes read and written, FLOPs) by formula.
    pub fn cost(&self, inputs: &[Tensor]) -> Result<(u64, u64)> {
        self.work.cost(self.pass, &inputs.iter().map(Meta::from).collect::<Vec<_>>())
    }
}

/// The workload of a task that a text such as `1x1024x12x64` describes.
///
/// # Errors
/// If the task is none of [`TASKS`] or the text is no shape of it: says what was expected.
pub fn parse(task: &str, text: &str) -> Result<Arc<dyn Workload>> {
    match task {
        "attention" => attention::parse(text),
        "matmul" => matmul::parse(text),
        "softmax" => softmax::parse(text),
        "norm" => norm::parse(text),
        "cross-entropy" => cross_entropy::parse(text),
        "adamw" => adamw::parse(text),
        "step" => step::parse(text),
        "decode" => decode::parse(text),
        _ => Err(Error::Usage(format!("there is no task {task:?}; there are {}", TASKS.join(", ")))),
    }
}

/// Shape and dtype of a tensor that is not made.
fn meta(dims: &[usize], dtype: DType) -> Result<Meta> {
    Ok(Meta::new(Shape::new(dims)?, dtype))
}

/// The sizes in a text such as `8x1024`, if there are as many as asked for and none is 0.
fn sizes<const N: usize>(text: &str, expected: &str) -> Result<[usize; N]> {
    let parts: Vec<usize> = text.split('x').filter_map(|part| part.parse().ok()).collect();
    let whole = parts.len() == text.split('x').count() && !parts.contains(&0);
    let sizes = parts.try_into().ok().filter(|_| whole);
    sizes.ok_or_else(|| Error::Usage(format!("{text:?} is no shape: expected {expected}, each at least 1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_as_they_are_printed() {
        for (task, text) in [
            ("attention", "2x37x4x20"),
            ("attention", "1x64x8/2x16"),
            ("attention", "full:1x64x8x16"),
            ("matmul", "3x5x7"),
            ("softmax", "4x70"),
            ("norm", "layer:4x70"),
            ("norm", "rms:4x70"),
            ("cross-entropy", "4x70"),
            ("adamw", "3x100"),
            ("step", "2x16x2x2x32x65"),
            ("decode", "5x7x2x2x32x65"),
        ] {
            assert_eq!(parse(task, text).unwrap().to_string(), text, "{task}");
        }
    }

    #[test]
    fn what_inputs_will_be_is_known_without_them() {
        for task in TASKS {
            let tiny = preset(task, "tiny").unwrap();
            for work in tiny.iter().flat_map(|work| work.awkward()).chain(tiny.clone()) {
                for pass in [Pass::Forward, Pass::Backward].into_iter().filter(|pass| work.has(*pass)) {
                    for dtype in [DType::F32, DType::BF16] {
                        let case = Case { work: work.clone(), pass, dtype };
                        let inputs = case.inputs(3, &Device::Cpu).unwrap();
                        let made: Vec<Meta> = inputs.iter().map(Meta::from).collect();
                        assert_eq!(work.metas(pass, dtype).unwrap(), made, "{}", case.name());
                        let told = Footprint::of(&made, &case.outputs(&inputs).unwrap());
                        let need = work.footprint(pass, dtype).unwrap();
                        assert!(need.inputs >= told.inputs, "{}", case.name());
                    }
                }
            }
        }
    }

    #[test]
    fn operations_beyond_any_count_are_an_error() {
        let work = parse("attention", "72057594037927936x8x1x1").unwrap(); // (2^56, 8, 1, 1)
        let inputs = work.metas(Pass::Forward, DType::BF16).unwrap();
        let error = work.cost(Pass::Forward, &inputs).unwrap_err().to_string();
        assert!(error.contains("P*(4*D + 5)") && error.contains("2^64"), "{error}");
    }

    #[test]
    fn what_is_no_shape_says_what_was_expected() {
        for (task, text) in [
            ("attention", "2x37x4"),
            ("attention", "1x8x5/2x4"),
            ("matmul", "3x0x7"),
            ("matmul", "3xx7"),
            ("softmax", "a"),
            ("norm", "batch:3x4"),
            ("adamw", ""),
            ("step", "2x16x2x3x32x65"),
            ("decode", "5x7"),
        ] {
            let error = parse(task, text).unwrap_err().to_string();
            assert!(error.contains("expected"), "{task} {text}: {error}");
        }
        assert!(parse("conv", "1").unwrap_err().to_string().contains("attention, matmul"));
    }

    #[test]
    fn every_awkward_shape_is_a_shape_of_its_task_with_every_pass() {
        for task in TASKS {
            let tiny = preset(task, "tiny").unwrap();
            for work in tiny.iter().flat_map(|work| work.awkward()) {
                assert_eq!(parse(task, &work.to_string()).unwrap().letters(), work.letters());
            }
        }
    }
}
