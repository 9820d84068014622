//! Work that is recorded once and done again by one launch, on devices that can.

#[cfg(feature = "cuda")]
use crate::cuda::Graph;
use crate::{Device, Error, Kind, Result};

/// Recorded work of a device: see [`Device::record`].
pub struct Recording {
    #[cfg(feature = "cuda")]
    graph: Graph,
    #[cfg(not(feature = "cuda"))]
    nothing: std::convert::Infallible,
}

impl Recording {
    /// Queues the work as launch number `number`, from 0: random numbers are those that the work would draw if it were
    /// done for the (`number` + 1)th time, on the same memory. Tensors that the work made hold their new values then.
    ///
    /// # Errors
    /// If the device refuses.
    #[cfg(feature = "cuda")]
    pub fn launch_as(&self, number: u64) -> Result<()> {
        self.graph.launch_as(number)
    }

    /// As there is no device that records, there is no recording.
    #[cfg(not(feature = "cuda"))]
    pub fn launch_as(&self, _number: u64) -> Result<()> {
        match self.nothing {}
    }
}

impl Device {
    /// Records what `work` queues, in place of doing it, and returns the recording with what `work` returned.
    ///
    /// The recording reads and writes always the same memory: give it other inputs with
    /// [`Tensor::overwrite`](crate::Tensor::overwrite). `work` must not read results or write inputs from the host. Do
    /// it once before, so that every kernel is loaded.
    ///
    /// # Errors
    /// The error of `work`, or what the device refuses to record; on the CPU, which records nothing, always.
    pub fn record<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(Recording, T)> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => {
                let (graph, made) = cuda.stream().capture(work)?;
                Ok((Recording { graph }, made))
            }
            Self::Cpu => {
                drop(work);
                Err(Error::new(Kind::Device, "record", "the CPU records no work").hint("do it eagerly"))
            }
        }
    }
}
