//! How the program ends.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// The exit codes, a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Failed at run time.
    Failed = 1,
    /// The command line or the profile is wrong.
    Usage = 2,
    /// The relay, or a peer, is not who it must be.
    NotAuthenticated = 3,
    /// The relay can't be reached, or messages were left that no relay has but the one that ended with the program.
    Unreachable = 4,
}

/// Why the program did not do what it should. The message says what to do about it.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What went wrong and what to do; empty if it was said already.
    pub message: String,
}

impl Failure {
    /// A failure with one of the codes.
    pub fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { code: code as u8, message: message.to_string() }
    }

    /// A failure at run time.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(Code::Failed, message)
    }
}

impl From<chat_core::ProfileError> for Failure {
    fn from(error: chat_core::ProfileError) -> Self {
        Self::new(Code::Usage, error)
    }
}

/// Prints on standard error; a closed one is nobody's fault.
pub fn say(message: impl fmt::Display) {
    drop(writeln!(std::io::stderr(), "{message}"));
}

/// Prints on standard output.
///
/// # Errors
/// Standard output failed otherwise than by being closed.
pub fn print(text: impl fmt::Display) -> Result<(), Failure> {
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
pub fn report(outcome: Result<(), Failure>) -> ExitCode {
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

/// Reads the command line. `None`: help or version was asked for and is printed.
///
/// # Errors
/// The command line is wrong; what is wrong with it is printed.
pub fn parse<T: Parser>() -> Result<Option<T>, Failure> {
    match T::try_parse() {
        Ok(arguments) => Ok(Some(arguments)),
        Err(error) => {
            // A closed output is nobody's fault.
            drop(error.print());
            match u8::try_from(error.exit_code()) {
                Ok(0) => Ok(None),
                code => Err(Failure { code: code.unwrap_or(Code::Usage as u8), message: String::new() }),
            }
        }
    }
}
