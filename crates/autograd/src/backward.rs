//! The walk back over the tape: newest node first, so that a node is reached only when all its users are done.

use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, PoisonError};

use warpsmith_tensor::{Error, Kind, Result, Scope, Tensor};

use crate::tape::{Edge, Node, NodeKind, leaf};
use crate::{Backward, Meta, Op, Parameter, no_grad, recompute};

/// The gradients that a backward pass found, by leaf.
#[derive(Default)]
pub struct Gradients {
    by_leaf: HashMap<u64, Tensor>,
}

impl Gradients {
    /// The gradient of a leaf tensor (one made by [`TensorExt::requires_grad`]), if it had a part in the result.
    pub fn of(&self, leaf: &Tensor) -> Option<&Tensor> {
        self.by_leaf.get(&Node::of(leaf)?.0.id)
    }

    /// The gradient of a parameter, if it had a part in the result.
    pub fn get(&self, parameter: &Parameter) -> Option<&Tensor> {
        self.by_leaf.get(&parameter.leaf_id())
    }

    /// Removes the gradient of a parameter: an optimiser may then write over it.
    pub fn take(&mut self, parameter: &Parameter) -> Option<Tensor> {
        self.by_leaf.remove(&parameter.leaf_id())
    }

    /// Puts a gradient in the place of a parameter's.
    pub fn set(&mut self, parameter: &Parameter, gradient: Tensor) {
        self.by_leaf.insert(parameter.leaf_id(), gradient);
    }

    /// Removes the gradients of these parameters and gives them back on their own: where groups of parameters have each
    /// an optimiser of their own.
    pub fn split_off(&mut self, parameters: &[Parameter]) -> Self {
        let taken = parameters.iter().filter_map(|p| Some((p.leaf_id(), self.take(p)?)));
        Self { by_leaf: taken.collect() }
    }

    /// How many leaves have a gradient.
    pub fn len(&self) -> usize {
        self.by_leaf.len()
    }

    /// Whether no leaf has a gradient.
    pub fn is_empty(&self) -> bool {
        self.by_leaf.is_empty()
    }

    /// Adds the gradients of another pass: how micro-batches become one batch.
    pub fn accumulate(&mut self, other: Self) -> Result<()> {
        // In the order of the leaves, so that errors and traces are the same on every run; sums do not depend on it.
        let mut others: Vec<(u64, Tensor)> = other.by_leaf.into_iter().collect();
        others.sort_by_key(|(id, _)| *id);
        others.into_iter().try_for_each(|(id, gradient)| self.add(id, gradient))
    }

    /// The first contribution moves in, later ones are added in place.
    pub(crate) fn add(&mut self, id: u64, gradient: Tensor) -> Result<()> {
        match self.by_leaf.get_mut(&id) {
            Some(sum) => sum.accumulate(&gradient),
            None => {
                self.by_leaf.insert(id, gradient);
                Ok(())
            }
        }
    }

    pub(crate) fn take_leaf(&mut self, leaf: &Tensor) -> Option<Tensor> {
        self.by_leaf.remove(&Node::of(leaf)?.0.id)
    }
}

/// What autograd adds to tensors.
pub trait TensorExt: Sized {
    /// The same values as a leaf whose gradient is asked for.
    ///
    /// # Errors
    /// If the tensor does not hold floats.
    fn requires_grad(&self) -> Result<Tensor>;

    /// The gradients of this number with respect to every leaf that it came from.
    ///
    /// Frees what the ops saved: a second call is an error.
    ///
    /// # Errors
    /// If the tensor is not one number or came from no leaf, or an op fails.
    fn backward(&self) -> Result<Gradients>;

    /// As [`TensorExt::backward`], for any shape, given the gradient of some later number with respect to this tensor.
    fn backward_from(&self, gradient: Tensor) -> Result<Gradients>;
}

impl TensorExt for Tensor {
    fn requires_grad(&self) -> Result<Tensor> {
        leaf(self)
    }

    fn backward(&self) -> Result<Gradients> {
        if self.numel() != 1 {
            return Err(Error::shape("backward", &[*self.shape()], "only a single number has gradients")
                .hint("reduce it with mean_all or sum_all, or call backward_from with a gradient"));
        }
        self.backward_from(Tensor::full(*self.shape(), 1.0, self.dtype(), &self.device())?)
    }

