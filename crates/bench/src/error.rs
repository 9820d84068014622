//! What can go wrong in a bench, told in one sentence.

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why something was not measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A shape, dtype or name that is none: says what was expected.
    #[error("{0}")]
    Usage(String),
    /// The contender does not do this case: no kernel on this device, a library that is not there.
    #[error("{0}")]
    Unsupported(String),
    /// The contender failed.
    #[error("{0}")]
    Failed(String),
    /// What the engine said.
    #[error(transparent)]
    Engine(#[from] warpsmith_tensor::Error),
    /// A file or a process.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl Error {
    /// Whether the contender does not do the case, as against doing it wrong.
    pub fn is_unsupported(&self) -> bool {
        match self {
            Self::Unsupported(_) => true,
            Self::Engine(error) => error.to_string().contains("has no CUDA kernel yet"),
            _ => false,
        }
    }

    /// Whether a call of the device's driver failed: only then is what the driver said last about this error.
    pub fn is_of_driver(&self) -> bool {
        self.to_string().contains("CUDA_ERROR")
    }
}
