//! What went wrong, and which exit code it earns.

use std::process::ExitCode;

use warpsmith::train::Error;

/// Why a command failed.
pub enum Failure {
    /// clap's own message: a usage error, or the text of `--help` or `--version`.
    Clap(clap::Error),
    /// Words that do not fit together: exit code 2.
    Usage(String),
    /// Anything else: exit code 1.
    Failed(String),
}

impl Failure {
    /// Prints one line (clap's errors have more) and gives the exit code.
    pub fn report(self) -> ExitCode {
        match self {
            Self::Clap(error) => {
                // If not even this can be printed, the exit code has to tell.
                let _ = error.print();
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
            }
            Self::Usage(message) => {
                eprintln!("error: {message}");
                ExitCode::from(2)
            }
            Self::Failed(message) => {
                eprintln!("error: {message}");
                ExitCode::FAILURE
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::UnknownKey { .. }
            | Error::BadValue { .. }
            | Error::BadFlag { .. }
            | Error::Invalid { .. }
            | Error::ConfigFile { .. } => Self::Usage(error.to_string()),
            Error::Tensor(error) => error.into(),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<warpsmith::tensor::Error> for Failure {
    /// With what the emulator has to say of it, if the GPU is emulated: it knows the thread and the line.
    fn from(error: warpsmith::tensor::Error) -> Self {
        // What it said last is about this error only if the driver gave one.
        let of_device = error.to_string().contains("CUDA_ERROR");
        let fault = of_device.then(warpsmith_emulator_loader::last_fault).flatten();
        Self::Failed(match fault {
            Some(fault) => format!("{error}; the emulator says: {fault}"),
            None => error.to_string(),
        })
    }
}

impl From<warpsmith::text::Error> for Failure {
    fn from(error: warpsmith::text::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<warpsmith::data::Error> for Failure {
    fn from(error: warpsmith::data::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<warpsmith::metrics::Error> for Failure {
    fn from(error: warpsmith::metrics::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
