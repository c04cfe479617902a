//! The log of a client: to a file in the data directory, never to a terminal that a frontend owns.

use std::path::Path;

use chat_core::profile::LogLevel;
use chat_relay::exit::Failure;
use chat_relay::logging::filter;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::fmt::MakeWriter;

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
    begin(level, appender)
}

/// What can't be written, because the disk is full, is lost without a word: standard error is no place for the log, and
/// the engine says itself what a full disk means.
fn begin<W>(level: LogLevel, writer: W) -> Result<(), Failure>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let log = tracing_subscriber::fmt().with_max_level(filter(level)).with_ansi(false).with_writer(writer);
    let log = log.log_internal_errors(false);
    log.try_init().map_err(|e| Failure::failed(format!("the log can't be set up: {e}")))
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind, Write};
    use std::process::Command;

    use super::*;

    struct FullDisk;

    impl Write for FullDisk {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(Error::from(ErrorKind::StorageFull))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Runs itself in a process of its own, whose standard error it can read.
    #[test]
    fn a_log_that_cant_be_written_is_no_reason_to_fill_standard_error() {
        const HERE: &str = "CHAT_TEST_LOGS_HERE";
        if std::env::var_os(HERE).is_some() {
            begin(LogLevel::Info, || FullDisk).unwrap();
            tracing::error!("this line has no place");
            return;
        }
        let name = "logging::tests::a_log_that_cant_be_written_is_no_reason_to_fill_standard_error";
        let mut again = Command::new(std::env::current_exe().unwrap());
        let ended = again.args(["--exact", name, "--nocapture"]).env(HERE, "").output().unwrap();
        assert!(ended.status.success() && String::from_utf8_lossy(&ended.stdout).contains("1 passed"));
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(!said.contains("tracing") && !said.contains("storage"), "{said}");
    }
}
