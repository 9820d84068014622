//! Graphs: captured work with its order, and what was instantiated of it.

use std::sync::Arc;

use super::abi::Out;
use super::code::Code;
use super::context::Context;
use super::failure::Outcome;
use super::handle::Object;
use super::state::{Driver, driver};
use super::stream::submit;
use super::work::Work;

/// A graph. The order in which its nodes were captured is one that their edges allow.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) context: Arc<Context>,
    pub(crate) nodes: Vec<Node>,
}

/// A piece of work and the nodes that it comes after.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) work: Arc<Work>,
    pub(crate) after: Vec<usize>,
}

/// A node of a graph, as a handle names it.
#[derive(Debug)]
pub(crate) struct GraphNode {
    graph: usize,
    node_type: u32,
    index: usize,
}

/// A graph ready to launch. It outlives the graph.
#[derive(Debug)]
pub(crate) struct Executable {
    context: Arc<Context>,
    works: Vec<Arc<Work>>,
}

impl Object for Graph {
    const TAG: usize = 6;
}

impl Object for Arc<Executable> {
    const TAG: usize = 7;
}

impl Object for GraphNode {
    const TAG: usize = 9;
}

impl Executable {
    /// Runs its work, in order, up to the first failure.
    pub(crate) fn run(&self) -> Outcome {
        self.works.iter().try_for_each(|work| {
            self.context.sound()?;
            work.run(&self.context)
        })
    }
}

/// `CUDA_GRAPH_INSTANTIATE_FLAG_…`: free what was allocated at each launch, upload, launch from the device, priorities.
const AUTO_FREE: u64 = 1;
const DEVICE_LAUNCH: u64 = 4;
const FLAGS: u64 = 15;

impl Driver {
    /// Adds a graph with handles for its nodes.
    pub(crate) fn add_graph(&mut self, graph: Graph) -> usize {
        let types: Vec<u32> = graph.nodes.iter().map(|node| node.work.node_type()).collect();
        let graph = self.graphs.insert(graph);
        for (index, node_type) in types.into_iter().enumerate() {
            self.graph_nodes.insert(GraphNode { graph, node_type, index });
        }
        graph
    }
}

/// `cuGraphInstantiateWithFlags`.
pub(crate) fn instantiate(executable: Out<usize>, graph: usize, flags: u64) -> Outcome {
    let place = executable.place("the executable graph")?;
    if flags & !FLAGS != 0 || flags & (AUTO_FREE | DEVICE_LAUNCH) == AUTO_FREE | DEVICE_LAUNCH {
        return Err(Code::INVALID_VALUE.says(format!("{flags:#x} are no flags to instantiate with")));
    }
    if flags & DEVICE_LAUNCH != 0 {
        return Err(Code::NOT_SUPPORTED.says("the emulated GPU launches no graphs from kernels"));
    }
    let mut driver = driver();
    let graph = driver.graphs.get(graph)?;
    graph.context.sound()?;
    let works = graph.nodes.iter().map(|node| Arc::clone(&node.work)).collect();
    let made = Executable { context: Arc::clone(&graph.context), works };
    place.put(driver.executables.insert(Arc::new(made)));
    Ok(())
}

/// `cuGraphLaunch`.
pub(crate) fn launch(executable: usize, stream: usize) -> Outcome {
    let executable = Arc::clone(driver().executables.get(executable)?);
    let context = executable.context.handle;
    submit(stream, Some(context), Work::Graph(executable))
}

/// `cuGraphUpload`: there is nothing to upload.
pub(crate) fn upload(executable: usize, stream: usize) -> Outcome {
    let mut driver = driver();
    driver.executables.get(executable)?;
    driver.stream(stream).map(drop)
}

/// `cuGraphDestroy`.
pub(crate) fn destroy(graph: usize) -> Outcome {
    let mut driver = driver();
    driver.graphs.remove(graph)?;
    driver.graph_nodes.drop_if(|node| node.graph == graph);
    Ok(())
}

/// `cuGraphExecDestroy`.
pub(crate) fn destroy_executable(executable: usize) -> Outcome {
    driver().executables.remove(executable).map(drop)
}

/// `cuGraphGetNodes`: how many there are, or as many as there is room for.
pub(crate) fn get_nodes(graph: usize, nodes: Out<usize>, count: Out<usize>) -> Outcome {
    let driver = driver();
    let total = driver.graphs.get(graph)?.nodes.len();
    if nodes.is_null() {
        return count.set(total, "the count");
    }
    let room = count.get("the count")?;
    let mut handles: Vec<(usize, usize)> = driver
        .graph_nodes
        .iter()
        .filter(|(_, node)| node.graph == graph)
        .map(|(handle, node)| (node.index, handle))
        .collect();
    handles.sort_unstable();
    nodes.fill(
        handles.into_iter().map(|(_, handle)| handle).chain(std::iter::repeat(0)).take(room),
        "the nodes",
    )?;
    count.set(total.min(room), "the count")
}

/// `cuGraphNodeGetType`.
pub(crate) fn node_type(node: usize, node_type: Out<u32>) -> Outcome {
    node_type.set(driver().graph_nodes.get(node)?.node_type, "the type")
}
