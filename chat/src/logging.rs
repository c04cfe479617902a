//! The log of a client: to a file in the data directory, never to a terminal that a frontend owns.

use std::path::Path;

use chat_core::profile::LogLevel;
use chat_relay::exit::Failure;
use chat_relay::logging::filter;
use tracing_appender::rolling::{RollingFileAppender, Rotation};

/// Files of past days that are kept.
const KEPT_FILES: usize = 7;

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
