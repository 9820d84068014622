//! A process that is asked line by line, and may answer nonsense, never, or die.
//!
//! Two threads hold its pipes, so that the one who asks waits no longer than it wants to, whatever the process does: a
//! process that does not read fills its pipe, and one whose children hold the pipe open is never at its end.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Error, Result};

/// No answer's line is longer.
const LONGEST_LINE: usize = 1 << 20;

pub(super) struct Process {
    child: Child,
    input: Sender<Vec<u8>>,
    output: Receiver<Vec<u8>>,
    /// What has come and was not yet taken.
    unread: Vec<u8>,
    /// How long one answer may take.
    patience: Duration,
    /// The last question, as a word for whoever reads of its end.
    asked: String,
    /// How it ended: nothing is asked of it any more.
    ended: Option<String>,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// If there is no such program, or its pipes cannot be had.
    pub fn start(command: &mut Command, patience: Duration) -> std::io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(std::io::Error::other("it has no standard input or output"));
        };
        let (input, to_write) = channel::<Vec<u8>>();
        // Who writes without end is not read without end.
        let (came, output) = sync_channel(16);
        std::thread::spawn(
            move || {
                while to_write.recv().is_ok_and(|bytes| stdin.write_all(&bytes).is_ok()) {}
            },
        );
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(n @ 1..) = stdout.read(&mut buffer) {
                if came.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        let (unread, asked) = (Vec::new(), String::new());
        Ok(Self { child, input, output, unread, patience, asked, ended: None })
    }

    /// Sends a line and tensors behind it, on behalf of `whom`; the answer's line.
    ///
    /// # Errors
    /// [`Error::Unsupported`] and [`Error::Failed`] as the process says. If it answers nonsense, not in time, or not at
    /// all, it is ended, and every further question says how.
    pub fn ask(&mut self, whom: &str, line: &Value, blobs: Vec<Vec<u8>>) -> Result<Value> {
        self.require_life()?;
        whom.clone_into(&mut self.asked);
        for bytes in std::iter::once(format!("{line}\n").into_bytes()).chain(blobs) {
            // Whether an end is noticed by writing or by reading is chance: reading tells it.
            let _ = self.input.send(bytes);
        }
        let told = self.take(|unread| {
            let line = unread.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            line.or((unread.len() > LONGEST_LINE).then_some(LONGEST_LINE))
        })?;
        let Some(answer) = serde_json::from_slice::<Value>(&told).ok().filter(Value::is_object) else {
            let told: String = String::from_utf8_lossy(&told).trim().chars().take(200).collect();
            return Err(self.end(format!("PyTorch's process says {told:?}, which is no answer")));
        };
        match (answer["unsupported"].as_str(), answer["error"].as_str()) {
            (Some(why), _) => Err(Error::Unsupported(why.into())),
            (_, Some(why)) => Err(Error::Failed(why.into())),
            _ => Ok(answer),
        }
    }

    /// So many bytes behind the last answer's line.
    ///
    /// # Errors
    /// As [`Process::ask`].
    pub fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        self.require_life()?;
        self.take(|unread| (unread.len() >= count).then_some(count))
    }

    /// How it ended, if it has, and whom it was asked for then.
    pub fn ended(&self) -> Option<(&str, &str)> {
        self.ended.as_deref().map(|how| (how, self.asked.as_str()))
    }

    /// Ends it, since what it says has no meaning any more; the error that says so.
    pub fn end(&mut self, how: String) -> Error {
        let _ = self.child.kill();
        let whom = if self.asked.is_empty() { String::new() } else { format!(", asked for {}", self.asked) };
        Error::Failed(self.ended.insert(how + &whom).clone())
    }

    fn require_life(&self) -> Result<()> {
        self.ended.as_ref().map_or(Ok(()), |how| Err(Error::Failed(how.clone())))
    }

    /// What has come, up to where `enough` says.
    fn take(&mut self, enough: impl Fn(&[u8]) -> Option<usize>) -> Result<Vec<u8>> {
        let until = Instant::now() + self.patience;
        loop {
            if let Some(count) = enough(&self.unread) {
                let rest = self.unread.split_off(count);
                return Ok(std::mem::replace(&mut self.unread, rest));
            }
            match self.output.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.unread.extend(bytes),
                Err(RecvTimeoutError::Timeout) => {
                    let seconds = self.patience.as_secs_f64();
                    return Err(
                        self.end(format!("PyTorch's process gave no answer in {seconds} s and was ended"))
                    );
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.status();
                    return Err(self.end(format!("PyTorch's process ended without an answer ({status})")));
                }
            }
        }
    }

    /// How the process ended, whose output is at its end; itself it follows a moment later.
    fn status(&mut self) -> String {
        for _ in 0..100 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.to_string();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        "its output is closed".into()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It holds memory of the GPU: whatever it is doing, it is ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
