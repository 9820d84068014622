//! Activation recomputation (Chen et al., *Training Deep Nets with Sublinear Memory Cost*, 2016, arXiv 1604.06174):
//! a part of the model keeps only its inputs, and runs once more when its gradient is due.

use std::sync::{Arc, Mutex, PoisonError};

use warpsmith_tensor::{Error, Result, Tensor};

use crate::backward::freed;
use crate::tape::{Edge, Node, NodeKind, leaf};
use crate::{Gradients, Meta, TensorExt, is_grad_enabled, no_grad, with_grad};

/// A part of a model, from its inputs to its one output.
pub(crate) type Body = Box<dyn Fn(&[Tensor]) -> Result<Tensor> + Send + Sync>;

/// Runs `body(inputs)`, keeping the inputs alone for the backward pass.
///
/// `body` runs twice and must compute the same both times: random numbers must come from a generator that it makes
/// itself from fixed numbers, not from one that it shares. Gradients reach the parameters that it reads, too.
pub fn recompute(
    inputs: &[&Tensor],
    body: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    let detached: Vec<Tensor> = inputs.iter().map(|t| t.detach()).collect();
    let output = no_grad(|| body(&detached))?;
    if !is_grad_enabled() {
        return Ok(output);
    }
    let edges: Vec<Edge> = inputs.iter().map(|t| Node::of(t)).collect();
    let node = Node::new(NodeKind::Recompute {
        body: Box::new(body),
        edges: Mutex::new(edges),
        inputs: Mutex::new(Some(detached)),
        output: Meta::from(&output),
    });
    Ok(output.with_trace(node, 0))
}

/// Runs the body again, on a tape of its own, and walks back over that.
pub(crate) fn backward(
    node: &Arc<Node>,
    grads: Vec<Option<Tensor>>,
    found: &mut Gradients,
) -> Result<Vec<Option<Tensor>>> {
    let NodeKind::Recompute { body, inputs, output, .. } = &node.kind else {
        return Err(Error::internal("recompute", "not a recomputed part"));
    };
    let edges = node.edges();
    let inputs = inputs.lock().unwrap_or_else(PoisonError::into_inner).take();
    let inputs = inputs.ok_or_else(|| freed("recompute"))?;
    let Some(gradient) = grads.into_iter().flatten().next() else {
        return Ok(vec![None; inputs.len()]);
    };
    // Only inputs that came from a leaf have a gradient to compute.
    let again_leaf = |(t, edge): (&Tensor, &Edge)| if edge.is_some() { leaf(t) } else { Ok(t.clone()) };
    let leaves: Vec<Tensor> = inputs.iter().zip(&edges).map(again_leaf).collect::<Result<_>>()?;
    let again = with_grad(|| body(&leaves))?;
    if Meta::from(&again) != *output {
        return Err(Error::internal("recompute", "the second run gave another shape than the first"));
    }
    if again.trace().is_none() {
        return Ok(vec![None; inputs.len()]);
    }
    let mut inner = again.backward_from(gradient)?;
    let input_grads = leaves.iter().map(|t| inner.take_leaf(t)).collect();
    found.accumulate(inner)?;
    Ok(input_grads)
}
