//! The log: to a file in the data directory, never to a terminal that a frontend owns. It holds ids and
//! sizes; no text, no key, no name at any level.

use std::path::Path;

use chat_core::profile::LogLevel;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::LevelFilter;

use crate::exit::Failure;

/// Files of past days that are kept.
const KEPT_FILES: usize = 7;

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Begins to log to a file in `folder`.
pub(crate) fn to_file(folder: &Path, level: LogLevel) -> Result<(), Failure> {
    let appender = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .max_log_files(KEPT_FILES)
        .filename_prefix("chat")
        .filename_suffix("log")
        .build(folder)
        .map_err(|e| Failure::failed(format!("no log can be written in {}: {e}", folder.display())))?;
    let log = tracing_subscriber::fmt().with_max_level(filter(level)).with_ansi(false).with_writer(appender);
    log.try_init().map_err(|e| Failure::failed(format!("the log can't be set up: {e}")))
}

/// Begins to log to standard error, for a program without screen.
pub(crate) fn to_stderr(level: LogLevel) -> Result<(), Failure> {
    let log =
        tracing_subscriber::fmt().with_max_level(filter(level)).with_ansi(false).with_writer(std::io::stderr);
    log.try_init().map_err(|e| Failure::failed(format!("the log can't be set up: {e}")))
}
