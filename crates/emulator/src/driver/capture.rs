//! Capture: streams that write their work down instead of running it.

use std::cell::Cell;
use std::sync::Arc;

use super::abi::Out;
use super::code::Code;
use super::failure::Outcome;
use super::graph::{Graph, Node};
use super::handle::Object;
use super::state::{Driver, driver, thread_number};
use super::work::Work;

/// A capture that runs.
#[derive(Debug)]
pub(crate) struct Capture {
    /// The handle of its context.
    pub(crate) context: usize,
    /// The stream that it was begun on, and must end on.
    origin: usize,
    mode: Mode,
    /// The thread that began it.
    thread: u64,
    nodes: Vec<Node>,
    /// Why it can only fail, if it can.
    invalid: Option<String>,
}

/// `CUstreamCaptureMode`: whose unsafe calls a capture forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Global,
    ThreadLocal,
    Relaxed,
}

impl Mode {
    fn read(mode: u32) -> Outcome<Mode> {
        match mode {
            0 => Ok(Mode::Global),
            1 => Ok(Mode::ThreadLocal),
            2 => Ok(Mode::Relaxed),
            _ => {
                Err(Code::INVALID_VALUE.says(format!("{mode} is no mode of a capture; they run from 0 to 2")))
            }
        }
    }
}

impl Object for Capture {
    const TAG: usize = 10;
}

thread_local! {
    /// How this thread treats captures when it makes an unsafe call.
    static THREAD_MODE: Cell<Mode> = const { Cell::new(Mode::Global) };
}

impl Driver {
    /// Whether the stream writes its work down. Refuses work that would wait for a capture, or join a failed one.
    pub(crate) fn captures_on(&mut self, stream: usize) -> Outcome<bool> {
        let found = self.streams.get(stream)?;
        let (capture, context) = (found.capture, found.context);
        if found.legacy {
            let blocking = self.streams.iter().map(|(_, stream)| stream);
            let captured = blocking
                .filter(|other| other.context == context && other.is_blocking() && other.capture != 0);
            let captures: Vec<usize> = captured.map(|other| other.capture).collect();
            if !captures.is_empty() {
                let sentence =
                    "the legacy stream would wait for a stream that captures; use a stream of your own";
                captures.into_iter().for_each(|capture| self.invalidate(capture, sentence));
                return Err(Code::STREAM_CAPTURE_IMPLICIT.says(sentence));
            }
        }
        if capture == 0 {
            return Ok(false);
        }
        match &self.captures.get(capture)?.invalid {
            None => Ok(true),
            Some(why) => {
                Err(Code::STREAM_CAPTURE_INVALIDATED.says(format!("the capture failed earlier: {why}")))
            }
        }
    }

    /// Adds a node behind all that the stream has written down.
    pub(crate) fn write_down(&mut self, stream: usize, work: Work) -> Outcome {
        let stream = self.streams.get_mut(stream)?;
        let nodes = &mut self.captures.get_mut(stream.capture)?.nodes;
        let after = std::mem::replace(&mut stream.frontier, vec![nodes.len()]);
        nodes.push(Node { work: Arc::new(work), after });
        Ok(())
    }

    /// Makes the stream's next node come after the nodes `after` of a capture, which it joins if it is in none.
    pub(crate) fn join(&mut self, stream: usize, capture: usize, after: &[usize]) -> Outcome {
        if self.captures.get(capture).is_err() {
            let sentence = "the event was recorded in a capture that has ended; record it again";
            return Err(Code::CAPTURED_EVENT.says(sentence));
        }
        let own = self.streams.get(stream)?;
        let (own_capture, legacy) = (own.capture, own.legacy);
        if legacy {
            let sentence = "the legacy stream cannot take part in a capture; use a stream of your own";
            self.invalidate(capture, sentence);
            return Err(Code::STREAM_CAPTURE_IMPLICIT.says(sentence));
        }
        if own_capture != 0 && own_capture != capture {
            let sentence = "the stream and the event belong to two captures, which cannot become one";
            self.invalidate(capture, sentence);
            self.invalidate(own_capture, sentence);
            return Err(Code::STREAM_CAPTURE_MERGE.says(sentence));
        }
        let stream = self.streams.get_mut(stream)?;
        stream.capture = capture;
        let new = after.iter().filter(|node| !stream.frontier.contains(node)).copied().collect::<Vec<_>>();
        stream.frontier.extend(new);
        Ok(())
    }

    /// Lets a capture fail at its end.
    pub(crate) fn invalidate(&mut self, capture: usize, why: &str) {
        if let Ok(capture) = self.captures.get_mut(capture) {
            capture.invalid.get_or_insert_with(|| why.to_owned());
        }
    }

    /// Refuses a call that waits for the stream while it captures.
    pub(crate) fn refuse_on_capturing(&mut self, stream: usize, why: &str) -> Outcome {
        if self.captures_on(stream)? {
            let capture = self.streams.get(stream)?.capture;
            self.invalidate(capture, why);
            return Err(Code::STREAM_CAPTURE_UNSUPPORTED.says(why));
        }
        Ok(())
    }

    /// Refuses a call that waits for all streams of a context while one of them captures.
    pub(crate) fn refuse_while_capturing_in(&mut self, context: usize, why: &str) -> Outcome {
        let captures = self.captures.iter().filter(|(_, capture)| capture.context == context);
        let running: Vec<usize> = captures.map(|(handle, _)| handle).collect();
        self.refuse_for(&running, why)
    }

