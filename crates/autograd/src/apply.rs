//! Running an op: check, execute on the device where the inputs are, and remember if a gradient is wanted.

use std::sync::{Mutex, OnceLock};

use warpsmith_tensor::{DType, Device, Error, Kind, Result, Shape, Tensor};

use crate::tape::{Edge, Node, NodeKind, Saved};
use crate::{Array, Differentiability, Meta, Op, is_grad_enabled};

/// Runs `op` and returns its visible outputs, traced if any input is and gradients are on.
pub fn apply(op: impl Op, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    run(Box::new(op), inputs.iter().map(|&t| t.clone()).collect())
}

/// As [`apply`], for ops of one visible output.
pub fn apply_single(op: impl Op, inputs: &[&Tensor]) -> Result<Tensor> {
    let name = op.name();
    apply(op, inputs)?.into_iter().next().ok_or_else(|| Error::internal(name, "no output"))
}

/// As [`apply`], giving the inputs away: an op may then write over an input that nobody else holds.
pub fn apply_owned(op: impl Op, inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
    run(Box::new(op), inputs)
}

/// Boxed, as the tape keeps it: what follows is compiled once, and not once per op.
fn run(op: Box<dyn Op>, inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
    let metas: Vec<Meta> = inputs.iter().map(Meta::from).collect();
    let edges: Vec<Edge> = if is_grad_enabled() { inputs.iter().map(Node::of).collect() } else { Vec::new() };
    let traced = edges.iter().any(Option::is_some);
    let promised = op.shape(&metas)?;
    match op.differentiability() {
        Differentiability::Refused if traced => return Err(refused(op.name())),
        Differentiability::Differentiable if traced => {}
        _ => {
            let mut outputs = execute(&*op, inputs, &metas, &promised)?;
            outputs.truncate(promised.len() - op.hidden_outputs());
            return Ok(outputs);
        }
    }
    let device = inputs[0].device();
    let saves = op.saves();
    let keep = |tensors: &[Tensor], which: &[usize]| -> Vec<Option<Tensor>> {
        (0..tensors.len()).map(|i| which.contains(&i).then(|| tensors[i].detach())).collect()
    };
    let saved_inputs = keep(&inputs, saves.inputs);
    let mut outputs = execute(&*op, inputs, &metas, &promised)?;
    let saved = Saved { inputs: saved_inputs, outputs: keep(&outputs, saves.outputs) };
    outputs.truncate(promised.len() - op.hidden_outputs());
    let node = Node::new(NodeKind::Call {
        op,
        edges: Mutex::new(edges),
        inputs: metas,
        outputs: promised,
        device,
        saved: Mutex::new(Some(saved)),
    });
    let trace = |(i, output): (usize, Tensor)| match output.dtype().is_float() {
        true => output.with_trace(node.clone(), i as u32),
        false => output,
    };
    Ok(outputs.into_iter().enumerate().map(trace).collect())
}

fn refused(op: &'static str) -> Error {
    Error::new(Kind::Gradient, op, "a gradient was asked for, but this op has none")
        .hint("run it under no_grad, or detach its inputs")
}

/// Runs `op` on untraced inputs and checks that the outputs are what [`Op::shape`] promised.
fn execute(op: &dyn Op, inputs: Vec<Tensor>, metas: &[Meta], promised: &[Meta]) -> Result<Vec<Tensor>> {
    let device = inputs.first().map_or(Device::Cpu, Tensor::device);
    if let Some(other) = inputs.iter().map(Tensor::device).find(|d| *d != device) {
        let message = format!("inputs lie on {device} and on {other}");
        return Err(Error::new(Kind::Device, op.name(), message)
            .operands(operands(metas))
            .hint("bring them together with to_device"));
    }
    if tracing() {
        let shown: Vec<String> = metas.iter().map(|m| format!("{} {}", m.shape, m.dtype)).collect();
        eprintln!("{} {} [{}] in {}", op.name(), device, shown.join(", "), warpsmith_tensor::current_scope());
    }
    let inputs: Vec<Tensor> = inputs.into_iter().map(Tensor::untraced).collect();
    let outputs = match device {
        Device::Cpu => execute_cpu(op, inputs, metas, promised),
        _ => execute_cuda(op, inputs, metas, promised),
    };
    let outputs = outputs.map_err(|error| match error.kind() {
        // What asks for the memory does not know for whom.
        Kind::Memory => error.while_running(op.name()).or_operands(operands(metas)),
        _ => error,
    })?;
    let kept =
        outputs.len() == promised.len() && outputs.iter().zip(promised).all(|(t, m)| Meta::from(t) == *m);
    if !kept {
        let got: Vec<Meta> = outputs.iter().map(Meta::from).collect();
        return Err(Error::internal(op.name(), format!("promised {promised:?}, made {got:?}")));
    }
    Ok(outputs)
}

fn tracing() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| std::env::var_os("WARPSMITH_TRACE").is_some_and(|v| v == "1"))
}

/// On a GPU every float but f64 goes to the kernels as it is.
fn execute_cuda(op: &dyn Op, inputs: Vec<Tensor>, metas: &[Meta], promised: &[Meta]) -> Result<Vec<Tensor>> {
    if metas.iter().any(|m| m.dtype == DType::F64) {
        let message = "f64 is the oracle's type and is computed on the CPU alone";
        return Err(Error::dtype(op.name(), message)
            .operands(operands(metas))
            .hint("convert with to_dtype, or move it with to_device"));
    }
    op.cuda(inputs, promised).map_err(|error| error.or_operands(operands(metas)))
}

fn operands(metas: &[Meta]) -> impl Iterator<Item = (Shape, DType)> {
    metas.iter().map(|m| (m.shape, m.dtype))
}

/// On the CPU the dtype chooses: f64 runs the oracle, 16-bit floats run the f32 path between two conversions.
fn execute_cpu(op: &dyn Op, inputs: Vec<Tensor>, metas: &[Meta], promised: &[Meta]) -> Result<Vec<Tensor>> {
    let any = |test: fn(DType) -> bool| metas.iter().any(|m| test(m.dtype));
    if any(|d| d == DType::F64) {
        return execute_reference(op, &inputs, promised);
    }
    if !any(DType::is_half) || op.takes_half() {
        return op.cpu(inputs, promised);
    }
    let widen = |t: Tensor| if t.dtype().is_half() { t.to_dtype(DType::F32) } else { Ok(t) };
    let widened: Vec<Tensor> = inputs.into_iter().map(widen).collect::<Result<_>>()?;
    let wide_metas: Vec<Meta> = widened.iter().map(Meta::from).collect();
    let outputs = op.cpu(widened, &op.shape(&wide_metas)?)?;
    outputs.into_iter().zip(promised).map(|(t, m)| t.to_dtype(m.dtype)).collect()
}

fn execute_reference(op: &dyn Op, inputs: &[Tensor], promised: &[Meta]) -> Result<Vec<Tensor>> {
    let to_array = |t: &Tensor| Ok(Array { shape: *t.shape(), data: t.to_f64_vec()? });
    let x: Vec<Array> = inputs.iter().map(to_array).collect::<Result<_>>()?;
    let mut y: Vec<Array> = promised.iter().map(|m| Array::zeros(m.shape)).collect();
    op.reference(&x, &mut y)?;
    let to_tensor = |(a, m): (&Array, &Meta)| Tensor::from_f64(&a.data, m.shape, m.dtype, &Device::Cpu);
    y.iter().zip(promised).map(to_tensor).collect()
}