    fn backward_from(&self, gradient: Tensor) -> Result<Gradients> {
        let Some((root, output)) = Node::of(self) else {
            return Err(Error::new(Kind::Gradient, "backward", "the tensor came from no leaf")
                .hint("was it computed under no_grad, or from tensors without requires_grad?"));
        };
        if Meta::from(&gradient) != Meta::from(self) {
            return Err(Error::shape(
                "backward_from",
                &[*self.shape(), *gradient.shape()],
                "a gradient has the shape and dtype of its tensor",
            ));
        }
        no_grad(|| walk(root, output, gradient))
    }
}

/// A heap entry: the newest node on top.
struct Newest(Arc<Node>);

impl PartialEq for Newest {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}
impl Eq for Newest {}
impl PartialOrd for Newest {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Newest {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.id.cmp(&other.0.id)
    }
}

/// Gradients on their way: per node, per output of that node.
struct Pending {
    heap: BinaryHeap<Newest>,
    grads: HashMap<u64, Vec<Option<Tensor>>>,
}

impl Pending {
    fn add(&mut self, node: Arc<Node>, output: u32, gradient: Tensor) -> Result<()> {
        let outputs = match &node.kind {
            NodeKind::Call { outputs, .. } => outputs.len(),
            _ => 1,
        };
        let id = node.id;
        let slots = self.grads.entry(id).or_insert_with(|| {
            self.heap.push(Newest(node));
            vec![None; outputs]
        });
        match &mut slots[output as usize] {
            Some(sum) => sum.accumulate(&gradient),
            slot => {
                *slot = Some(gradient);
                Ok(())
            }
        }
    }
}

fn walk(root: Arc<Node>, output: u32, gradient: Tensor) -> Result<Gradients> {
    let mut pending = Pending { heap: BinaryHeap::new(), grads: HashMap::new() };
    let mut found = Gradients::default();
    pending.add(root, output, gradient)?;
    while let Some(Newest(node)) = pending.heap.pop() {
        let grads = pending.grads.remove(&node.id).unwrap_or_default();
        let edges = node.edges();
        let _scope = Scope::resume(node.scope.clone());
        let input_grads = match &node.kind {
            NodeKind::Leaf => {
                for gradient in grads.into_iter().flatten() {
                    found.add(node.id, gradient)?;
                }
                continue;
            }
            NodeKind::Call { .. } => call_vjp(&node, &edges, grads)?,
            NodeKind::Recompute { .. } => recompute::backward(&node, grads, &mut found)?,
        };
        for (edge, gradient) in edges.into_iter().zip(input_grads) {
            if let (Some((source, output)), Some(gradient)) = (edge, gradient) {
                pending.add(source, output, gradient)?;
            }
        }
    }
    Ok(found)
}

fn call_vjp(node: &Node, edges: &[Edge], grads: Vec<Option<Tensor>>) -> Result<Vec<Option<Tensor>>> {
    let NodeKind::Call { op, inputs, outputs, device, saved, .. } = &node.kind else {
        return Err(Error::internal("backward", "not a call"));
    };
    let saved =
        saved.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(|| freed(op.name()))?;
    let needs: Vec<bool> = edges.iter().map(Option::is_some).collect();
    let back = Backward {
        op: op.name(),
        inputs: saved.inputs,
        outputs: saved.outputs,
        input_metas: inputs.clone(),
        output_metas: outputs.clone(),
        grads,
        needs: needs.clone(),
        device: device.clone(),
    };
    let result = op.vjp(back)?;
    check_gradients(op.as_ref(), inputs, &needs, &result)?;
    Ok(result)
}

pub(crate) fn freed(op: &'static str) -> Error {
    Error::new(Kind::Gradient, op, "what the backward pass needs is already freed")
        .hint("call backward once per forward pass")
}

/// Every wanted gradient must be there, in the shape and dtype of its input: a gradient is never lost in silence.
fn check_gradients(op: &dyn Op, inputs: &[Meta], needs: &[bool], result: &[Option<Tensor>]) -> Result<()> {
    if result.len() != inputs.len() {
        let message = format!("vjp gave {} gradients for {} inputs", result.len(), inputs.len());
        return Err(Error::internal(op.name(), message));
    }
    for (i, ((gradient, meta), &needed)) in result.iter().zip(inputs).zip(needs).enumerate() {
        let fits = match gradient {
            Some(gradient) => Meta::from(gradient) == *meta,
            None => !needed,
        };
        if !fits {
            let got = gradient.as_ref().map(Meta::from);
            let message = format!("vjp of input {i}: expected {} {}, got {got:?}", meta.shape, meta.dtype);
            return Err(Error::internal(op.name(), message));
        }
    }
    Ok(())
}