    /// Refuses a call that may wait for other work, where a capture forbids it to this thread.
    pub(crate) fn refuse_while_capturing(&mut self, why: &str) -> Outcome {
        let (own_mode, thread) = (THREAD_MODE.get(), thread_number());
        let forbids = |capture: &Capture| match (own_mode, capture.mode) {
            (Mode::Relaxed, _) | (_, Mode::Relaxed) => false,
            (Mode::Global, Mode::Global) => true,
            _ => capture.thread == thread,
        };
        let forbidding = self.captures.iter().filter(|(_, capture)| forbids(capture));
        let forbidding: Vec<usize> = forbidding.map(|(handle, _)| handle).collect();
        self.refuse_for(&forbidding, &format!("{why} may wait for other work"))
    }

    fn refuse_for(&mut self, captures: &[usize], why: &str) -> Outcome {
        if captures.is_empty() {
            return Ok(());
        }
        let sentence = format!("{why}, and a stream captures; make the call before or after the capture");
        captures.iter().for_each(|&capture| self.invalidate(capture, &sentence));
        Err(Code::STREAM_CAPTURE_UNSUPPORTED.says(sentence))
    }
}

/// `cuStreamBeginCapture_v2`.
pub(crate) fn begin(stream: usize, mode: u32) -> Outcome {
    let mode = Mode::read(mode)?;
    let mut driver = driver();
    let (stream, context) = driver.stream(stream)?;
    let found = driver.streams.get(stream)?;
    if found.legacy {
        let sentence = "the legacy stream cannot capture; use a stream of your own";
        return Err(Code::STREAM_CAPTURE_UNSUPPORTED.says(sentence));
    }
    if found.capture != 0 {
        return Err(Code::ILLEGAL_STATE.says("the stream captures already"));
    }
    let (context, thread) = (context.handle, thread_number());
    let capture = Capture { context, origin: stream, mode, thread, nodes: Vec::new(), invalid: None };
    let capture = driver.captures.insert(capture);
    let stream = driver.streams.get_mut(stream)?;
    (stream.capture, stream.frontier) = (capture, Vec::new());
    Ok(())
}

/// `cuStreamEndCapture`. Whatever comes of it, the capture is over, unless this is not where it can end.
pub(crate) fn end(stream: usize, graph: Out<usize>) -> Outcome {
    let place = graph.place("the graph")?;
    let mut driver = driver();
    let (stream, context) = driver.stream(stream)?;
    let found = driver.streams.get(stream)?;
    let (handle, frontier) = (found.capture, found.frontier.clone());
    if handle == 0 {
        return Err(Code::ILLEGAL_STATE.says("the stream does not capture"));
    }
    let capture = driver.captures.get(handle)?;
    if capture.origin != stream {
        return Err(
            Code::STREAM_CAPTURE_UNMATCHED.says("the capture was begun on another stream, and ends there")
        );
    }
    if capture.mode != Mode::Relaxed && capture.thread != thread_number() {
        let sentence = "the capture was begun by another thread, and ends there unless its mode is relaxed";
        return Err(Code::STREAM_CAPTURE_WRONG_THREAD.says(sentence));
    }
    let capture = driver.captures.remove(handle)?;
    for stream in driver.streams.values_mut().filter(|stream| stream.capture == handle) {
        (stream.capture, stream.frontier) = (0, Vec::new());
    }
    place.put(0);
    if let Some(why) = capture.invalid {
        return Err(Code::STREAM_CAPTURE_INVALIDATED.says(format!("the capture failed: {why}")));
    }
    let unjoined = unreached(&capture.nodes, frontier);
    if unjoined > 0 {
        let sentence =
            format!("{unjoined} nodes of other streams are not waited for; join them with an event");
        return Err(Code::STREAM_CAPTURE_UNJOINED.says(sentence));
    }
    place.put(driver.add_graph(Graph { context, nodes: capture.nodes }));
    Ok(())
}

/// How many nodes no path leads to, backwards from `frontier`.
fn unreached(nodes: &[Node], mut frontier: Vec<usize>) -> usize {
    let mut reached = vec![false; nodes.len()];
    while let Some(node) = frontier.pop() {
        if !std::mem::replace(&mut reached[node], true) {
            frontier.extend(&nodes[node].after);
        }
    }
    reached.iter().filter(|&&reached| !reached).count()
}

impl Driver {
    /// The `CUstreamCaptureStatus` of a stream (0 none, 1 active, 2 failed) and the number of its capture.
    fn status(&mut self, stream: usize) -> Outcome<(u32, u64)> {
        let (stream, _) = self.stream(stream)?;
        let capture = self.streams.get(stream)?.capture;
        if capture == 0 {
            return Ok((0, 0));
        }
        let failed = self.captures.get(capture)?.invalid.is_some();
        Ok((1 + u32::from(failed), capture as u64))
    }
}

/// `cuStreamIsCapturing`.
pub(crate) fn is_capturing(stream: usize, status: Out<u32>) -> Outcome {
    status.set(driver().status(stream)?.0, "the status")
}

/// `cuStreamGetCaptureInfo`.
pub(crate) fn info(stream: usize, status: Out<u32>, id: Out<u64>) -> Outcome {
    let (found, number) = driver().status(stream)?;
    status.set(found, "the status")?;
    if found != 0 {
        id.offer(number);
    }
    Ok(())
}

/// `cuThreadExchangeStreamCaptureMode`.
pub(crate) fn exchange_mode(mode: Out<u32>) -> Outcome {
    let new = Mode::read(mode.get("the mode")?)?;
    mode.set(THREAD_MODE.replace(new) as u32, "the mode")
}
