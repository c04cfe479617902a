//! The mailbox in SQLite.

use std::path::PathBuf;
use std::sync::Arc;

use chat_core::testing::Must as _;
use relay::testing::{Shelf, Violation};
use relay::{Mailbox, MailboxLimits, SqliteMailbox};
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn database(&self) -> PathBuf {
        self.0.path().join("relay.db")
    }
}

impl Shelf for Folder {
    fn open(&self, limits: &MailboxLimits) -> Result<Arc<dyn Mailbox>, Violation> {
        Ok(Arc::new(SqliteMailbox::open(&self.database(), limits.clone()).must("opening")?))
    }

    /// A copy of the files while the process runs is what `kill -9` leaves behind.
    fn after_a_kill(&self) -> Option<Box<dyn Shelf>> {
        let copy = Self::new();
        for file in std::fs::read_dir(self.0.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.0.path().join(file.file_name())).unwrap();
        }
        Some(Box::new(copy))
    }
}

relay::mailbox_suite!(|| Box::new(Folder::new()));
