//! How the program ends.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

/// The exit codes, a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// Failed at run time.
    Failed = 1,
    /// The command line or the profile is wrong.
    Usage = 2,
}

/// Why the program did not do what it should. The message says what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { code: code as u8, message: message.to_string() }
    }

    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::new(Code::Failed, message)
    }
}

impl From<chat_core::ProfileError> for Failure {
    fn from(error: chat_core::ProfileError) -> Self {
        Self::new(Code::Usage, error)
    }
}

/// Prints on standard error; a closed one is nobody's fault.
pub(crate) fn say(message: impl fmt::Display) {
    drop(writeln!(std::io::stderr(), "{message}"));
}

/// Prints on standard output.
pub(crate) fn print(text: impl fmt::Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // `chat plugins | head -1` is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("standard output failed: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints the message of a failure and gives its code.
pub(crate) fn report(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                let message = &failure.message;
                let labelled = message.starts_with("error") || message.starts_with("warning");
                say(if labelled { message.clone() } else { format!("error: {message}") });
            }
            ExitCode::from(failure.code)
        }
    }
}
