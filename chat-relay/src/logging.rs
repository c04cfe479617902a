//! The log of a program. It holds ids and sizes; no text, no key, no name at any level.

use chat_core::profile::LogLevel;
use tracing_subscriber::filter::LevelFilter;

use crate::exit::Failure;

/// The level of a profile as `tracing` has it.
pub fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Begins to log to standard error, for a program without screen.
///
/// # Errors
/// There is a log already.
pub fn to_stderr(level: LogLevel) -> Result<(), Failure> {
    let log =
        tracing_subscriber::fmt().with_max_level(filter(level)).with_ansi(false).with_writer(std::io::stderr);
    log.try_init().map_err(|e| Failure::failed(format!("the log can't be set up: {e}")))
}
