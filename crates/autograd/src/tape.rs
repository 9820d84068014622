//! The tape: each traced tensor holds the node that made it, each node holds the nodes of its inputs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use warpsmith_tensor::{Device, Result, Tensor};

use crate::recompute::Body;
use crate::{Meta, Op};

/// A place on the tape. Ids grow with time, so every input of a node has a smaller id than the node.
pub(crate) struct Node {
    pub id: u64,
    pub kind: NodeKind,
    /// The layer that the op ran in, for errors of the backward pass.
    pub scope: String,
}

pub(crate) enum NodeKind {
    /// A tensor whose gradient is asked for.
    Leaf,
    /// A call of an op.
    Call {
        op: Box<dyn Op>,
        edges: Mutex<Vec<Edge>>,
        inputs: Vec<Meta>,
        outputs: Vec<Meta>,
        device: Device,
        /// Taken by the backward pass: a second pass finds nothing.
        saved: Mutex<Option<Saved>>,
    },
    /// A part of the model that keeps its inputs alone and runs again in the backward pass.
    Recompute { body: Body, edges: Mutex<Vec<Edge>>, inputs: Mutex<Option<Vec<Tensor>>>, output: Meta },
}

/// From an input of a call to the node that made it, and which output of that node it was; `None`: no gradient wanted.
pub(crate) type Edge = Option<(Arc<Node>, u32)>;

pub(crate) struct Saved {
    pub inputs: Vec<Option<Tensor>>,
    pub outputs: Vec<Option<Tensor>>,
}

impl Node {
    pub fn new(kind: NodeKind) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { id, kind, scope: warpsmith_tensor::current_scope() })
    }

    /// The node that made `tensor`, and which output it is; `None` if untraced.
    pub fn of(tensor: &Tensor) -> Edge {
        let (trace, output) = tensor.trace()?;
        let node = Arc::clone(trace).downcast::<Self>().ok()?;
        Some((node, output))
    }

    /// The edges of an op's node, to read.
    pub fn edges(&self) -> Vec<Edge> {
        match &self.kind {
            NodeKind::Leaf => Vec::new(),
            NodeKind::Call { edges, .. } | NodeKind::Recompute { edges, .. } => {
                edges.lock().unwrap_or_else(PoisonError::into_inner).clone()
            }
        }
    }

    fn take_edges(&mut self) -> Vec<Edge> {
        match &mut self.kind {
            NodeKind::Leaf => Vec::new(),
            NodeKind::Call { edges, .. } | NodeKind::Recompute { edges, .. } => {
                std::mem::take(edges.get_mut().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }
}

impl Drop for Node {
    /// Frees a chain of nodes in a loop: a long one would overflow the stack if each dropped the next.
    fn drop(&mut self) {
        let mut pending: Vec<Edge> = self.take_edges();
        while let Some(edge) = pending.pop() {
            if let Some((node, _)) = edge
                && let Some(mut node) = Arc::into_inner(node)
            {
                pending.append(&mut node.take_edges());
            }
        }
    }
}

/// Makes `tensor` a leaf: the backward pass will report its gradient.
pub(crate) fn leaf(tensor: &Tensor) -> Result<Tensor> {
    if !tensor.dtype().is_float() {
        return Err(warpsmith_tensor::Error::dtype(
            "requires_grad",
            format!("{} tensors have no gradient", tensor.dtype()),
        ));
    }
    Ok(tensor.detach().with_trace(Node::new(NodeKind::Leaf), 0))
}
